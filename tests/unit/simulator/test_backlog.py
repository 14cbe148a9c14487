"""The modelled queue tells what the real one would, whatever happens to its items."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, Lease, NewItem, QueueConfig
from hypothesis import given
from hypothesis import strategies as st

from simulator.backlog import Backlog

CONFIG = QueueConfig(lease=1e9, retries=2, backoff_base=1.0, backoff_cap=60.0, stream=True)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "finish", "fail", "hand back", "wait"]),
        st.integers(0, 3),
        st.sampled_from([0.1, 0.7, 3.0]),
    ),
    max_size=60,
)


@given(MOVES)
def test_it_tells_what_the_real_queue_tells(moves: list[tuple[str, int, float]]) -> None:
    now = 1000.0
    real = MemoryQueue(lambda: now, CONFIG)
    model = Backlog(CONFIG)
    held: list[tuple[int, Lease, float]] = []
    due: list[tuple[float, int]] = []
    number = 0
    for move, choice, seconds in moves:
        now += seconds
        for at, item in sorted(one for one in due if one[0] <= now):
            model.again(item, at)
            due.remove((at, item))
        if move == "put":
            real.put([NewItem(str(number), str(number))])
            model.put((number,), now)
            number += 1
        elif move == "take":
            # Each item goes to a worker of its own, as a replica takes one at a time.
            leases = real.take(f"worker-{now}", 0).leases
            taken = model.take(now)
            assert (taken is None) == (not leases)
            if taken is not None:
                assert leases[0].payload == str(taken[0])
                held.append((taken[0], leases[0], now))
        elif held:
            item, lease, since = held.pop(choice % len(held))
            worker = f"worker-{since}"
            if move == "finish":
                real.finish_and_take(worker, 0, [Ack(lease.id, lease.attempt)], 0)
                model.finish(now - since)
            elif move == "fail":
                real.fail(worker, lease, "broken")
                delay = model.fail(item)
                if delay is not None:
                    due.append((now + delay, item))
            elif move == "hand back":
                real.release(worker, [lease])
                model.hand_back(item, now)
            else:
                held.append((item, lease, since))
    told, modelled = real.stats(), model.stats(now, now, (now - since for _, _, since in held))
    # The real queue moves an item whose delay is over only when somebody takes it.
    assert told.ready + told.delayed == modelled.ready + modelled.delayed
    same = {"ready": 0, "delayed": 0, "oldest_ready_wait": None}
    waits, services = told.wait, told.service
    assert modelled.wait.buckets == waits.buckets
    assert modelled.service.buckets == services.buckets
    assert (modelled.service.total, modelled.service.squares) == pytest.approx((services.total, services.squares))
    assert modelled.running == pytest.approx(told.running)
    sums = {"wait": waits, "service": services, "running": ()}
    assert replace(modelled, **same, **sums) == replace(told, **same, **sums)
