"""A lean connection to Redis: the worker's calls are many and small, and all of them are EVALSHA.

redis-py opens the connection (URL, TLS, credentials, database); what follows is packed and read here, which takes a
fraction of the processor time. Speaks RESP2. Not thread-safe.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, List, Optional, Sequence, Union

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Argument = Union[str, int]
Reply = Any
"""bytes, int, None, or a list of replies."""

_CHUNK = 1 << 16
_LOOKS = 150
"""How often to look for an answer before sleeping until it comes: about 0.3 ms in all."""
_MOST_SKIPPED = 1024
_LOOK = getattr(socket, "MSG_DONTWAIT", 0)


class ServerError(Exception):
    """The server answered with an error; the message begins with its code."""


def packed(arguments: Sequence[Argument]) -> bytes:
    """The arguments as bulk strings, without the array header."""
    text = "".join([f"${len(part)}\r\n{part}\r\n" for part in map(str, arguments)])
    if text.isascii():
        return text.encode("ascii")
    # Lengths count bytes.
    encoded = [str(argument).encode("utf-8") for argument in arguments]
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded])


class Wire:
    """One connection, made on first use and again after an error.

    ``timeout`` (seconds) bounds connecting, each send and each wait for more of an answer. Errors: OSError (also
    socket.timeout), redis.RedisError while connecting, ServerError.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            decode_responses=False,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._timeout = timeout
        self._connection: Optional[Any] = None
        self._socket: Optional[socket.socket] = None
        self._eager = False
        self._skip = 0
        self._skipped = 0
        self._buffer = b""
        self._at = 0
        self.connections = 0
        """How often it has connected."""

    def connect(self) -> None:
        """Connect now unless connected."""
        if self._socket is None:
            connection: Any = self._pool.make_connection()
            connection.connect()
            self._connection = connection
            self._socket = connection._sock
            self._buffer, self._at = b"", 0
            self._eager = _LOOK != 0 and type(connection._sock) is socket.socket
            if self._eager:
                _bound_by_kernel(connection._sock, self._timeout)
            self.connections += 1

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.disconnect()

    def exchange(self, message: bytes) -> Reply:
        """Send one packed command and return its answer. After an OSError the connection is closed."""
        if self._socket is None:
            self.connect()
        wire = self._socket
        assert wire is not None
        try:
            wire.sendall(message)
            data = self._soon(wire) or wire.recv(_CHUNK)
            # Nearly every answer is one bulk string that arrives whole.
            if data[:1] == b"$":
                head = data.find(b"\r\n", 0, 24)
                if head > 0:
                    end = head + 2 + int(data[1:head])
                    if len(data) == end + 2:
                        return data[head + 2 : end]
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._buffer, self._at = data, 0
            return self._read()
        except ServerError:
            raise
        except BlockingIOError as error:
            self.close()
            raise TimeoutError(f"no answer within {self._timeout:g} s") from error
        except BaseException:
            # Also on KeyboardInterrupt or SystemExit from a signal handler: half an answer may be left unread.
            self.close()
            raise

    def _soon(self, wire: socket.socket) -> bytes:
        """The answer, if it comes at once; b"" when there is need to wait.

        Falling asleep and being woken costs more than a nearby server takes to answer. Where the answers come later
        (a server far away, no processor to spare) this is tried less and less often.
        """
        if not self._eager:
            return b""
        if self._skipped < self._skip:
            self._skipped += 1
            return b""
        self._skipped = 0
        for _ in range(_LOOKS):
            try:
                data = wire.recv(_CHUNK, _LOOK)
            except BlockingIOError:
                continue
            self._skip = 0
            return data
        self._skip = min(_MOST_SKIPPED, 2 * self._skip + 1)
        return b""

    def _more(self, size: int) -> None:
        """Receive until ``size`` bytes are there beyond the current position."""
        assert self._socket is not None
        have = len(self._buffer) - self._at
        if have >= size:
            return
        parts = [self._buffer[self._at :]]
        while have < size:
            data = self._socket.recv(max(_CHUNK, min(size - have, 1 << 22)))
            if not data:
                raise ConnectionResetError("the server closed the connection")
            parts.append(data)
            have += len(data)
        self._buffer, self._at = b"".join(parts), 0

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n", self._at)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 2
                return line
            self._more(len(self._buffer) - self._at + 1)

    def _read(self) -> Reply:
        answer = self._value()
        if isinstance(answer, ServerError):
            raise answer
        return answer

    def _value(self) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            self._more(size + 2)
            start = self._at
            self._at = start + size + 2
            return self._buffer[start : start + size]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"*":
            values: List[Reply] = [self._value() for _ in range(int(rest))]
            return values
        if kind == b"-":
            return ServerError(rest.decode("utf-8", "replace"))
        raise ConnectionError(f"not an answer of Redis: {line[:40]!r}")


def _bound_by_kernel(wire: socket.socket, timeout: float) -> None:
    """Let the kernel end waits after ``timeout`` seconds (with BlockingIOError): it saves a poll for each of them."""
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    wire.settimeout(None)
