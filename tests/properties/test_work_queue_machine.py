"""Random histories of the work queue against a model, on the in-memory fake and on a real Redis.

The model is one dict per item and four rules. It predicts every answer; what it does not predict (counters, places,
results) must add up after each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from asperathos_worker.queue.api import QueueClosed
from asperathos_worker.queue.records import Ack, Lease, NewItem, QueueConfig, Verdict
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.queues import MemoryWorld, RedisWorld
from tests.support.redis_process import RedisProcess

World = MemoryWorld | RedisWorld
LEASE, BASE, CAP = 30.0, 10.0, 15.0
# Steps of time are multiples of this, so that what a real server takes to answer never decides anything.
STEP = 5

Due = tuple[float, int, str]
"""When a lease or backoff ends: the model's time, then the number of the call that began it, then the id."""


@dataclass
class Item:
    place: str = "ready"
    attempt: int = 0
    failures: int = 0
    due: Due = (0.0, 0, "")
    index: int = 0


@dataclass
class Model:
    items: dict[str, Item] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    now: float = 0.0
    calls: int = 0
    number: int = 0
    retries: int = 1
    limit: int | None = None
    closed: bool = False
    stopped: bool = False

    def at(self, place: str) -> list[str]:
        return [id for id, item in self.items.items() if item.place == place]

    def ended(self, place: str) -> list[str]:
        """Ids whose lease or backoff has ended, in the order in which it did."""
        due = sorted(self.items[id].due for id in self.at(place))
        return [id for at, _, id in due if at <= self.now]

    def holds(self, index: int, lease: Lease) -> bool:
        return self.items[lease.id].place == "leased" and self.was_taken(index, lease)

    def was_taken(self, index: int, lease: Lease) -> bool:
        """Whether it is the item's latest attempt, and this worker's."""
        item = self.items[lease.id]
        return (item.attempt, item.index) == (lease.attempt, index)

    def charge(self, id: str, permanent: bool = False) -> bool:
        item = self.items[id]
        item.failures += 1
        if permanent or item.failures > self.retries:
            item.place = "dead"
            self.dead.append(id)
            return True
        return False

    def take(self, index: int, n: int) -> list[Lease]:
        if self.stopped or (self.limit is not None and index >= self.limit):
            return []
        taken: list[str] = []
        for id in self.ended("leased"):
            if len(taken) < n:
                self.counts["expired"] += 1
                if not self.charge(id):
                    taken.append(id)
        taken += self.ended("delayed")[: n - len(taken)]
        while self.ready and len(taken) < n:
            taken.append(self.ready.pop(0))
        for id in taken:
            item = self.items[id]
            item.place, item.index, item.attempt = "leased", index, item.attempt + 1
            item.due = (self.now + LEASE, self.calls, id)
            self.counts["taken"] += 1
        return [Lease(id, "p" + id, self.items[id].attempt, self.items[id].failures) for id in taken]

    def verdict(self, index: int, leases: list[Lease]) -> Verdict:
        if leases:
            return Verdict.ITEMS
        if self.stopped:
            return Verdict.STOPPED
        draining = self.limit is not None and index >= self.limit
        if self.closed and not self.at("ready") and not self.at("delayed") and (draining or not self.at("leased")):
            return Verdict.OVER
        if draining:
            return Verdict.DRAIN
        return Verdict.WAIT


class QueueMachine(RuleBasedStateMachine):
    indexes = st.integers(0, 3)
    # Numbers that some() turns into leases: counted from the latest one handed out, held or not.
    picks = st.lists(st.integers(0, 12), max_size=4, unique=True)

    def __init__(self, make_world: Callable[[], World]) -> None:
        super().__init__()
        self.world = make_world()
        self.queue = self.world.queue
        self.model = Model()
        self.queue.open(QueueConfig(lease=LEASE, retries=1, backoff_base=BASE, backoff_cap=CAP))
        self.accepted: Counter[str] = Counter()
        self.handed: list[Lease] = []

    def some(self, picks: list[int]) -> list[Lease]:
        return [self.handed[-1 - pick] for pick in picks if pick < len(self.handed)]

    def teardown(self) -> None:
        self.everything_is_in_its_place()
        self.world.close()

    @initialize(count=st.integers(1, 9))
    def start(self, count: int) -> None:
        self.put([str(number) for number in range(count)], 0)

    @rule(ids=st.lists(st.integers(0, 30).map(str), max_size=6), unnumbered=st.integers(0, 2))
    def put(self, ids: list[str], unnumbered: int) -> None:
        model = self.model
        new = [NewItem("p" + id, id) for id in ids]
        fresh = [id for id in dict.fromkeys(ids) if id not in model.items]
        taken = {*model.items, *ids}
        number = model.number
        for _ in range(unnumbered):
            while str(number) in taken:
                number += 1
            new.append(NewItem(f"p{number}"))
            fresh.append(str(number))
            number += 1
        if model.closed or model.stopped:
            if new:
                with pytest.raises(QueueClosed):
                    self.queue.put(new)
            return
        model.number = number
        assert self.queue.put(new) == len(fresh)
        for id in fresh:
            model.items[id] = Item()
        model.ready += fresh

    @rule(index=indexes, n=st.integers(1, 4))
    def take(self, index: int, n: int) -> None:
        self.finish_and_take(index, n, [], "")

    @rule(index=indexes, pick=st.integers(0, 3))
    def finish_one_and_take_one(self, index: int, pick: int) -> None:
        self.finish_and_take(index, 1, [pick], "r")

    @rule(index=indexes, n=st.integers(0, 4), picks=picks, result=st.text(max_size=3))
    def finish_and_take(self, index: int, n: int, picks: list[int], result: str) -> None:
        model, acks = self.model, self.some(picks)
        model.calls += 1
        expected = []
        for lease in acks:
            if model.holds(index, lease):
                model.items[lease.id].place = "done"
                model.done.append(lease.id)
                self.accepted[lease.id] += 1
            expected.append(model.items[lease.id].place == "done" and model.was_taken(index, lease))
        handed = model.take(index, n)
        taken = self.queue.finish_and_take(
            f"w{index}", index, [Ack(lease.id, lease.attempt, result + lease.id) for lease in acks], n
        )
        assert list(taken.accepted) == expected
        assert list(taken.leases) == handed
        assert taken.verdict is model.verdict(index, handed)
        self.handed += handed

    @precondition(lambda self: self.handed)
    @rule(index=indexes, pick=st.integers(0, 12), permanent=st.sampled_from([False, False, False, True]))
    def fail(self, index: int, pick: int, permanent: bool) -> None:
        model, lease = self.model, self.handed[-1 - pick % len(self.handed)]
        model.calls += 1
        held = model.holds(index, lease)
        assert self.queue.fail(f"w{index}", lease, f"error of {lease.id}", permanent) is held
        if held:
            model.counts["failed"] += 1
            if not model.charge(lease.id, permanent):
                item = model.items[lease.id]
                item.place = "delayed"
                item.due = (model.now + min(CAP, BASE * 2 ** (item.failures - 1)), model.calls, lease.id)

    @rule(index=indexes, picks=picks)
    def release(self, index: int, picks: list[int]) -> None:
        some = self.some(picks)
        held = [lease.id for lease in some if self.model.holds(index, lease)]
        assert self.queue.release(f"w{index}", some) == len(held)
        for id in held:
            self.model.items[id].place = "ready"
        self.model.ready[:0] = held
        self.model.counts["released"] += len(held)

    @rule(picks=picks, index=indexes)
    def extend(self, picks: list[int], index: int) -> None:
        model, some = self.model, self.some(picks)
        model.calls += 1
        lost = tuple(lease for lease in some if not model.holds(index, lease))
        assert self.queue.extend(f"w{index}", index, some) == lost
        for lease in some:
            if lease not in lost:
                model.items[lease.id].due = (model.now + LEASE, model.calls, lease.id)

    @rule()
    def sweep(self) -> None:
        model = self.model
        late = model.ended("leased")
        assert self.queue.sweep() == len(late)
        alive = [id for id in late if not model.charge(id)]
        for id in alive:
            model.items[id].place = "ready"
        model.ready[:0] = alive
        model.counts["expired"] += len(late)

    @rule(steps=st.sampled_from([1, 2, 3, 7]))
    def advance(self, steps: int) -> None:
        self.world.advance(steps * STEP)
        self.model.now += steps * STEP

    @rule(limit=st.sampled_from([None, None, None, None, 0, 1, 2, 3]))
    def set_limit(self, limit: int | None) -> None:
        self.queue.set_limit(limit)
        self.model.limit = limit

    @rule(retries=st.integers(0, 3))
    def change_rules(self, retries: int) -> None:
        self.queue.open(QueueConfig(lease=LEASE, retries=retries, backoff_base=BASE, backoff_cap=CAP))
        self.model.retries = retries

    @precondition(lambda self: self.model.calls > 10)
    @rule()
    def close(self) -> None:
        self.queue.close()
        self.model.closed = True

    @precondition(lambda self: self.model.calls > 20)
    @rule(really=st.sampled_from([False, False, True]))
    def stop(self, really: bool) -> None:
        if really:
            self.queue.stop()
            self.model.stopped = True

    @invariant()
    def the_numbers_add_up(self) -> None:
        model, stats = self.model, self.queue.stats()
        counts = Counter(item.place for item in model.items.values())
        found = (stats.ready, stats.delayed, stats.leased, stats.done, stats.dead)
        assert found == tuple(counts[place] for place in ("ready", "delayed", "leased", "done", "dead"))
        assert stats.put == sum(found) == len(model.items)
        assert (stats.taken, stats.failed) == (model.counts["taken"], model.counts["failed"])
        assert (stats.expired, stats.released) == (model.counts["expired"], model.counts["released"])
        # Every attempt is leased or has ended in exactly one way.
        assert stats.taken == stats.leased + stats.done + stats.failed + stats.expired + stats.released
        assert stats.service.count == stats.done
        assert len(stats.running) == stats.leased
        assert (stats.closed, stats.stopped, stats.limit) == (model.closed, model.stopped, model.limit)

    @invariant()
    def no_item_is_accepted_twice(self) -> None:
        assert all(times == 1 for times in self.accepted.values())

    def everything_is_in_its_place(self) -> None:
        model = self.model
        states = {state.id: state for state in self.queue.items([*model.items, "unknown"])}
        assert {id: (state.place, state.attempt, state.failures) for id, state in states.items()} == {
            id: (item.place, item.attempt, item.failures) for id, item in model.items.items()
        }
        results, end = self.queue.results()
        assert [result.id for result in results] == model.done
        assert end == len(model.done)
        assert all(result.result.endswith(result.id) for result in results)
        dead, _ = self.queue.dead()
        assert [failure.id for failure in dead] == model.dead
        assert len(self.queue.failures(1000)) == model.counts["failed"] + model.counts["expired"]
        for index in range(4):
            held = [item for item in model.items.values() if item.place == "leased" and item.index >= index]
            assert self.queue.busy_from(index) == len(held)


def machine_of(make_world: Callable[[], World]) -> type[RuleBasedStateMachine]:
    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(make_world)

    return Machine


def test_the_fake_obeys_the_model() -> None:
    run_state_machine_as_test(machine_of(MemoryWorld), settings=settings(stateful_step_count=40))


def test_redis_obeys_the_model(redis_server: RedisProcess) -> None:
    run_state_machine_as_test(
        machine_of(lambda: RedisWorld(redis_server.url)), settings=settings(max_examples=50, stateful_step_count=40)
    )
