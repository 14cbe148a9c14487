"""What runs in the pod that looks whether Redis and the manager are reached, against real servers."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_process import RedisProcess

SCRIPT = resources.files("manager").joinpath("pod_probe.py").read_text(encoding="utf-8")


def ask(*urls: str) -> dict[str, tuple[bool, str]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *urls], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["url"]: (line["ok"], line["message"]) for line in lines}


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_what_is_there_answers(own_redis: RedisProcess, site: str) -> None:
    redis = f"redis://127.0.0.1:{own_redis.port}"
    assert ask(redis, site) == {redis: (True, "answers"), site: (True, "answers")}


def test_a_redis_that_asks_for_a_password_answers(own_redis: RedisProcess) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", "hush")
    redis = f"redis://127.0.0.1:{own_redis.port}"
    assert ask(redis) == {redis: (True, "answers")}


def test_what_is_not_there_says_why(site: str, free_port: int, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port}"
    found = ask(f"redis://{nobody}", f"http://{nobody}", "redis://no-such-host.invalid:6379", f"{site}/elsewhere", "x:")
    assert [ok for ok, _ in found.values()] == [False] * 5
    assert "refused" in found[f"redis://{nobody}"][1]
    assert "refused" in found[f"http://{nobody}"][1]
    assert "answers 404: is it the manager?" in found[f"{site}/elsewhere"][1]
    assert all(message for _, message in found.values())


def test_something_else_on_redis_port_is_no_redis(site: str) -> None:
    (found,) = ask(site.replace("http:", "redis:")).values()
    assert found == (False, "answers, but not as a Redis does: " + found[1].partition(": ")[2])


def test_a_server_that_is_silent_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url: Any = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        assert ask(url)[url] == (False, "timed out")
