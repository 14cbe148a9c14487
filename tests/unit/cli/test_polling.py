"""Asking through a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cli.client import Rejected, Unreachable
from cli.polling import Heard, Poller, silence
from tests.fakes.clock import FakeClock

AWAY = Unreachable("http://x", "ConnectionError")


def asking(*answers: str | Exception) -> Callable[[], str]:
    following: Iterator[str | Exception] = iter(answers)

    def ask() -> str:
        answer = next(following)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


@pytest.mark.parametrize("trouble", [AWAY, Rejected(503, "Redis does not answer", [])])
def test_a_silence_is_told_and_ends(trouble: Exception) -> None:
    clock = FakeClock()
    poll = Poller(asking("a", trouble, trouble, "b"), 60.0, clock.monotonic)
    assert poll.look() == Heard("a")
    clock.advance(5)
    first = poll.look()
    assert (first.value, first.silent) == ("a", 5.0)
    assert "no answer for 5s" in silence(first)
    clock.advance(5)
    assert poll.look().silent == 10.0
    assert poll.look() == Heard("b")


def test_patience_ends() -> None:
    clock = FakeClock()
    poll = Poller(asking("a", AWAY, AWAY), 60.0, clock.monotonic)
    poll.look()
    clock.advance(60)
    poll.look()
    clock.advance(1)
    with pytest.raises(Unreachable):
        poll.look()


@pytest.mark.parametrize("answer", [AWAY, Rejected(503, "away", []), Rejected(404, "no such one", [])])
def test_at_first_nothing_is_waited_for(answer: Exception) -> None:
    with pytest.raises(type(answer)):
        Poller(asking(answer), 60.0, FakeClock().monotonic).look()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_no_silence(status: int) -> None:
    poll = Poller(asking("a", Rejected(status, "no", [])), 60.0, FakeClock().monotonic)
    poll.look()
    with pytest.raises(Rejected):
        poll.look()


def test_what_the_cause_says_steers_no_terminal() -> None:
    assert "\x1b" not in silence(Heard("a", 3.0, "\x1b[2Jgone"))
