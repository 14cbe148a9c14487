from __future__ import annotations

from asperathos_worker.errors import Exit
from asperathos_worker.outcome import Done, Outcome, Unfinished
from asperathos_worker.pace import FLUSH, HOLD
from asperathos_worker.queue.api import QueueUnavailable
from asperathos_worker.queue.records import Lease

from tests.unit.worker.support import Bench
from tests.unit.worker.test_engine import ScriptedProcessor

AWAY = QueueUnavailable("connection refused")


def short_then(bench: Bench, last: object, count: int = 20):  # type: ignore[no-untyped-def]
    """A handler that runs ``last`` in the last of ``count`` items and does nothing in the others."""
    calls = []

    def handler(item: str) -> None:
        calls.append(item)
        if len(calls) == count:
            last()  # type: ignore[operator]

    return handler


def test_an_idle_watch_has_nothing_planned() -> None:
    bench = Bench([])
    bench.run(len)
    assert bench.watch.tick() is None


def test_heartbeats_keep_a_long_item() -> None:
    bench = Bench(["a"], lease=30)

    def handler(item: str) -> str:
        for _ in range(100):
            bench.clock.advance(bench.watch.tick() or 0)
        assert bench.memory.take("peer", 1).leases == ()
        return "done"

    assert bench.run(handler) is Exit.DONE
    assert bench.results() == {"0": "done"}
    assert bench.queue.count("extend") == 99 or bench.queue.count("extend") == 100
    assert bench.clock.now() - 1000 >= 99 * 10


def test_a_lost_lease_drops_the_result_and_interrupts_what_can_be_interrupted() -> None:
    bench = Bench(["a"], lease=10)
    processor = ScriptedProcessor(lambda lease: answer(lease))
    attempts = []

    def answer(lease: Lease) -> Outcome:
        attempts.append(lease.attempt)
        if lease.attempt > 1:
            return Done("again")
        bench.clock.advance(11)
        stolen = bench.memory.take("peer", 1).leases
        bench.watch.tick()
        bench.memory.release("peer", stolen)
        return Done("stale")

    assert bench.engine(processor).run() is Exit.DONE
    assert processor.interrupts == 1
    assert bench.results() == {"0": "again"} and attempts == [1, 3]
    assert bench.log.names().count("lease_lost") == 1 and "result_dropped" in bench.log.names()


def test_unstarted_items_do_not_wait_behind_a_long_one() -> None:
    bench = Bench([str(number) for number in range(100)])
    seen = []

    def stuck() -> None:
        before = bench.memory.stats().leased
        bench.clock.advance(HOLD)
        bench.watch.tick()
        seen.append((before, bench.memory.stats().leased))
        assert bench.memory.take("peer", 1).leases[0].payload == "20"

    bench.run(short_then(bench, stuck))
    before, after = seen[0]
    assert before > 2 and after == 1


def test_finished_items_are_acknowledged_while_a_long_one_runs() -> None:
    bench = Bench([str(number) for number in range(100)])
    seen = []

    def stuck() -> None:
        before = bench.memory.stats().done
        bench.clock.advance(FLUSH)
        bench.watch.tick()
        seen.append((before, bench.memory.stats().done))

    bench.run(short_then(bench, stuck))
    assert seen[0][0] < 19 and seen[0][1] == 19
    assert bench.memory.stats().done == 100


def test_at_the_wish_to_stop_unstarted_items_go_back_at_once() -> None:
    bench = Bench([str(number) for number in range(100)])
    seen = []

    def stuck() -> None:
        bench.desk.stop.ask(Exit.TERMINATED, bench.clock.now())
        bench.watch.tick()
        stats = bench.memory.stats()
        seen.append((stats.ready, stats.leased - len(bench.desk.hand.held()) + 1))

    assert bench.run(short_then(bench, stuck)) is Exit.TERMINATED
    assert seen == [(80, 1)]
    assert bench.ended == []


def test_when_the_grace_is_over_the_item_goes_back_and_the_process_ends() -> None:
    bench = Bench(["a", "b"], retries=0, grace=20)

    def handler(item: str) -> str:
        if not bench.ended:
            bench.desk.stop.ask(Exit.TERMINATED, bench.clock.now())
            pause = bench.watch.tick()
            assert pause == 20
            assert bench.ended == []
            bench.clock.advance(20)
            bench.watch.tick()
            assert bench.ended == [Exit.TERMINATED]
            stats = bench.memory.stats()
            assert (stats.ready, stats.leased, stats.released) == (2, 0, 1)
            bench.desk.abandoned.clear()  # a real process has ended by now
        return "late"

    assert bench.run(handler) is Exit.TERMINATED
    assert bench.results() == {}


def test_what_can_be_interrupted_is_interrupted_instead() -> None:
    bench = Bench(["a"], retries=0, grace=20)

    def answer(lease: Lease) -> Outcome:
        bench.desk.stop.ask(Exit.TERMINATED, bench.clock.now())
        bench.clock.advance(20)
        bench.watch.tick()
        bench.watch.tick()
        return Unfinished()

    processor = ScriptedProcessor(answer)
    assert bench.engine(processor).run() is Exit.TERMINATED
    assert processor.interrupts == 1 and bench.ended == []
    stats = bench.memory.stats()
    assert (stats.ready, stats.leased, stats.failed) == (1, 0, 0)


def test_hurry_does_not_wait_for_the_grace() -> None:
    bench = Bench(["a"], grace=20)

    def handler(item: str) -> None:
        if not bench.ended:
            bench.desk.stop.ask(Exit.INTERRUPTED, bench.clock.now())
            bench.desk.stop.hurry = True
            bench.watch.tick()
            bench.desk.abandoned.clear()

    bench.run(handler)
    assert bench.ended == [Exit.INTERRUPTED]


def test_an_item_over_its_time_fails_and_the_process_starts_anew() -> None:
    bench = Bench([str(number) for number in range(30)], retries=0, item_timeout=5)

    def stuck() -> None:
        bench.clock.advance(4.9)
        bench.watch.tick()
        assert bench.restarts == 0
        bench.clock.advance(0.1)
        bench.watch.tick()
        assert bench.restarts == 1
        stats = bench.memory.stats()
        assert (stats.dead, stats.done, stats.leased, stats.ready) == (1, 19, 0, 10)
        bench.desk.abandoned.clear()  # a real process has been replaced by now

    assert bench.run(short_then(bench, stuck)) is Exit.DONE
    error = bench.memory.dead()[0][0].error
    assert error.startswith("timed out after 5 s") and "in stuck" in error
    assert "engine.py" not in error, "what called the handler is of no interest"
    assert len(bench.results()) == 29


def test_the_time_of_an_item_counts_from_its_own_start() -> None:
    bench = Bench(["a", "b", "c"], item_timeout=5)

    def handler(item: str) -> None:
        bench.clock.advance(4)
        bench.watch.tick()

    bench.run(handler)
    assert bench.restarts == 0 and len(bench.results()) == 3


def test_a_timeout_waits_until_finished_results_are_safe() -> None:
    bench = Bench([str(number) for number in range(30)], item_timeout=5, lease=600)

    def stuck() -> None:
        bench.queue.fault = AWAY
        bench.clock.advance(6)
        bench.watch.tick()
        assert bench.restarts == 0
        bench.queue.fault = None
        bench.clock.advance(2)
        bench.watch.tick()
        assert bench.restarts == 1 and bench.memory.stats().done == 19
        bench.desk.abandoned.clear()

    bench.run(short_then(bench, stuck))


def test_while_the_queue_is_away_the_watch_tries_once_in_a_while() -> None:
    bench = Bench(["a"], lease=30)
    tries = []

    def handler(item: str) -> None:
        bench.queue.fault = AWAY
        bench.clock.advance(10)
        for _ in range(20):
            bench.clock.advance(bench.watch.tick() or 0)
        tries.append((bench.queue.count("extend"), bench.clock.now() - 1010))
        bench.queue.fault = None

    bench.run(handler)
    count, seconds = tries[0]
    assert count <= seconds + 1 <= 25
    assert bench.log.names().count("queue_unavailable") == 1


def test_metrics_go_out_at_most_once_a_second_while_the_item_runs() -> None:
    from asperathos_worker import report

    bench = Bench(["a"])

    def handler(item: str) -> None:
        for step in range(100):
            report("step", step)
            bench.watch.tick()
            bench.clock.advance(0.1)

    bench.run(handler)
    assert 10 <= bench.queue.count("report") <= 12
    assert bench.memory.reported() == {"step": {"pod-a": 99.0}}
