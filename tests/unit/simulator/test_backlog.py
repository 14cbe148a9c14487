"""The modelled queue and hands tell what the real queue would, whatever happens to items taken by the handful."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, Lease, NewItem, QueueConfig
from hypothesis import given
from hypothesis import strategies as st

from simulator.backlog import Backlog
from simulator.hand import Hand

CONFIG = QueueConfig(lease=1e9, retries=2, backoff_base=1.0, backoff_cap=60.0, stream=True)
WORKERS = 3
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "work", "work", "fail", "flush", "hand back the rest", "hand back all"]),
        st.integers(0, WORKERS - 1),
        st.integers(1, 4),
        st.sampled_from([0.1, 0.7, 3.0]),
    ),
    max_size=60,
)


class _World:
    """The real queue's in-memory twin and the model, moved alike."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.real = MemoryQueue(lambda: self.now, CONFIG)
        self.model = Backlog(CONFIG)
        self.hands = [Hand(4) for _ in range(WORKERS)]
        self.leases: dict[int, Lease] = {}
        self.due: list[tuple[float, int]] = []
        self._number = 0

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for at, item in sorted(one for one in self.due if one[0] <= self.now):
            self.model.again(item, at)
            self.due.remove((at, item))

    def put(self, number: int) -> None:
        items = range(self._number, self._number + number)
        self._number += number
        self.real.put([NewItem(str(item), str(item)) for item in items])
        self.model.put(items, self.now)

    def take(self, worker: int, number: int) -> None:
        hand = self.hands[worker]
        if hand.leases:
            return
        leases = self.real.take(f"worker-{worker}", 0, number).leases
        taken = self.model.take(self.now, number)
        assert [lease.payload for lease in leases] == [str(item) for item, _ in taken]
        self.leases.update({item: lease for (item, _), lease in zip(taken, leases, strict=True)})
        hand.take(taken, self.now)

    def begin(self, worker: int) -> bool:
        hand = self.hands[worker]
        if hand.current is None and hand.unstarted:
            hand.start()
        return hand.current is not None

    def acknowledge(self, worker: int) -> None:
        hand = self.hands[worker]
        if hand.finished:
            acks = [Ack(self.leases[item].id, self.leases[item].attempt) for item in hand.finished]
            self.real.finish_and_take(f"worker-{worker}", 0, acks, 0)
            self.model.finish(*hand.acknowledge(self.now))

    def fail(self, worker: int) -> None:
        hand = self.hands[worker]
        item = hand.current
        assert item is not None
        self.real.fail(f"worker-{worker}", self.leases[item], "broken")
        hand.current, hand.free_at = None, self.now
        delay = self.model.fail(item)
        if delay is not None:
            self.due.append((self.now + delay, item))

    def hand_back(self, worker: int, items: list[int]) -> None:
        if items:
            self.real.release(f"worker-{worker}", [self.leases[item] for item in items])
            self.model.hand_back(items, self.now)

    def compare(self) -> None:
        told = self.real.stats()
        ages = [self.now - hand.taken_at for hand in self.hands for _ in range(hand.leases)]
        modelled = self.model.stats(self.now, self.now, ages)
        # The real queue moves an item whose delay is over only when somebody takes it.
        assert told.ready + told.delayed == modelled.ready + modelled.delayed
        same = {"ready": 0, "delayed": 0, "oldest_ready_wait": None}
        waits, services = told.wait, told.service
        assert modelled.wait.buckets == waits.buckets
        assert modelled.service.buckets == services.buckets
        sums = (services.total, services.squares)
        assert (modelled.service.total, modelled.service.squares) == pytest.approx(sums)
        assert modelled.running == pytest.approx(told.running)
        alike = {"wait": waits, "service": services, "running": ()}
        assert replace(modelled, **same, **alike) == replace(told, **same, **alike)


@given(MOVES)
def test_it_tells_what_the_real_queue_tells(moves: list[tuple[str, int, int, float]]) -> None:
    world = _World()
    for move, worker, number, seconds in moves:
        hand = world.hands[worker]
        if move == "put":
            world.put(number)
        elif move == "flush":
            world.acknowledge(worker)
        elif move == "hand back the rest" and hand.unstarted:
            world.hand_back(worker, hand.drop_unstarted(world.now))
        elif move == "hand back all":
            world.acknowledge(worker)
            world.hand_back(worker, hand.drop())
            world.hands[worker] = Hand(4)
            world.hands[worker].free_at = world.now
        elif move in ("work", "fail"):
            world.take(worker, number)
            is_working = world.begin(worker)
            world.wait(seconds)
            if is_working and move == "work":
                hand.finish(world.now)
            elif is_working:
                world.fail(worker)
            if not hand.unstarted:
                world.acknowledge(worker)
        world.compare()
        world.wait(0.1)
