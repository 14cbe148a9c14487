"""The archive of a dedicated queue is complete, in order, and survives interruptions."""

from __future__ import annotations

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

from manager.archiving import archive_page
from tests.fakes.clock import FakeClock


def filled(clock: FakeClock, done: int, failed: int) -> MemoryQueue:
    queue = MemoryQueue(clock.now, QueueConfig(retries=0))
    queue.put([NewItem(f"item {n}") for n in range(done + failed)])
    for n in range(done + failed):
        (lease,) = queue.take("w", 0).leases
        if n < done:
            queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt, f"result {n}")], 0)
        else:
            queue.fail("w", lease, f"error {n}")
    return queue


def copied(target: MemoryQueue) -> tuple[list[str], list[str]]:
    results = [result.result for result in target.results(0, 10_000)[0]]
    return results, [failure.error for failure in target.dead(0, 10_000)[0]]


@pytest.mark.parametrize(("done", "failed"), [(0, 0), (1, 0), (0, 2), (1203, 3)])
def test_everything_is_copied_once_and_in_order(done: int, failed: int) -> None:
    clock = FakeClock()
    source, target = filled(clock, done, failed), MemoryQueue(clock.now)
    calls = 1
    while not archive_page(source, target):
        calls += 1
        assert calls < 20
    expected = [f"result {n}" for n in range(done)], [f"error {n}" for n in range(done, done + failed)]
    assert copied(target) == expected
    assert archive_page(source, target)
    assert copied(target) == expected


@pytest.mark.parametrize("lost", ["put", "take", "finish_and_take", "fail"])
def test_an_interrupted_copy_goes_on(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    source, target = filled(clock, 5, 2), MemoryQueue(clock.now)
    real = getattr(target, lost)

    def dies_afterwards(*arguments: object, **named: object) -> None:
        real(*arguments, **named)
        raise ConnectionError

    monkeypatch.setattr(target, lost, dies_afterwards)
    with pytest.raises(ConnectionError):
        while not archive_page(source, target):
            pass
    monkeypatch.undo()
    for _ in range(20):
        if archive_page(source, target):
            break
        clock.advance(2)
    assert sorted(copied(target)[0]) == [f"result {n}" for n in range(5)]
    assert sorted(copied(target)[1]) == ["error 5", "error 6"]
