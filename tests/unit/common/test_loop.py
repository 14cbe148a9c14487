"""The loop on a fake clock: its schedule is driven by hand, its threads are those of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from common.clock import SystemClock
from common.domain.errors import Conflict, Unavailable
from common.loop import Loop, LoopSettings, Setbacks
from common.ports import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryLeases, MemoryWakeups

SETTINGS = LoopSettings(
    service="svc", owner="me", workers=2, poll=0.02, scan=5.0, lease=10.0, backoff_base=0.5, backoff_cap=4.0
)


class _Later(Executor):
    """Keeps what is submitted until told to run it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run(self) -> int:
        ready, self.waiting = self.waiting, []
        for call in ready:
            call()
        return len(ready)


class _Steps:
    """Answers by id: seconds to wait, or an exception; a callable is called first."""

    def __init__(self) -> None:
        self.active: list[str] = []
        self.answers: dict[str, Any] = {}
        self.done: list[str] = []
        self.scans = 0
        self.scan_error: Exception | None = None

    def active_ids(self) -> Iterable[str]:
        self.scans += 1
        if self.scan_error is not None:
            raise self.scan_error
        return list(self.active)

    def step(self, id: str) -> float:
        self.done.append(id)
        answer = self.answers.get(id, 2.0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return float(answer)


class _Meter:
    def __init__(self) -> None:
        self.lags: list[float] = []
        self.failures = 0
        self.backlogs: list[int] = []

    def stepped(self, seconds: float, lag: float) -> None:
        self.lags.append(lag)

    def failed(self) -> None:
        self.failures += 1

    def waiting(self, steps: int) -> None:
        self.backlogs.append(steps)


class Bench:
    def __init__(self, clock: Clock | None = None, executor: Executor | None = None) -> None:
        self.clock = FakeClock()
        self.steps = _Steps()
        self.leases = MemoryLeases(clock or self.clock)
        self.wakeups = MemoryWakeups(clock or self.clock)
        self.meter = _Meter()
        self.later = _Later()
        pool = None if clock else self.later
        self.life = "first"
        self.forgotten = 0
        self.loop = Loop(
            SETTINGS,
            self.steps,
            self.leases,
            self.wakeups,
            clock or self.clock,
            self.meter,
            pool,
            Setbacks(lambda: self.life, self.forget),
        )

    def forget(self) -> None:
        self.forgotten += 1

    def tick(self, seconds: float = 0.0) -> float:
        """Let time pass, begin what is due and carry it out; returns the seconds until the next."""
        self.clock.advance(seconds)
        self.loop.tick()
        self.later.run()
        return self.loop.tick()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_was_put_off_is_looked_at_when_the_records_may_be_older_than_what_was_seen(bench: Bench) -> None:
    bench.steps.active = ["ended"]
    bench.steps.answers = {"ended": 3600.0}
    bench.tick()
    for _ in range(3):
        bench.tick(5.0)
    assert (bench.steps.done, bench.forgotten) == (["ended"], 0)
    bench.life = "second"
    bench.tick(5.0)
    assert (bench.steps.done, bench.forgotten) == (["ended"] * 2, 1)
    bench.tick(5.0)
    assert (bench.steps.done, bench.forgotten) == (["ended"] * 2, 1)


def test_active_records_are_stepped_when_they_ask_for_it(bench: Bench) -> None:
    bench.steps.active = ["a", "b"]
    bench.steps.answers = {"a": 1.0, "b": 3.0}
    assert bench.tick() == pytest.approx(1.0)
    assert bench.steps.done == ["a", "b"]
    assert bench.tick(1.0) == pytest.approx(1.0)
    assert bench.steps.done == ["a", "b", "a"]
    bench.tick(2.0)
    assert sorted(bench.steps.done) == ["a", "a", "a", "b", "b"]


def test_what_is_active_is_read_now_and_then(bench: Bench) -> None:
    bench.tick()
    bench.steps.active = ["a"]
    assert bench.tick(4.9) == pytest.approx(0.1)
    assert bench.steps.done == []
    bench.tick(0.1)
    assert bench.steps.done == ["a"]
    assert bench.steps.scans == 2


def test_what_is_not_active_any_more_is_left_alone(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.tick()
    bench.steps.active = []
    bench.tick(5.0)
    bench.tick(5.0)
    assert bench.steps.done.count("a") <= 2
    done = len(bench.steps.done)
    bench.tick(100.0)
    assert len(bench.steps.done) == done


def test_with_nothing_to_do_it_waits_for_the_next_scan(bench: Bench) -> None:
    assert bench.tick() == pytest.approx(SETTINGS.scan)


def test_a_nudge_makes_a_record_due_before_the_scan_knows_it(bench: Bench) -> None:
    bench.tick()
    bench.wakeups.notify("svc", "new")
    assert bench.loop.listen() == 0.0
    bench.tick()
    assert bench.steps.done == ["new"]


def test_a_nudge_during_a_step_leads_to_another_one_at_once(bench: Bench) -> None:
    def nudge() -> float:
        bench.wakeups.notify("svc", "a")
        bench.loop.listen()
        bench.steps.answers["a"] = 60.0
        return 60.0

    bench.steps.active = ["a"]
    bench.steps.answers["a"] = nudge
    bench.tick()
    assert bench.later.run() == 1
    assert bench.steps.done == ["a", "a"]
    assert bench.tick() == pytest.approx(SETTINGS.scan)


def test_a_running_step_is_not_begun_twice(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.loop.tick()
    bench.clock.advance(60.0)
    bench.loop.tick()
    bench.wakeups.notify("svc", "a")
    bench.loop.listen()
    bench.loop.tick()
    assert len(bench.later.waiting) == 1


def test_a_step_that_wants_the_next_at_once_gets_it(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.steps.answers["a"] = 0.0
    for _ in range(5):
        bench.loop.tick()
        assert bench.later.run() == 1
    bench.steps.answers["a"] = -3.0
    bench.loop.tick()
    assert bench.later.run() == 1


def test_a_failing_step_backs_off_and_hurts_no_other(bench: Bench) -> None:
    bench.steps.active = ["bad", "good"]
    bench.steps.answers = {"bad": ValueError("broken"), "good": 100.0}
    waits = [bench.tick()]
    for _ in range(5):
        waits.append(bench.tick(waits[-1]))
    assert waits[:4] == [pytest.approx(wait) for wait in (0.5, 1.0, 2.0, 1.5)]
    assert bench.steps.done.count("good") == 1
    assert bench.meter.failures == bench.steps.done.count("bad")


def test_backoff_is_capped_and_forgotten_after_a_success(bench: Bench) -> None:
    bench.steps.active = ["bad"]
    bench.steps.answers = {"bad": Unavailable("away")}
    for _ in range(12):
        assert bench.tick(5.0) <= SETTINGS.backoff_cap
    bench.steps.answers = {"bad": 1.0}
    assert bench.tick(5.0) == pytest.approx(1.0)
    bench.steps.answers = {"bad": Unavailable("away")}
    assert bench.tick(1.0) == pytest.approx(0.5)


def test_a_conflict_is_tried_again_soon_but_not_for_ever_so(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.steps.answers = {"a": Conflict("changed")}
    waits = [bench.tick()]
    for _ in range(7):
        waits.append(bench.tick(waits[-1]))
    assert waits[:4] == [pytest.approx(0.05 * 2**n) for n in range(4)]
    assert bench.meter.failures == 0
    bench.steps.answers = {"a": 1.0}
    bench.tick(10.0)
    bench.steps.answers = {"a": Conflict("changed")}
    assert bench.tick(1.0) == pytest.approx(0.05)


def test_a_record_that_another_process_works_on_is_left_to_it(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.leases.hold("svc:a", "another", 60)
    assert bench.tick() == pytest.approx(0.5)
    assert bench.steps.done == []
    bench.leases.release("svc:a", "another")
    bench.tick(0.5)
    assert bench.steps.done == ["a"]


@pytest.mark.parametrize("answer", [1.0, ValueError("broken")])
def test_the_lease_is_given_back_whatever_happened(bench: Bench, answer: object) -> None:
    bench.steps.active = ["a"]
    bench.steps.answers["a"] = answer
    bench.tick()
    assert bench.leases.hold("svc:a", "another", 1) is not None


def test_a_lease_that_cannot_be_given_back_does_not_undo_the_step(bench: Bench) -> None:
    def fall() -> float:
        bench.leases.down = True
        return 3.0

    bench.steps.active = ["a"]
    bench.steps.answers["a"] = fall
    assert bench.tick() == pytest.approx(3.0)
    assert bench.meter.failures == 0


def test_a_failing_scan_backs_off_and_known_records_go_on(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.tick()
    bench.steps.scan_error = Unavailable("away")
    scans = bench.steps.scans
    for _ in range(40):
        bench.tick(0.5)
    assert bench.steps.scans - scans < 10
    assert bench.steps.done.count("a") > 5
    bench.steps.scan_error = None
    bench.steps.active = ["a", "b"]
    bench.tick(5.0)
    bench.tick(5.0)
    assert "b" in bench.steps.done


def test_listening_to_nobody_backs_off(bench: Bench) -> None:
    bench.wakeups.down = True
    assert [bench.loop.listen() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    bench.wakeups.down = False
    assert bench.loop.listen() == 0.0
    bench.wakeups.down = True
    assert bench.loop.listen() == 0.5


def test_lag_is_how_late_a_step_began(bench: Bench) -> None:
    bench.steps.active = ["a"]
    bench.steps.answers["a"] = 1.0
    bench.tick()
    bench.loop.tick()
    bench.clock.advance(4.0)
    bench.loop.tick()
    bench.clock.advance(0.25)
    bench.later.run()
    assert bench.meter.lags == [pytest.approx(0.0), pytest.approx(3.25)]


def test_readiness_is_lost_when_the_loop_stands_still(bench: Bench) -> None:
    bench.loop.check()
    bench.clock.advance(34.0)
    bench.loop.check()
    bench.clock.advance(2.0)
    with pytest.raises(Unavailable):
        bench.loop.check()
    bench.loop.tick()
    bench.loop.check()


# With its own threads. Events say when something happened; waits have deadlines.


@pytest.fixture
def threaded() -> Iterable[Bench]:
    bench = Bench(SystemClock())
    yield bench
    bench.loop.stop(2.0)


def test_a_nudge_is_answered_while_a_slow_step_runs(threaded: Bench) -> None:
    slow_began, slow_may_end, quick = threading.Event(), threading.Event(), threading.Event()

    def slow() -> float:
        slow_began.set()
        slow_may_end.wait(10.0)
        return 60.0

    def be_quick() -> float:
        quick.set()
        return 60.0

    threaded.steps.active = ["slow"]
    threaded.steps.answers = {"slow": slow, "quick": be_quick}
    threaded.loop.start()
    assert slow_began.wait(5.0)
    threaded.wakeups.notify("svc", "quick")
    assert quick.wait(5.0)
    slow_may_end.set()


def test_a_step_nudged_while_running_follows_without_waiting_for_the_schedule(threaded: Bench) -> None:
    twice = threading.Event()

    def step() -> float:
        if len(threaded.steps.done) == 1:
            return 0.0
        twice.set()
        return 60.0

    threaded.steps.active = ["a"]
    threaded.steps.answers["a"] = step
    threaded.loop.start()
    assert twice.wait(3.0)


def test_stop_waits_for_running_steps_and_begins_none(threaded: Bench) -> None:
    began, ended = threading.Event(), threading.Event()

    def step() -> float:
        began.set()
        threading.Event().wait(0.1)
        ended.set()
        return 0.0

    threaded.steps.active = ["a"]
    threaded.steps.answers["a"] = step
    threaded.loop.start()
    assert began.wait(5.0)
    threaded.loop.stop(5.0)
    assert ended.is_set()
    assert threaded.steps.done == ["a"]


def test_stop_does_not_wait_for_a_stuck_step_longer_than_told(threaded: Bench) -> None:
    began, release, stopped = threading.Event(), threading.Event(), threading.Event()

    def stuck() -> float:
        began.set()
        release.wait(20.0)
        return 60.0

    def stop() -> None:
        threaded.loop.stop(0.05)
        stopped.set()

    threaded.steps.active = ["a"]
    threaded.steps.answers["a"] = stuck
    threaded.loop.start()
    assert began.wait(5.0)
    threading.Thread(target=stop, daemon=True).start()
    assert stopped.wait(5.0)
    release.set()


def test_a_nudge_that_comes_after_stopping_is_passed_on(bench: Bench) -> None:
    bench.loop.stop(0.1)
    bench.wakeups.notify("svc", "a")
    bench.loop.listen()
    assert bench.wakeups.sent == [("svc", "a"), ("svc", "a")]
