"""All items, and samples of them."""

from __future__ import annotations

import itertools

from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

from manager.reporting.lines import all_lines, sample


def worked(items: int, done: int, retain: int = 0) -> MemoryQueue:
    queue = MemoryQueue(lambda: 1000.0, QueueConfig(stream=bool(retain), retain=retain))
    queue.put([NewItem("x", str(number)) for number in range(items)])
    for lease in queue.take("w", 0, done).leases:
        queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt)], 0)
    return queue


def test_every_item_is_told_once() -> None:
    queue = worked(2500, 1500)
    queue.take("w", 0, 3)
    lease = queue.take("w", 0, 1).leases[0]
    queue.fail("w", lease, "lost", permanent=True)
    lines = list(all_lines(queue))
    assert sorted(int(line.id) for line in lines) == list(range(2500))
    assert [line.place for line in lines[1499:1506]] == ["done", "dead", "leased", "leased", "leased", "ready", "ready"]


def test_few_items_are_all_in_the_sample() -> None:
    for done in (0, 9, 10, 25, 40):
        found = sample(worked(50, done), page=10, pages=4)
        assert (len(found.lines), found.kept) == (done, done)
        assert [line.id for line in found.lines] == [str(number) for number in range(done)]


def test_of_many_items_the_sample_is_spread_over_all() -> None:
    found = sample(worked(1000, 1000), page=10, pages=5)
    assert (len(found.lines), found.kept) == (50, 1000)
    starts = [int(line.id) for line in found.lines][::10]
    assert starts[0] == 0 and starts[-1] == 990
    assert all(200 < after - before < 300 for before, after in itertools.pairwise(starts))


def test_of_a_stream_what_is_kept_is_sampled() -> None:
    found = sample(worked(100, 100, retain=30), page=10, pages=2)
    assert found.kept == 30
    assert [int(line.id) for line in found.lines] == [*range(70, 80), *range(90, 100)]
