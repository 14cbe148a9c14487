"""Loading in slices: everything once, the source opened once, whatever happens between slices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import NewItem, QueueConfig
from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import WorkloadError
from common.domain.submission import Submission, SubmissionSpec, Workload
from manager.loading import Loader
from tests.fakes.clock import FakeClock


class SlowQueue(MemoryQueue):
    """Every put takes 0.4 s; the next one may fail."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now, QueueConfig())
        self.clock = clock
        self.is_broken = False
        self.batches: list[int] = []

    def put(self, items: list[NewItem]) -> int:  # type: ignore[override]
        self.clock.advance(0.4)
        if self.is_broken:
            raise ConnectionError
        self.batches.append(len(items))
        return super().put(items)


class Source:
    """Counts how often it is opened and closed."""

    def __init__(self, count: int, breaks_at: int | None = None) -> None:
        self.count = count
        self.breaks_at = breaks_at
        self.opened = self.closed = 0

    def open(self, _: Workload | None) -> Iterator[str]:
        self.opened += 1
        try:
            for n in range(self.count):
                if n == self.breaks_at:
                    raise WorkloadError(f"line {n + 1} is bad")
                yield f"item {n}"
        finally:
            self.closed += 1


def submission(loaded: int = 0) -> Submission:
    spec = SubmissionSpec.model_validate({"command": ["x"], "workload": ["a"]})
    return Submission(id="kj-0", spec=spec, created_at=0.0, loaded=loaded)


def items(queue: MemoryQueue) -> list[tuple[str, str]]:
    taken = queue.take("w", 0, 100_000).leases
    return [(lease.id, lease.payload) for lease in taken]


def load_all(loader: Loader, queue: MemoryQueue) -> int:
    current, slices = submission(), 0
    while True:
        loaded = loader.load(current, queue)
        slices += 1
        current = submission(loaded.count)
        if loaded.done:
            return slices


def expected(count: int) -> list[tuple[str, str]]:
    return [(str(n), f"item {n}") for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_all_is_put_in_bounded_slices_from_one_reading(count: int) -> None:
    clock = FakeClock()
    source, queue = Source(count), SlowQueue(clock)
    slices = load_all(Loader(source.open, clock, batch=10, slice_seconds=1.0), queue)
    assert items(queue) == expected(count)
    assert (source.opened, source.closed) == (1, 1)
    assert all(size <= 10 for size in queue.batches)
    assert slices >= count // 30


def test_a_new_process_winds_forward_and_puts_nothing_twice() -> None:
    clock = FakeClock()
    source, queue = Source(95), SlowQueue(clock)
    first = Loader(source.open, clock, batch=10, slice_seconds=1.0).load(submission(), queue)
    assert not first.done
    # The process died before it had written down how far it was.
    loader = Loader(source.open, clock, batch=10, slice_seconds=100.0)
    assert loader.load(submission(loaded=10), queue).done
    assert items(queue) == expected(95)
    assert source.opened == 2


def test_two_processes_that_load_in_turns_lose_nothing() -> None:
    clock = FakeClock()
    source, queue = Source(95), SlowQueue(clock)
    loaders = [Loader(source.open, clock, batch=10, slice_seconds=0.5) for _ in range(2)]
    current, turn, done = submission(), 0, False
    while not done:
        loaded = loaders[turn % 2].load(current, queue)
        current, turn, done = submission(loaded.count), turn + 1, loaded.done
    assert items(queue) == expected(95)
    assert source.opened == 2


def test_a_source_that_breaks_is_closed_and_told() -> None:
    clock = FakeClock()
    source, queue = Source(95, breaks_at=25), SlowQueue(clock)
    loader = Loader(source.open, clock, batch=10, slice_seconds=100.0)
    with pytest.raises(WorkloadError, match="line 26"):
        loader.load(submission(), queue)
    assert source.closed == 1


def test_a_queue_that_breaks_costs_no_item() -> None:
    clock = FakeClock()
    source, queue = Source(35), SlowQueue(clock)
    loader = Loader(source.open, clock, batch=10, slice_seconds=0.3)
    assert loader.load(submission(), queue).count == 10
    queue.is_broken = True
    with pytest.raises(ConnectionError):
        loader.load(submission(loaded=10), queue)
    queue.is_broken = False
    loader = Loader(source.open, clock, batch=10, slice_seconds=100.0)
    assert loader.load(submission(loaded=10), queue).done
    assert items(queue) == expected(35)


def test_a_source_that_became_shorter_ends_there() -> None:
    clock = FakeClock()
    queue = SlowQueue(clock)
    loaded = Loader(Source(5).open, clock, batch=10).load(submission(loaded=20), queue)
    assert (loaded.count, loaded.done) == (20, True)


@given(st.integers(0, 60), st.integers(1, 20), st.lists(st.booleans(), max_size=20))
def test_any_interleaving_of_restarts_puts_each_item_once(count: int, batch: int, restarts: list[bool]) -> None:
    clock = FakeClock()
    source, queue = Source(count), SlowQueue(clock)
    loader = Loader(source.open, clock, batch=batch, slice_seconds=0.5)
    current = submission()
    for restart in [*restarts, *[False] * 100]:
        loaded = loader.load(current, queue)
        if restart:
            # Half the time the record was not written.
            loader = Loader(source.open, clock, batch=batch, slice_seconds=0.5)
            if loaded.count % 2:
                continue
        current = submission(loaded.count)
        if loaded.done:
            break
    assert items(queue) == expected(count)


def test_no_more_than_the_quota_of_its_owner_is_put() -> None:
    clock = FakeClock()
    queue, source = SlowQueue(clock), Source(10)
    loader = Loader(source.open, clock, batch=4)
    held = submission().model_copy(update={"owner": "alice", "item_quota": 7})
    with pytest.raises(WorkloadError, match="more than 7 items, the quota of alice"):
        loader.load(held, queue)
    assert len(items(queue)) == 4 and source.closed == 1
    enough = Loader(Source(7).open, clock, batch=4)
    assert enough.load(held, SlowQueue(clock)).done


def test_a_workload_that_never_ends_is_given_up() -> None:
    clock = FakeClock()
    began = clock.monotonic()
    loader = Loader(Source(10**9).open, clock, batch=10, longest=60.0)
    queue, loaded = SlowQueue(clock), submission()
    with pytest.raises(WorkloadError, match="longer than 60 s"):
        for _ in range(100):
            loaded = loaded.model_copy(update={"loaded": loader.load(loaded, queue).count})
    assert clock.monotonic() - began < 80
