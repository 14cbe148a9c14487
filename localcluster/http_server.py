"""HTTP/1.1 over TLS: one thread per connection, bounded; no thread wakes while nothing happens."""

from __future__ import annotations

import contextlib
import hmac
import select
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from localcluster import errors
from localcluster.api import Api
from localcluster.errors import ApiError
from localcluster.http_types import Request, Response, json_response
from localcluster.log import Log

MAX_BODY_BYTES = 3 * 1024 * 1024
_HANDSHAKE_SECONDS = 10.0
_IDLE_SECONDS = 300.0
_SEND_SECONDS = 30.0
_BACKLOG = 128
_STACK_BYTES = 512 * 1024


class HttpServer:
    """Serves an Api on a bound listener until ``stop``."""

    def __init__(
        self, api: Api, listener: socket.socket, tls: ssl.SSLContext, token: str, max_connections: int, log: Log
    ) -> None:
        self.api = api
        self.log = log
        self.stop_event = threading.Event()
        self._listener = listener
        self._tls = tls
        self._expected = f"Bearer {token}".encode()
        self._slots = threading.BoundedSemaphore(max_connections)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        # A pipe that becomes readable for everyone at once, when its write end is closed.
        self.stop_read, self._stop_write = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        threading.stack_size(_STACK_BYTES)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop accepting, end streams, wait a little for answers in progress, then cut what is left."""
        self.stop_event.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._stop_write.close()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if not self._connections:
                    return
            time.sleep(0.01)
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def is_alive(self) -> bool:
        """Whether connections are accepted."""
        return self._thread.is_alive()

    def authorize(self, header: str | None) -> None:
        """Raises Unauthorized without the right token."""
        if header is None or not hmac.compare_digest(header.encode(), self._expected):
            raise errors.Unauthorized("Unauthorized")

    def _accept(self) -> None:
        while not self.stop_event.is_set():
            try:
                connection, address = self._listener.accept()
            except OSError as error:
                if self.stop_event.is_set():
                    return
                # Out of descriptors, most likely: wait for some to come back.
                self.log.warning("accept_failed", error=str(error))
                self.stop_event.wait(0.1)
                continue
            if not self._slots.acquire(blocking=False):
                self.log.warning("too_many_connections", peer=address[0])
                connection.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection, address), name="http", daemon=True).start()
            except RuntimeError as error:
                self.log.error("thread_not_started", error=str(error))
                self._slots.release()
                connection.close()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        secured: socket.socket = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_HANDSHAKE_SECONDS)
            secured = self._tls.wrap_socket(connection, server_side=True)
            secured.settimeout(_SEND_SECONDS)
            with self._lock:
                self._connections.add(secured)
            _Handler(secured, address, self)
        except (OSError, ssl.SSLError) as error:
            self.log.debug("connection_ended", peer=address[0], error=str(error))
        finally:
            with self._lock:
                self._connections.discard(secured)
            secured.close()
            self._slots.release()


class _Handler(BaseHTTPRequestHandler):
    """Parses requests with the standard library's parser; everything else is the Api's."""

    protocol_version = "HTTP/1.1"
    server_version = "asperathos-localcluster"
    sys_version = ""
    wbufsize = -1

    server: HttpServer  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, address: Any, server: HttpServer) -> None:
        super().__init__(connection, address, server)  # type: ignore[arg-type]

    def handle_one_request(self) -> None:
        """Wait for a request without waking up, then serve it."""
        if not self._wait_for_request():
            self.close_connection = True
            return
        super().handle_one_request()

    def _wait_for_request(self) -> bool:
        pending = isinstance(self.connection, ssl.SSLSocket) and self.connection.pending() > 0
        if pending or (self.rfile.peek(1) if self._has_buffered() else b""):  # type: ignore[attr-defined]
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        poll.register(self.server.stop_read.fileno(), select.POLLIN)
        ready = poll.poll(_IDLE_SECONDS * 1000)
        return any(fd == self.connection.fileno() for fd, _ in ready) and not self.server.stop_event.is_set()

    def _has_buffered(self) -> bool:
        # A pipelined request may sit in the reader's buffer; peek would block on an empty one.
        self.connection.setblocking(False)
        try:
            return bool(self.rfile.peek(1))  # type: ignore[attr-defined]
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self.connection.settimeout(_SEND_SECONDS)

    def __getattr__(self, name: str) -> Any:
        # Any method token reaches the Api, which answers 405 itself.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """The Api's own log line says more."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Malformed requests get a Status body as well."""
        error = errors.BadRequest(message or "malformed request")
        self.close_connection = True
        body = {**error.status(), "code": code}
        self._answer(json_response(body, code))

    def _serve(self) -> None:
        started = time.monotonic()
        status = 500
        try:
            response = self._respond()
            status = response.status
            self._answer(response)
        except OSError as error:
            self.close_connection = True
            self.server.log.debug("client_gone", path=self.path, error=str(error))
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        self.server.log.debug(
            "request", method=self.command, path=self.path.partition("?")[0], status=status, milliseconds=milliseconds
        )

    def _respond(self) -> Response:
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self._read_body(headers)
            request = Request.parse(self.command, self.path, headers, body)
            health = self.server.api.health(request.path)
            if health is not None:
                return health
            self.server.authorize(headers.get("authorization"))
            return self.server.api.handle(request)
        except ApiError as error:
            return _error_response(error)
        except Exception as error:
            if isinstance(error, OSError):
                raise
            self.server.log.error("request_failed", method=self.command, path=self.path, error=repr(error))
            return _error_response(errors.InternalError(f"Internal error occurred: {error!r}"))

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            self.close_connection = True
            raise errors.LengthRequired("a Content-Length is required")
        text = headers.get("content-length", "0")
        if not text.isdigit():
            self.close_connection = True
            raise errors.BadRequest("malformed Content-Length")
        length = int(text)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            raise errors.RequestTooLarge(f"Request entity too large: limit is {MAX_BODY_BYTES}")
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            raise ConnectionResetError("the client sent less than it promised")
        return body

    def _answer(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Cache-Control", "no-cache, private")
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.stream is None:
            self.send_header("Content-Length", str(len(response.body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)
            self.wfile.flush()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        response.stream(_ChunkedStream(self))
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


class _ChunkedStream:
    """Implements ``http_types.Stream`` on a connection."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler

    def send(self, data: bytes) -> None:
        """One chunk, at once."""
        if data:
            self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self._handler.wfile.flush()

    def wait(self, fileno: int | None, seconds: float) -> bool:
        """Sleep on the descriptor, the client's side of the connection and the server's end, all at once."""
        handler = self._handler
        poll = select.poll()
        connection = handler.connection.fileno()
        # Anything the client sends during a stream is its goodbye.
        poll.register(connection, select.POLLIN | select.POLLHUP | select.POLLERR)
        poll.register(handler.server.stop_read.fileno(), select.POLLIN)
        if fileno is not None:
            poll.register(fileno, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0.0, seconds) * 1000)}
        if connection in ready:
            handler.close_connection = True
            return True
        return handler.server.stop_read.fileno() in ready


def _error_response(error: ApiError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return json_response(error.status(), error.code, headers)
