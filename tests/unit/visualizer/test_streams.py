"""Live connections are bounded and end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from common.domain.errors import Unavailable
from tests.fakes.clock import FakeClock
from visualizer.streams import Message, Streams, StreamSettings


class Stopping:
    """An event whose waiting lets time pass; it is set after ``waits`` waits."""

    def __init__(self, clock: FakeClock, waits: int = 1_000_000) -> None:
        self._clock = clock
        self._waits = waits

    def is_set(self) -> bool:
        return self._waits <= 0

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0.0)
        self._waits -= 1
        return self.is_set()


def stream(settings: StreamSettings, looks: list[list[Message]], waits: int = 1_000_000) -> list[str]:
    clock = FakeClock()
    following = iter(looks)
    return list(Streams(settings, clock, Stopping(clock, waits)).live(lambda: next(following, [])))


def test_messages_are_one_line_of_json_each() -> None:
    text = Message("list", {"name": "a\nb\u2028</script>\r"}, id="5.5").encode()
    head, event, data, *rest = text.split("\n")
    assert (head, event, rest) == ("id: 5.5", "event: list", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {"name": "a\nb\u2028</script>\r"}


def test_a_stream_sends_what_is_new_and_signs_of_life_between() -> None:
    settings = StreamSettings(limit=1, period=1.0, heartbeat=3.0, lifetime=8.0)
    sent = stream(settings, [[Message("a", {})], [], [], [], [], [Message("b", {})]])
    assert [line.splitlines()[0] for line in sent] == [
        "retry: 2000",
        "event: a",
        ": still here",
        "event: b",
    ]


def test_the_last_message_ends_the_stream() -> None:
    sent = stream(StreamSettings(limit=1, period=1.0), [[Message("gone", {}, last=True), Message("never", {})]])
    assert len(sent) == 2


def test_shutdown_ends_the_stream() -> None:
    assert len(stream(StreamSettings(limit=1, period=1.0), [], waits=2)) == 1


def test_places_are_bounded_and_come_back_once() -> None:
    streams = Streams(StreamSettings(limit=2, period=1.0), FakeClock(), threading.Event())
    first, _ = streams.enter(), streams.enter()
    with pytest.raises(Unavailable):
        streams.enter()
    first.leave()
    first.leave()
    streams.enter()
    with pytest.raises(Unavailable):
        streams.enter()


def test_nobody_enters_while_shutting_down() -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Unavailable):
        Streams(StreamSettings(limit=2, period=1.0), FakeClock(), stopping).enter()


def test_a_closed_stream_looks_no_more() -> None:
    looks = 0

    def look() -> Iterator[Message]:
        nonlocal looks
        looks += 1
        yield Message("a", {})

    clock = FakeClock()
    live = Streams(StreamSettings(limit=1, period=1.0), clock, Stopping(clock)).live(look)
    next(live)
    next(live)
    assert isinstance(live, Iterator)
    live.close()  # type: ignore[attr-defined]
    assert looks == 1
