"""The reader of answers, fed byte by byte or whole."""

from __future__ import annotations

import socket

import pytest
from asperathos_worker.queue.wire import Reply, ServerError, Wire, packed
from hypothesis import given
from hypothesis import strategies as st


class Feed:
    """A socket that gives its bytes in pieces."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data = data
        self._piece = piece

    def sendall(self, message: bytes) -> None:
        pass

    def recv(self, size: int) -> bytes:
        head, self._data = self._data[: min(size, self._piece)], self._data[min(size, self._piece) :]
        return head


def wire_with(data: bytes, piece: int) -> Wire:
    wire = Wire("redis://nowhere.invalid", 1.0)
    wire._socket = Feed(data, piece)  # type: ignore[assignment]
    return wire


def encoded(reply: Reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(encoded, reply))


replies: st.SearchStrategy[Reply] = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4)
)


@given(replies, st.integers(1, 50))
def test_any_answer_is_read_in_any_pieces(reply: Reply, piece: int) -> None:
    assert wire_with(encoded(reply), piece).exchange(b"") == reply


@pytest.mark.parametrize("piece", [1, 1000])
def test_a_status_and_an_error(piece: int) -> None:
    assert wire_with(b"+OK\r\n", piece).exchange(b"") == b"OK"
    with pytest.raises(ServerError, match="NOSCRIPT no"):
        wire_with(b"-NOSCRIPT no\r\n", piece).exchange(b"")


@pytest.mark.parametrize("data", [b"", b"$5\r\nab", b"*2\r\n:1\r\n"])
def test_an_answer_that_breaks_off_closes_the_connection(data: bytes) -> None:
    wire = wire_with(data, 1000)
    with pytest.raises(ConnectionError):
        wire.exchange(b"")
    assert wire._socket is None


def test_what_is_no_answer_of_redis_closes_the_connection() -> None:
    wire = wire_with(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1000)
    with pytest.raises(ConnectionError, match="not an answer"):
        wire.exchange(b"")
    assert wire._socket is None


@pytest.mark.parametrize("error", [TimeoutError("slow"), ConnectionResetError("gone"), KeyboardInterrupt()])
def test_a_connection_with_half_an_answer_is_not_used_again(error: BaseException) -> None:
    wire = wire_with(b"", 1)

    def fail(size: int) -> bytes:
        raise error

    wire._socket.recv = fail  # type: ignore[union-attr, method-assign]
    with pytest.raises(type(error)):
        wire.exchange(b"")
    assert wire._socket is None


def test_arguments_are_counted_in_bytes() -> None:
    assert packed(["é", 12, "\0", ""]) == b"$2\r\n\xc3\xa9\r\n$2\r\n12\r\n$1\r\n\x00\r\n$0\r\n\r\n"
    assert packed(["e", 12, "\0", ""]) == b"$1\r\ne\r\n$2\r\n12\r\n$1\r\n\x00\r\n$0\r\n\r\n"


class Late:
    """A socket whose answers come only to who waits for them, unless ``prompt``; None never comes."""

    def __init__(self, answer: bytes | None = b"+OK\r\n") -> None:
        self.answer = answer
        self.prompt = False
        self.looks = 0

    def sendall(self, message: bytes) -> None:
        pass

    def recv(self, size: int, flags: int = 0) -> bytes:
        if flags:
            self.looks += 1
        if self.answer is None or (flags and not self.prompt):
            raise BlockingIOError
        return self.answer


def eager_wire(server: Late) -> Wire:
    wire = Wire("redis://nowhere.invalid", 1.0)
    wire._socket = server  # type: ignore[assignment]
    wire._eager = True
    return wire


def test_a_server_far_away_is_looked_for_less_and_less() -> None:
    server = Late()
    wire = eager_wire(server)
    asked = []
    for _ in range(4000):
        before = server.looks
        assert wire.exchange(b"") == b"OK"
        asked.append(server.looks > before)
    assert asked[0]
    assert sum(asked) < 20


def test_a_server_that_became_near_is_looked_for_again() -> None:
    server = Late()
    wire = eager_wire(server)
    for _ in range(100):
        wire.exchange(b"")
    server.prompt = True
    for _ in range(1000):
        wire.exchange(b"")
    server.looks = 0
    for _ in range(100):
        assert wire.exchange(b"") == b"OK"
    assert server.looks == 100


def test_silence_is_a_timeout_and_closes_the_connection() -> None:
    wire = eager_wire(Late(None))
    with pytest.raises(socket.timeout, match="no answer within 1 s"):
        wire.exchange(b"")
    assert wire._socket is None
