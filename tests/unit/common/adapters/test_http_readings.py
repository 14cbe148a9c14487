"""Numbers over HTTP from a real server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from common.adapters.http_readings import HttpReadings
from common.domain.errors import Unavailable


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        place = urlsplit(self.path)
        bodies = {
            "/ok": b'{"asked": "%s"}' % parse_qs(place.query).get("query", [""])[0].encode(),
            "/text": b"<html>",
            "/large": b"[" + b"1," * 200_000 + b"1]",
        }
        status = 302 if place.path == "/away" else 200 if place.path in bodies else 404
        body = bodies.get(place.path, b"")
        self.send_response(status)
        self.send_header("Location", "/ok")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(5.0)
        server.server_close()


def test_json_is_read_with_the_parameters(site: str) -> None:
    assert HttpReadings().read(f"{site}/ok", {"query": "sum(a)"}) == {"asked": "sum(a)"}


@pytest.mark.parametrize(
    ("path", "problem"),
    [("text", "no JSON"), ("missing", "answers 404"), ("large", "more than"), ("away", "answers 302")],
)
def test_anything_else_is_not_to_be_had(site: str, path: str, problem: str) -> None:
    with pytest.raises(Unavailable, match=problem):
        HttpReadings().read(f"{site}/{path}", {})


def test_nobody_there_is_not_to_be_had() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        HttpReadings(timeout=0.5).read("http://127.0.0.1:9/x", {})
