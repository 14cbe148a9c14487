"""A web site of workloads, well-behaved and not."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class ItemsSite:
    """Serves on a free port of 127.0.0.1. ``pages`` answer by path; the usual ones are there from the start."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.pages: dict[str, Answer] = {
            "/items": content(b"a\nb\nc"),
            "/gzip": content(b"a\nb\nc", encoding="gzip"),
            "/items.gz": content(gzip.compress(b"a\nb\nc")),
            "/page": content(b"<html>sign in</html>", kind="text/html; charset=utf-8"),
            "/missing": status(404),
            "/broken": status(500),
            "/moved": redirect("/items"),
            "/loop": redirect("/loop"),
            "/to-file": redirect("file:///etc/hostname"),
            "/short": self._short,
            "/silent": self._silent,
            "/stalls": self._stalls,
            "/huge-line": content(b"a\n" + b"x" * 10_000_000 + b"\nb"),
            "/endless": self._endless,
            "/drips": self._drips,
            "/cut-chunks": self._cut_chunks,
            "/bad-gzip": self._bad_gzip,
        }
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.pages[self.path](self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that go away in the middle are what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _silent(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.closing.wait(30)

    def _short(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Type": "text/plain", "Content-Length": "100"})
        handler.wfile.write(b"a\nb\n")
        handler.close_connection = True

    def _stalls(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Type": "text/plain", "Content-Length": "100"})
        handler.wfile.write(b"a\nb\n")
        handler.wfile.flush()
        self.closing.wait(30)

    def _drips(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """A line now, and never another, but never silence either."""
        head(handler, 200, {"Content-Type": "text/plain"})
        handler.wfile.write(b"a\n")
        while not self.closing.wait(0.1):
            handler.wfile.write(b"b")

    def _cut_chunks(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        head(handler, 200, {"Content-Type": "text/plain", "Transfer-Encoding": "chunked"})
        handler.wfile.write(b"4\r\na\nb\n\r\n40\r\nc\n")
        handler.close_connection = True

    def _bad_gzip(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Type": "text/plain", "Content-Encoding": "gzip", "Content-Length": "4"})
        handler.wfile.write(b"junk")

    def _endless(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        head(handler, 200, {"Content-Type": "text/plain"})
        while not self.closing.is_set():
            handler.wfile.write(b"item\n" * 10_000)


def head(handler: http.server.BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
    """Send the answer's head."""
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def content(body: bytes, kind: str = "text/plain", encoding: str = "") -> Answer:
    """An answer with this body."""
    sent = gzip.compress(body) if encoding else body

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        extra = {"Content-Encoding": encoding} if encoding else {}
        head(handler, 200, {"Content-Type": kind, "Content-Length": str(len(sent)), **extra})
        handler.wfile.write(sent)

    return answer


def status(code: int) -> Answer:
    """An answer that is only a status."""
    return lambda handler: head(handler, code, {"Content-Length": "0"})


def redirect(target: str) -> Answer:
    """An answer that points elsewhere."""
    return lambda handler: head(handler, 302, {"Location": target, "Content-Length": "0"})
