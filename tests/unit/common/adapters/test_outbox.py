"""The outbox: order, bounds, pauses and outages, on a clock that stands still until told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapters.outbox import Outbox, OutboxLimits
from common.domain.errors import AsperathosError, BadRequest, Unavailable
from tests.fakes.clock import FakeClock
from tests.support.influx import CountingMeter


class Store:
    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.problem: Exception | None = None

    def send(self, lines: Sequence[str]) -> None:
        if self.problem is not None:
            raise self.problem
        self.requests.append(list(lines))

    @property
    def lines(self) -> list[str]:
        return [line for request in self.requests for line in request]


class Bench:
    def __init__(self, **limits: float) -> None:
        self.store, self.clock, self.meter = Store(), FakeClock(), CountingMeter()
        self.outbox = Outbox(self.store.send, self.clock, self.meter, OutboxLimits(**limits))  # type: ignore[arg-type]

    def put(self, *numbers: int) -> None:
        self.outbox.put([str(number) for number in numbers])

    def run(self) -> None:
        """Deliver until nothing waits, or once while the store is away."""
        while (wait := self.outbox.deliver()) is not None:
            self.clock.advance(max(0.0, wait))
            if self.store.problem is not None:
                return


def test_what_is_put_within_a_pause_goes_in_one_request() -> None:
    bench = Bench()
    bench.put(1)
    assert bench.outbox.deliver() == 1.0
    bench.put(2, 3)
    bench.put(4)
    bench.clock.advance(0.25)
    assert bench.outbox.deliver() == 0.75
    bench.clock.advance(0.75)
    assert bench.outbox.deliver() == 1.0
    assert bench.outbox.deliver() is None
    assert bench.store.requests == [["1"], ["2", "3", "4"]]
    assert (bench.meter.sent, bench.meter.held) == (4, 0)


def test_a_large_backlog_goes_in_requests_of_bounded_size() -> None:
    bench = Bench(batch=3)
    bench.put(*range(7))
    bench.run()
    assert [len(request) for request in bench.store.requests] == [3, 3, 1]
    assert bench.store.lines == [str(number) for number in range(7)]


@pytest.mark.parametrize("problem", [Unavailable("away"), RuntimeError("a defect")])
def test_an_outage_loses_nothing_that_fits_and_tries_ever_more_seldom(problem: Exception) -> None:
    bench = Bench(bound=5, backoff_cap=8.0)
    bench.store.problem = problem
    bench.put(1, 2, 3)
    waits = []
    for _ in range(6):
        wait = bench.outbox.deliver()
        assert wait is not None
        waits.append(wait)
        bench.clock.advance(wait)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    bench.put(4, 5, 6, 7)
    assert bench.meter.dropped == 2
    bench.store.problem = None
    bench.run()
    assert bench.store.lines == ["3", "4", "5", "6", "7"]
    bench.put(8)
    assert bench.outbox.deliver() == 1.0
    assert bench.meter.returns == 1


def test_what_is_refused_is_dropped_and_does_not_stand_in_the_way() -> None:
    bench = Bench(batch=2)
    bench.put(1, 2, 3)
    bench.store.problem = BadRequest("field type conflict")
    bench.run()
    bench.store.problem = None
    bench.run()
    assert bench.store.lines == ["3"]
    assert (bench.meter.sent, bench.meter.dropped) == (1, 2)


def test_flushing_does_not_wait_for_a_store_that_is_away() -> None:
    bench = Bench()
    assert bench.outbox.flush(0.0)
    bench.put(1)
    bench.store.problem = Unavailable("away")
    bench.outbox.deliver()
    assert not bench.outbox.flush(60.0)


def test_the_thread_delivers_and_closing_waits_for_it() -> None:
    bench = Bench()
    bench.outbox.start()
    bench.put(1, 2)
    assert bench.outbox.flush(10.0)
    assert bench.store.lines == ["1", "2"]
    bench.outbox.close(1.0)


def test_at_the_end_a_store_that_was_away_is_asked_once_more() -> None:
    bench = Bench(batch=2)
    bench.put(1, 2, 3)
    bench.store.problem = Unavailable("away")
    bench.outbox.deliver()
    bench.store.problem = None
    bench.outbox.close(60.0)
    assert bench.store.lines == ["1", "2"]


@given(
    st.lists(
        st.one_of(
            st.integers(1, 9).map(lambda many: ("put", many)),
            st.sampled_from([("deliver", 0), ("away", 0), ("back", 0), ("refuse", 0)]),
        ),
        max_size=40,
    )
)
def test_every_line_is_delivered_once_in_order_or_counted_as_lost(steps: list[tuple[str, int]]) -> None:
    bench = Bench(bound=12, batch=5)
    problems: dict[str, AsperathosError | None] = {
        "away": Unavailable("away"),
        "back": None,
        "refuse": BadRequest("no"),
    }
    count = 0
    for step, many in steps:
        if step == "put":
            bench.put(*range(count, count + many))
            count += many
        elif step == "deliver":
            bench.clock.advance(bench.outbox.deliver() or 0.0)
        else:
            bench.store.problem = problems[step]
        assert bench.meter.held <= 12
    bench.store.problem = None
    bench.clock.advance(60.0)
    bench.run()
    delivered = [int(line) for line in bench.store.lines]
    assert delivered == sorted(set(delivered))
    assert len(delivered) + bench.meter.dropped == count
    assert bench.outbox.flush(0.0)
