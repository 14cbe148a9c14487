"""Answers of other services are shared, and the last one survives an outage."""

from __future__ import annotations

import threading

import pytest

from common.domain.errors import NotFound, Unavailable
from tests.fakes.clock import FakeClock
from visualizer.feed import Feed


class Source:
    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.asked


def test_an_answer_serves_until_its_time_is_over() -> None:
    clock, source = FakeClock(), Source()
    feed: Feed[int] = Feed(clock, ttl=1.0)
    assert [feed.get("a", source).value, feed.get("a", source).value] == [1, 1]
    clock.advance(1.0)
    assert feed.get("a", source).value == 2


def test_an_outage_keeps_the_last_answer_says_since_when_and_is_asked_no_more_often() -> None:
    clock, source = FakeClock(now=100.0), Source()
    feed: Feed[int] = Feed(clock, ttl=1.0)
    feed.get("a", source)
    source.error = Unavailable("away")
    clock.advance(5.0)
    for _ in range(3):
        reading = feed.get("a", source)
        assert (reading.value, reading.at, reading.problem) == (1, 100.0, "away")
    assert source.asked == 2
    source.error = None
    clock.advance(1.0)
    assert (feed.get("a", source).value, feed.get("a", source).problem) == (3, "")


def test_an_outage_from_the_start_is_told_without_a_value() -> None:
    source = Source()
    source.error = Unavailable("away")
    reading = Feed[int](FakeClock(), ttl=1.0).get("a", source)
    assert (reading.value, reading.problem) == (None, "away")


def test_other_errors_pass_and_are_not_kept() -> None:
    source = Source()
    source.error = NotFound("gone")
    feed: Feed[int] = Feed(FakeClock(), ttl=1.0)
    with pytest.raises(NotFound):
        feed.get("a", source)
    source.error = None
    assert feed.get("a", source).value == 2


def test_keys_are_bounded_and_the_longest_unused_goes_first() -> None:
    feed: Feed[str] = Feed(FakeClock(), ttl=1000.0, keys=2)
    feed.get("a", lambda: "a1")
    feed.get("b", lambda: "b1")
    feed.get("a", lambda: "a2")
    feed.get("c", lambda: "c1")
    assert feed.get("a", lambda: "a2").value == "a1"
    assert feed.get("b", lambda: "b2").value == "b2"


def test_while_one_asks_the_others_get_what_is_known() -> None:
    clock = FakeClock()
    feed: Feed[str] = Feed(clock, ttl=1.0)
    feed.get("a", lambda: "old")
    clock.advance(2.0)
    inside, leave = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        assert leave.wait(10)
        return "new"

    thread = threading.Thread(target=lambda: feed.get("a", slow))
    thread.start()
    assert inside.wait(10)
    assert feed.get("a", lambda: pytest.fail("asked twice at once")).value == "old"
    leave.set()
    thread.join(10)
    assert feed.get("a", lambda: "newer").value == "new"
