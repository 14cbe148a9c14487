"""A reverse proxy before the cluster's API that misbehaves on demand.

Plain HTTP in front, the server's TLS behind: what clients send of credentials is passed on.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
_REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(frozen=True)
class Behaviour:
    """What is done to requests. Seconds; ``share`` of them is answered with ``status``."""

    delay: float = 0.0
    status: int = 0
    share: float = 1.0
    writes_only: bool = False
    watch_lasts: float | None = None
    """Watches are cut, without a word, after so long."""
    stale: bool = False
    """Lists and single objects are answered as they were when this began (or at the first question since)."""


class ApiProxy:
    """Listens on a port of loopback; ``behave`` changes what it does from now on."""

    def __init__(self, target: tuple[str, int], authority: str, seed: int = 0) -> None:
        self.target = target
        self.context = ssl.create_default_context(cadata=authority)
        self.behaviour = Behaviour()
        self.chance = random.Random(seed)
        self.requests = 0
        self.spoiled = 0
        self._kept: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = self._listen(0)
        self.port = int(self._server.server_address[1])

    def behave(self, behaviour: Behaviour) -> None:
        with self._lock:
            if not behaviour.stale:
                self._kept.clear()
            self.behaviour = behaviour

    def cut(self) -> None:
        """Nobody listens any more, and every connection breaks."""
        self._server.shutdown()
        self._server.server_close()
        self.break_connections()

    def break_connections(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._server = self._listen(self.port)

    def close(self) -> None:
        self.cut()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def is_spoiled(self, method: str) -> bool:
        """Whether the request is answered with the bad status."""
        behaviour = self.behaviour
        with self._lock:
            self.requests += 1
            spoiled = bool(behaviour.status) and self.chance.random() < behaviour.share
            spoiled = spoiled and not (behaviour.writes_only and method == "GET")
            self.spoiled += spoiled
            return spoiled

    def kept(self, path: str) -> tuple[int, list[tuple[str, str]], bytes] | None:
        with self._lock:
            return self._kept.get(path)

    def keep(self, path: str, answer: tuple[int, list[tuple[str, str]], bytes]) -> None:
        with self._lock:
            self._kept.setdefault(path, answer)

    def _listen(self, port: int) -> http.server.ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.05,), name="api-proxy", daemon=True).start()
        return server


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle of an answer are no news here."""


def _handler(proxy: ApiProxy) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        upstream: http.client.HTTPSConnection | None = None

        def setup(self) -> None:
            super().setup()
            proxy.opened(self.connection)

        def finish(self) -> None:
            proxy.closed(self.connection)
            if self.upstream is not None:
                self.upstream.close()
            with contextlib.suppress(OSError):
                super().finish()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            behaviour = proxy.behaviour
            if behaviour.delay:
                time.sleep(behaviour.delay)
            if proxy.is_spoiled(self.command):
                return self._refuse(behaviour.status)
            query = parse_qs(urlsplit(self.path).query)
            if query.get("watch", [""])[0] in ("1", "true", "True") or "follow" in query:
                return self._stream(body)
            old = proxy.kept(self.path) if behaviour.stale and self.command == "GET" else None
            status, headers, content = old or self._ask(body)
            if behaviour.stale and self.command == "GET":
                proxy.keep(self.path, (status, headers, content))
            return self._answer(status, headers, content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

        def _connection(self) -> http.client.HTTPSConnection:
            if self.upstream is None:
                self.upstream = http.client.HTTPSConnection(*proxy.target, context=proxy.context, timeout=60)
            return self.upstream

        def _send(self, body: bytes) -> http.client.HTTPResponse:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            for last in (False, True):
                connection = self._connection()
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    return connection.getresponse()
                except (http.client.HTTPException, OSError):
                    connection.close()
                    self.upstream = None
                    if last or self.command != "GET":
                        raise
            raise AssertionError("not reached")

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            try:
                response = self._send(body)
                return response.status, response.getheaders(), response.read()
            except (http.client.HTTPException, OSError):
                # What a client sees of a server that went away in the middle.
                self.close_connection = True
                raise

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _refuse(self, status: int) -> None:
            said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
            said |= {"reason": _REASONS.get(status, "Unknown"), "message": "the fault suite's answer"}
            content = json.dumps(said).encode()
            headers = [("Content-Type", "application/json")]
            if status == 429:
                headers.append(("Retry-After", "1"))
            self._answer(status, headers, content)

        def _stream(self, body: bytes) -> None:
            lasts = proxy.behaviour.watch_lasts
            end = None if lasts is None else time.monotonic() + lasts * (0.5 + proxy.chance.random())
            self.close_connection = True
            response = self._send(body)
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            for chunk in self._chunks(response, end):
                self.wfile.write(chunk)
                self.wfile.flush()

        def _chunks(self, response: http.client.HTTPResponse, end: float | None) -> Iterator[bytes]:
            assert self.upstream is not None
            if end is not None and self.upstream.sock is not None:
                self.upstream.sock.settimeout(max(0.1, end - time.monotonic()))
            while end is None or time.monotonic() < end:
                try:
                    chunk = response.read1(65536)
                except (OSError, http.client.HTTPException):
                    return
                if not chunk:
                    return
                yield chunk

    return Handler
