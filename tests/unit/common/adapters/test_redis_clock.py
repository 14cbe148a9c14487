"""The suite's time of day is Redis's."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from common.adapters.redis_clock import RedisClock
from common.domain.errors import Unavailable
from tests.fakes.clock import FakeClock


class TellingRedis:
    """Knows the time, and takes some to tell it."""

    def __init__(self, clock: FakeClock, ahead: float, takes: float = 0.0) -> None:
        self.clock = clock
        self.ahead = ahead
        self.takes = takes
        self.down = False
        self.late = 0.0
        """Seconds that it stands still before it looks at its clock."""

    def time(self) -> tuple[int, int]:
        if self.down:
            raise redis.ConnectionError("down")
        self.clock.advance(self.late + self.takes / 2)
        microseconds = round((self.true + self.ahead) * 1e6)
        self.clock.advance(self.takes / 2)
        return divmod(microseconds, 1_000_000)

    @property
    def true(self) -> float:
        """A clock that nobody sets."""
        return 1_700_000_000.0 + self.clock.monotonic()


def clock_of(server: TellingRedis, local: FakeClock) -> RedisClock:
    client: Any = server
    return RedisClock(client, local)


def test_before_the_first_answer_it_is_the_local_clock() -> None:
    local = FakeClock()
    clock = clock_of(TellingRedis(local, 0), local)
    assert clock.now() == pytest.approx(local.now())
    local.advance(5)
    assert clock.now() == pytest.approx(local.now())


@pytest.mark.parametrize("ahead", [-300.0, 0.0, 300.0])
def test_it_tells_redis_time_wherever_the_local_clock_is(ahead: float) -> None:
    local = FakeClock()
    server = TellingRedis(local, ahead, takes=0.2)
    clock = clock_of(server, local)
    clock.look()
    assert clock.now() == pytest.approx(server.true + ahead, abs=1e-3)
    local.step(3600)
    local.advance(7)
    assert clock.now() == pytest.approx(server.true + ahead, abs=1e-3)
    assert clock.monotonic() == local.monotonic()


def test_an_answer_that_took_long_is_of_no_use_but_better_than_none() -> None:
    local = FakeClock()
    server = TellingRedis(local, 40)
    clock = clock_of(server, local)
    server.late = 20.0
    clock.look()
    assert clock.now() == pytest.approx(server.true + 40, abs=0.5)
    server.late = 0.0
    clock.look()
    assert clock.now() == pytest.approx(server.true + 40, abs=1e-3)
    server.late = 20.0
    with pytest.raises(Unavailable):
        clock.look()
    assert clock.now() == pytest.approx(server.true + 40, abs=1e-3)


def test_it_goes_on_while_redis_is_away_and_follows_it_afterwards() -> None:
    local = FakeClock()
    server = TellingRedis(local, 50)
    clock = clock_of(server, local)
    clock.look()
    server.down = True
    with pytest.raises(Unavailable):
        clock.look()
    local.advance(100)
    assert clock.now() == pytest.approx(server.true + 50, abs=1e-3)
    server.down, server.ahead = False, 60
    clock.look()
    assert clock.now() == pytest.approx(server.true + 60, abs=1e-3)
