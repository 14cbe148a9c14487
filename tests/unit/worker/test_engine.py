from __future__ import annotations

import pytest
from asperathos_worker.errors import Exit, QueueGone, Unable
from asperathos_worker.outcome import Done, Outcome, Unfinished
from asperathos_worker.queue.api import CredentialsRefused, QueueMissing, QueueRefused, QueueUnavailable
from asperathos_worker.queue.records import Lease

from tests.unit.worker.support import Bench

AWAY = QueueUnavailable("connection refused")


class ScriptedProcessor:
    """Answers with what a function says."""

    def __init__(self, answer, most: int = 1) -> None:  # type: ignore[no-untyped-def]
        self.answer = answer
        self.most = most
        self.interrupts = 0

    def process(self, leases: list[Lease]) -> list[Outcome]:
        return [self.answer(lease) for lease in leases]

    def interrupt(self) -> bool:
        self.interrupts += 1
        return True

    def whereabouts(self) -> str:
        return ""


def test_the_queue_is_worked_off_in_order_and_the_worker_exits_0() -> None:
    bench = Bench(["a", "b", "c"])
    seen: list[str] = []
    assert bench.run(lambda item: seen.append(item) or item.upper()) is Exit.DONE
    assert seen == ["a", "b", "c"]
    assert bench.results() == {"0": "A", "1": "B", "2": "C"}
    assert bench.desk.counters.counts()["done"] == 3


def test_an_empty_queue_is_over_at_once() -> None:
    bench = Bench([])
    assert bench.run(len) is Exit.DONE
    assert bench.queue.count("take") == 1 and bench.clock.now() == 1000.0


def test_short_items_need_few_calls() -> None:
    bench = Bench([str(number) for number in range(1000)])
    bench.run(lambda item: None)
    assert len(bench.results()) == 1000
    assert len(bench.queue.calls) < 20


def test_long_items_are_taken_and_acknowledged_one_by_one() -> None:
    bench = Bench(["a", "b", "c"])
    held: list[int] = []

    def handler(item: str) -> None:
        bench.clock.advance(2)
        held.append(bench.memory.stats().leased)

    bench.run(handler)
    assert held == [1, 1, 1]
    assert bench.queue.count("finish_and_take") == 3


def test_batch_1_takes_strictly_one_by_one() -> None:
    bench = Bench(["a"] * 50)
    bench.run(lambda item: None, batch=1)
    assert all(args[3:] == (1,) for name, args in bench.queue.calls if name == "finish_and_take")


def test_the_worker_waits_for_a_peers_items_and_takes_over_when_the_lease_ends() -> None:
    bench = Bench(["a"], lease=30)
    bench.memory.take("dead-pod", 1)
    assert bench.run(str.upper) is Exit.DONE
    assert bench.results() == {"0": "A"}
    assert bench.clock.now() >= 1030
    # Waiting grows to a second between two questions.
    assert bench.queue.count("take") < 45


def test_a_stream_is_worked_on_until_it_is_stopped() -> None:
    bench = Bench(["a"], close=False)

    def on_call(name: str) -> None:
        if bench.queue.count("take") == 20:
            bench.memory.stop()

    bench.queue.on_call = on_call
    assert bench.run(str.upper) is Exit.DONE
    assert bench.results() == {"0": "A"} and bench.queue.count("take") == 20


def test_a_draining_worker_idles_and_goes_on_when_the_limit_is_lifted() -> None:
    bench = Bench(["a", "b"], index=3)
    bench.memory.set_limit(2)
    idle_until = 1050.0

    def on_call(name: str) -> None:
        if bench.clock.now() > idle_until:
            bench.memory.set_limit(None)

    bench.queue.on_call = on_call
    assert bench.run(str.upper) is Exit.DONE
    assert bench.clock.now() > idle_until
    assert bench.log.names().count("draining") == 1 and bench.log.names().count("drain_lifted") == 1


def test_a_stop_while_working_finishes_the_item_and_hands_back_the_rest() -> None:
    bench = Bench([str(number) for number in range(100)])
    worked = []

    def handler(item: str) -> None:
        worked.append(item)
        if len(worked) == 40:
            bench.desk.stop.ask(Exit.TERMINATED, bench.clock.now())

    assert bench.run(handler) is Exit.TERMINATED
    stats = bench.memory.stats()
    assert (stats.done, stats.leased, stats.ready) == (40, 0, 60)
    assert stats.released > 0 and stats.failed == 0
    assert [item.payload for item in (bench.memory.take("next", 0).leases)] == ["40"], "handed back to the front"


def test_a_stop_while_waiting_ends_at_once() -> None:
    bench = Bench([], close=False)
    bench.queue.on_call = lambda name: bench.desk.stop.ask(Exit.INTERRUPTED, 0.0)
    assert bench.run(len) is Exit.INTERRUPTED


def test_a_stop_during_a_take_hands_back_what_it_brought() -> None:
    bench = Bench(["a"])
    bench.queue.on_call = lambda name: bench.desk.stop.ask(Exit.TERMINATED, 0.0)
    assert bench.run(len) is Exit.TERMINATED
    stats = bench.memory.stats()
    assert (stats.ready, stats.leased, stats.released) == (1, 0, 1)


def test_while_the_queue_is_away_a_result_is_held_and_then_acknowledged() -> None:
    bench = Bench(["a", "b"], lease=1000)

    def handler(item: str) -> str:
        bench.clock.advance(5)
        if item == "a":
            bench.queue.fault = AWAY
        return item.upper()

    def on_call(name: str) -> None:
        if bench.clock.now() > 1100:
            bench.queue.fault = None

    bench.queue.on_call = on_call
    assert bench.run(handler) is Exit.DONE
    assert bench.results() == {"0": "A", "1": "B"}
    assert bench.log.names().count("queue_unavailable") == 1 and bench.log.names().count("queue_back") == 1


def test_a_result_that_comes_too_late_is_refused_and_said_so() -> None:
    bench = Bench(["a"], lease=10)

    def handler(item: str) -> str:
        bench.clock.advance(11)
        if bench.memory.stats().taken == 1:
            taken = bench.memory.take("peer", 1)
            bench.memory.finish_and_take("peer", 1, [_ack(taken.leases[0], "by the peer")], 0)
        return "late"

    assert bench.run(handler) is Exit.DONE
    assert bench.results() == {"0": "by the peer"}
    assert "result_refused" in bench.log.names()
    assert bench.desk.counters.counts()["done"] == 0


def _ack(lease: Lease, result: str):  # type: ignore[no-untyped-def]
    from asperathos_worker.queue.records import Ack

    return Ack(lease.id, lease.attempt, result)


@pytest.mark.parametrize(("fault", "said"), [(AWAY, "cannot be reached"), (QueueMissing("gone"), "does not exist")])
def test_patience_has_an_end(fault: Exception, said: str) -> None:
    bench = Bench(["a"], patience=100)
    bench.queue.fault = fault  # type: ignore[assignment]
    with pytest.raises(QueueGone, match=said):
        bench.run(len)
    assert 1100 <= bench.clock.now() <= 1103


def test_a_stop_while_the_queue_is_away_and_nothing_is_held_ends_at_once() -> None:
    bench = Bench(["a"])
    bench.queue.fault = AWAY
    bench.queue.on_call = lambda name: bench.desk.stop.ask(Exit.TERMINATED, 0.0)
    with pytest.raises(QueueGone):
        bench.run(len)
    assert bench.clock.now() == 1000.0


def test_a_failure_is_reported_even_if_the_queue_is_away_for_a_while() -> None:
    bench = Bench(["a"], retries=0)

    def handler(item: str) -> None:
        bench.queue.fault = AWAY
        raise ValueError("bad")

    def on_call(name: str) -> None:
        if bench.queue.count("fail") == 4:
            bench.queue.fault = None

    bench.queue.on_call = on_call
    assert bench.run(handler) is Exit.DONE
    assert bench.memory.stats().dead == 1 and bench.memory.stats().failed == 1


def test_a_server_that_refuses_ends_the_worker() -> None:
    bench = Bench(["a"])
    bench.queue.fault = QueueRefused("NOPERM")
    with pytest.raises(QueueRefused):
        bench.run(len)


def test_an_idle_worker_looks_often_enough_for_short_leases() -> None:
    bench = Bench(["a"], lease=1.5)
    (held,) = bench.memory.take("dead", 1).leases
    began = bench.clock.now()
    started: list[float] = []
    assert bench.run(lambda item: started.append(bench.clock.now())) is Exit.DONE
    assert held.attempt == 1
    assert started[0] - began <= 1.2 * 1.5


def test_credentials_that_are_granted_in_time_are_waited_for() -> None:
    bench = Bench(["a"])
    bench.queue.fault = CredentialsRefused("WRONGPASS")

    def granted_after(name: str) -> None:
        if bench.queue.count("take") == 6:
            bench.queue.fault = None

    bench.queue.on_call = granted_after
    assert bench.run(len) is Exit.DONE
    assert bench.results() == {"0": "1"}
    assert bench.log.names().count("credentials_refused") == 1


def test_credentials_that_stay_wrong_end_the_worker() -> None:
    bench = Bench(["a"])
    began = bench.clock.now()
    bench.queue.fault = CredentialsRefused("WRONGPASS")
    with pytest.raises(QueueRefused):
        bench.run(len)
    assert 30 <= bench.clock.now() - began < 35


def test_unfinished_work_goes_back_unharmed() -> None:
    bench = Bench(["a"], retries=0)
    outcomes: list[Outcome] = [Unfinished(), Done("second")]
    assert bench.engine(ScriptedProcessor(lambda lease: outcomes.pop(0))).run() is Exit.DONE
    assert bench.results() == {"0": "second"} and bench.memory.stats().released == 1


def test_a_worker_that_can_do_nothing_hands_everything_back() -> None:
    bench = Bench([str(number) for number in range(9)])

    def answer(lease: Lease) -> Outcome:
        if lease.id == "4":
            raise Unable("no such command", Exit.COMMAND_NOT_FOUND)
        return Done("")

    with pytest.raises(Unable):
        bench.engine(ScriptedProcessor(answer)).run()
    stats = bench.memory.stats()
    assert (stats.done, stats.leased, stats.ready, stats.failed) == (4, 0, 5, 0)


def test_metrics_are_sent_at_the_end_too() -> None:
    from asperathos_worker import report

    bench = Bench(["a"])
    bench.run(lambda item: report("loss", 0.5))
    assert bench.memory.reported() == {"loss": {"pod-a": 0.5}}
