"""Logging is set per process, so each test asks a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def _lines(code: str) -> list[str]:
    script = f"from common.logging import configure_logging, get_logger\nlog = get_logger('here')\n{code}\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_line_is_an_event_and_its_fields() -> None:
    [line] = _lines("configure_logging('svc'); log.debug('hidden'); log.info('happened', id='kj-1', n=3)")
    entry = json.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "happened", "service": "svc", "level": "info", "module": "here", "id": "kj-1", "n": 3}


def test_other_threads_name_the_service_too() -> None:
    [line] = _lines(
        "import threading; configure_logging('svc')\n"
        "t = threading.Thread(target=lambda: log.info('there')); t.start(); t.join()"
    )
    assert json.loads(line)["service"] == "svc"


def test_an_exception_is_one_line() -> None:
    [line] = _lines(
        "configure_logging('svc')\ntry:\n  1 / 0\nexcept ZeroDivisionError as e:\n  log.warning('failed', exc_info=e)"
    )
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_people_get_text() -> None:
    [line] = _lines("configure_logging('svc', json_lines=False); log.info('happened', n=3)")
    assert "happened" in line and "{" not in line


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("warning", 2), ("error", 1)])
def test_levels(level: str, seen: int) -> None:
    calls = "; ".join(f"log.{name}('e')" for name in ("debug", "info", "warning", "error"))
    assert len(_lines(f"configure_logging('svc', {level!r}); {calls}")) == seen


@pytest.mark.parametrize("form", ["True", "False"])
def test_a_full_disk_under_the_log_ends_nothing(form: str) -> None:
    code = (
        "import os, sys\nfrom common.logging import configure_logging, get_logger\n"
        f"configure_logging('svc', json_lines={form})\n"
        "for _ in range(1000): get_logger('here').warning('lost', text='x' * 100)\n"
        "os.write(1, b'alive'); os._exit(0)"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, timeout=30, check=True)
    assert done.stdout == b"alive"
