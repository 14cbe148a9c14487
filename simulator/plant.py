"""A modelled plant: replicas that start late, work on items at a speed that may fall, fail, vanish, drain.

Events, not ticks: between two of them nothing changes. Work is kept in virtual time, which runs at the speed that
contention leaves; so many replicas may slow each other without their items being touched at every change.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Literal

from asperathos_worker.pace import FLUSH, HOLD, MOST
from asperathos_worker.queue.records import QueueConfig

from common.domain.cluster import WORKER_ROLE, JobView, PodView, SubmissionView
from simulator.backlog import Backlog
from simulator.contention import Contention
from simulator.distributions import Constant, Distribution
from simulator.hand import Hand
from simulator.room import Room
from simulator.timeline import Order, Timeline

ScaleDown = Literal["drain", "drain-index", "kill"]
"""``drain``: whoever is free first goes, and nobody busy is harmed. ``drain-index``: an Indexed Job, which the
controller's own code drains and lowers: only its highest indexes can go. ``kill``: the highest indexes go at once, and
their items begin anew."""


@dataclass(frozen=True)
class PlantModel:
    """How the plant behaves. Times in seconds, chances per attempt, hazards per replica-hour."""

    startup: Distribution = field(default_factory=lambda: Constant(5.0))
    """From a replica's request to its first item."""
    launch_interval: float = 0.0
    """Replicas of one submission start no closer to each other than this (image pulls, a kubelet's one by one)."""
    contention: Contention = field(default_factory=Contention)
    overhead: float = 0.0
    """A replica needs this between two items."""
    failures: float = 0.0
    """Chance that an attempt fails, somewhere on its way."""
    stragglers: float = 0.0
    """Chance that an attempt takes ``straggling`` times as long."""
    straggling: float = 5.0
    evictions: float = 0.0
    """Replicas taken away with notice: the item is handed back at once."""
    losses: float = 0.0
    """Replicas lost with their node: the item returns when its lease ends."""
    index_backoff: float = 10.0
    """A replica that was taken away comes back after this."""
    scale_down: ScaleDown = "drain"
    lease: float = 30.0
    retries: int = 3
    item_timeout: float | None = None
    """An attempt that takes longer is ended then and has failed."""
    at_once: int = MOST
    """Most items a replica takes at once; it takes several only while they are short. 1: strictly one by one."""
    single_use: bool = False
    """A replica does one item and ends: one Job per item."""

    @property
    def hazard(self) -> float:
        """Of a replica to be taken away, per hour."""
        return self.evictions + self.losses


class _Replica:
    """``state``: unplaced (no room yet) → starting → idle ⇄ busy (⇄ resting, between two items) → gone; away: taken,
    not yet back. Whatever its state, it holds what is in its hand."""

    __slots__ = ("began", "fails", "hand", "index", "life", "pod", "state", "ticket")

    def __init__(self, index: int, pod: PodView, most: int) -> None:
        self.index = index
        self.pod = pod
        self.state = "unplaced"
        self.life = 0
        self.ticket = 0
        self.hand = Hand(most)
        self.began = 0.0
        self.fails = False


class Plant:
    """One submission's replicas and queue. ``items`` are the service times (s) of a replica that works alone.

    With ``arrivals`` (seconds from now on, in order) it is a stream, else all items are there at once.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[float],
        arrivals: Sequence[float] | None,
        model: PlantModel,
        timeline: Timeline,
        room: Room,
        chance: random.Random,
        epoch: float,
    ) -> None:
        self._name = name
        self._items = items
        self._most_at_once = 1 if model.single_use else model.at_once
        self._arrivals = arrivals
        self._model = model
        self._timeline = timeline
        self._room = room
        self._chance = chance
        self._epoch = epoch
        self._begun = timeline.now
        self.backlog = Backlog(QueueConfig(retries=model.retries, stream=arrivals is not None))
        self.desired = 0
        """Replicas there shall be: the parallelism of its Job."""
        self._limit: int | None = None
        self._replicas: dict[int, _Replica] = {}
        self._idle: dict[int, _Replica] = {}
        self._paid = 0
        self._last_launch = -math.inf
        self._virtual = 0.0
        self._virtual_at = timeline.now
        self._busy = 0
        self._completions: list[tuple[float, int, int, _Replica]] = []
        self._number = 0
        self._alarm = math.inf
        self.finished_at: float | None = None
        self.steps: list[tuple[float, int]] = [(timeline.now, 0)]
        """(time, replicas that are paid for from then on): from the request, or room when there was none, to the end"""
        self.waits: list[float] = []
        self.latencies: list[float] = []
        self.spent = 0.0
        """Replica-seconds of attempts, useful or not."""
        if arrivals is None:
            self.backlog.put(range(len(items)), timeline.now)
        elif arrivals:
            timeline.at(self._begun + arrivals[0], Order.WORLD, self._arrive, 0)
        self._end_when_over()

    @property
    def over(self) -> bool:
        """Whether all is settled and nothing more comes."""
        return self.finished_at is not None

    # What the controller does.

    def scale(self, desired: int) -> None:
        """Go to that many replicas, in the model's way down: that of an Indexed Job goes at once, busy ones too."""
        if self.over:
            return
        self.desired = desired
        if self._model.scale_down == "drain-index":
            self._resize(desired)
        else:
            self._scale_free(desired)
        self._hand_out()

    def tell_limit(self, limit: int | None) -> None:
        """Replicas with indexes from there on finish what they hold and take nothing more; None: all may take."""
        if self.over:
            return
        self._limit = limit
        for index, replica in list(self._idle.items()):
            if self._drains(replica):
                del self._idle[index]
        for replica in self._replicas.values():
            if replica.state != "idle":
                continue
            if self._drains(replica):
                self._leave(replica)
            else:
                self._idle.setdefault(replica.index, replica)
        self._hand_out()

    def highest_busy(self, first: int) -> int | None:
        """The greatest index, from ``first`` on, of a replica that holds an item; None when none does."""
        return max((r.index for r in self._replicas.values() if r.index >= first and r.hand.leases), default=None)

    @property
    def held(self) -> int:
        """Replicas there are or will be without another word: those that drain or wait for room included."""
        return len(self._replicas)

    # What the monitor sees.

    def running_ages(self) -> Iterator[float]:
        """Seconds that each item has been leased to a replica: those in its hand that are not in work too."""
        now = self._timeline.now
        for replica in self._replicas.values():
            yield from repeat(now - replica.hand.taken_at, replica.hand.leases)

    def view(self) -> SubmissionView:
        """What the cluster shows."""
        pods = tuple(replica.pod for replica in self._replicas.values() if replica.state != "away")
        done = len({pod.index for pod in pods if pod.phase == "Succeeded"})
        job = JobView(self._name, "simulated", self._name, 1, self.desired, False, len(pods), 0, done, 0)
        return SubmissionView((job,), pods)

    # Replicas.

    def _scale_free(self, desired: int) -> None:
        """Whoever is not there yet goes first, then who is idle."""
        surplus = len(self._replicas) - desired
        if surplus <= 0:
            self._add(-surplus)
            return
        ranks = {"away": 0, "unplaced": 0, "starting": 1}

        def rank(replica: _Replica) -> tuple[int, int]:
            return 3 if replica.hand.leases else ranks.get(replica.state, 2), -replica.index

        for replica in sorted(self._replicas.values(), key=rank)[:surplus]:
            if not replica.hand.leases:
                self._remove(replica)
            elif self._model.scale_down == "kill":
                self._cut_off(replica)

    def _resize(self, desired: int) -> None:
        for replica in [replica for replica in self._replicas.values() if replica.index >= desired]:
            self._cut_off(replica)
            if self.over:
                return
        self._add(desired - len(self._replicas))

    def _leave(self, replica: _Replica) -> None:
        """While only the last items are in work, an idle worker that drains ends; its index is not made up for."""
        if self._arrivals is None and not self.backlog.waiting and not self.backlog.delayed:
            self._vacate(replica)
            replica.state = "ended"
            replica.pod = replace(replica.pod, phase="Succeeded")

    def _drains(self, replica: _Replica) -> bool:
        return self._limit is not None and replica.index >= self._limit

    def _add(self, number: int) -> None:
        index = 0
        for _ in range(number):
            while index in self._replicas:
                index += 1
            pod = PodView(
                name=f"{self._name}-{index}",
                namespace="simulated",
                submission=self._name,
                generation=1,
                index=index,
                role=WORKER_ROLE,
                phase="Pending",
                created_at=self._epoch + self._timeline.now,
            )
            replica = self._replicas[index] = _Replica(index, pod, self._most_at_once)
            self._ask_for_room(replica)

    def _ask_for_room(self, replica: _Replica) -> None:
        life = replica.life

        def place() -> None:
            if replica.life == life:
                self._start(replica)

        replica.state = "unplaced"
        replica.ticket = self._room.ask(place)

    def _start(self, replica: _Replica) -> None:
        replica.state = "starting"
        self._pay(+1)
        now = self._timeline.now
        launch = max(now, self._last_launch + self._model.launch_interval)
        self._last_launch = launch
        ready = launch + self._model.startup.sample(self._chance)
        self._timeline.at(ready, Order.WORLD, self._started, replica, replica.life)
        hazard = self._model.hazard
        if hazard > 0:
            until = now + self._chance.expovariate(hazard / 3600.0)
            self._timeline.at(until, Order.WORLD, self._taken_away, replica, replica.life)

    def _started(self, replica: _Replica, life: int) -> None:
        if replica.life != life:
            return
        replica.pod = replace(replica.pod, phase="Running", started_at=self._epoch + self._timeline.now)
        self._set_free(replica)

    def _taken_away(self, replica: _Replica, life: int) -> None:
        if replica.life != life:
            return
        is_lost = self._chance.random() * (self._model.hazard) < self._model.losses
        if is_lost:
            self._stop(replica)
            due = self._timeline.now + self._model.lease
            for item in replica.hand.drop():
                self._timeline.at(due, Order.WORLD, self._lease_ends, item)
        else:
            self._let_go(replica)
        is_wanted = len(self._replicas) <= self.desired
        self._remove(replica)
        self._set_alarm()
        if is_wanted:
            # Its index waits in its back-off and comes back as a new pod.
            replica.state = "away"
            self._replicas[replica.index] = replica
            due = self._timeline.now + self._model.index_backoff
            self._timeline.at(due, Order.WORLD, self._come_back, replica, replica.life)
        self._hand_out()
        self._end_when_over()

    def _come_back(self, replica: _Replica, life: int) -> None:
        if replica.life != life or replica.state != "away":
            return
        created = self._epoch + self._timeline.now
        replica.hand = Hand(self._most_at_once)
        replica.pod = replace(replica.pod, phase="Pending", created_at=created, started_at=None)
        self._ask_for_room(replica)

    def _cut_off(self, replica: _Replica) -> None:
        self._let_go(replica)
        self._remove(replica)
        self._set_alarm()
        self._end_when_over()

    def _let_go(self, replica: _Replica) -> None:
        """As a worker that is told to end: it hands in what is finished, and back what is not."""
        self._stop(replica)
        self._acknowledge(replica)
        if replica.hand.leases:
            self.backlog.hand_back(replica.hand.drop(), self._timeline.now)

    def _stop(self, replica: _Replica) -> None:
        if replica.state == "busy":
            self._end_attempt(replica)

    def _remove(self, replica: _Replica) -> None:
        """It is gone, and holds nothing."""
        self._vacate(replica)
        replica.state = "gone"
        self._replicas.pop(replica.index, None)

    def _vacate(self, replica: _Replica) -> None:
        """Its pod is gone, and its room given back."""
        if replica.state == "unplaced":
            self._room.withdraw(replica.ticket)
        elif replica.state not in ("away", "ended", "gone"):
            self._pay(-1)
            self._room.leave()
        replica.life += 1
        self._idle.pop(replica.index, None)

    def _pay(self, change: int) -> None:
        now = self._timeline.now
        self._paid += change
        if self.steps[-1][0] == now:
            self.steps[-1] = (now, self._paid)
        else:
            self.steps.append((now, self._paid))

    # Items.

    def _arrive(self, item: int) -> None:
        assert self._arrivals is not None
        self.backlog.put((item,), self._timeline.now)
        if item + 1 < len(self._arrivals):
            self._timeline.at(self._begun + self._arrivals[item + 1], Order.WORLD, self._arrive, item + 1)
        self._hand_out()

    def _lease_ends(self, item: int) -> None:
        self.backlog.expire(item, self._timeline.now)
        self._hand_out()
        self._end_when_over()

    def _again(self, item: int) -> None:
        self.backlog.again(item, self._timeline.now)
        self._hand_out()

    def _set_free(self, replica: _Replica) -> None:
        """It holds nothing and may take an item now, or goes when it is one too many."""
        replica.state = "idle"
        if self._model.scale_down == "drain-index":
            if self._drains(replica):
                self._leave(replica)
                return
        elif self._model.single_use:
            if not self.backlog.waiting:
                self._remove(replica)
                return
        elif len(self._replicas) > self.desired:
            self._remove(replica)
            return
        self._idle[replica.index] = replica
        self._hand_out()

    def _hand_out(self) -> None:
        while self._idle and self.backlog.waiting:
            replica = self._idle.pop(next(iter(self._idle)))
            self._take(replica)

    def _take(self, replica: _Replica) -> None:
        now, hand = self._timeline.now, replica.hand
        hand.take(self.backlog.take(now, hand.quantity), now)
        if hand.leases > 1:
            self._timeline.at(now + HOLD, Order.WORLD, self._held_too_long, replica, hand.taken_at)
        self._begin(replica)

    def _held_too_long(self, replica: _Replica, taken_at: float) -> None:
        """What was taken and not begun for so long goes back to the queue, for others to take."""
        if replica.hand.taken_at == taken_at and replica.hand.unstarted:
            now = self._timeline.now
            self.backlog.hand_back(replica.hand.drop_unstarted(now), now)
            self._hand_out()

    def _begin(self, replica: _Replica) -> None:
        now = self._timeline.now
        item, since = replica.hand.start()
        if self._arrivals is not None:
            self.waits.append(now - since)
        replica.state, replica.began = "busy", now
        model, chance = self._model, self._chance
        seconds = self._items[item]
        if model.stragglers and chance.random() < model.stragglers:
            seconds *= model.straggling
        replica.fails = False
        if model.item_timeout is not None and seconds > model.item_timeout:
            seconds, replica.fails = model.item_timeout, True
        elif model.failures and chance.random() < model.failures:
            seconds, replica.fails = seconds * chance.random(), True
        self._change_busy(+1)
        self._number += 1
        heapq.heappush(self._completions, (self._virtual + seconds, self._number, replica.life, replica))
        self._set_alarm()

    def _end_attempt(self, replica: _Replica) -> None:
        """It stops working on its item, which is not settled by that."""
        self.spent += self._timeline.now - replica.began
        replica.state = "idle"
        self._change_busy(-1)

    def _complete(self, replica: _Replica) -> None:
        now, hand = self._timeline.now, replica.hand
        item = hand.current
        assert item is not None
        self._end_attempt(replica)
        if replica.fails:
            self._fail(hand, item)
        else:
            if hand.finish(now) and hand.unstarted:
                self._timeline.at(now + FLUSH, Order.WORLD, self._flush, replica, now)
            if self._arrivals is not None:
                self.latencies.append(now - self._begun - self._arrivals[item])
        if not hand.unstarted:
            self._acknowledge(replica)
            hand.ended(now)
        if self._model.single_use:
            self._remove(replica)
        elif self._model.overhead > 0:
            replica.state = "resting"
            self._timeline.at(now + self._model.overhead, Order.WORLD, self._rested, replica, replica.life)
        else:
            self._go_on(replica)
        self._end_when_over()

    def _fail(self, hand: Hand, item: int) -> None:
        hand.current, hand.free_at = None, self._timeline.now
        delay = self.backlog.fail(item)
        if delay is not None:
            self._timeline.at(self._timeline.now + delay, Order.WORLD, self._again, item)

    def _rested(self, replica: _Replica, life: int) -> None:
        if replica.life == life:
            self._go_on(replica)

    def _go_on(self, replica: _Replica) -> None:
        if replica.hand.unstarted:
            self._begin(replica)
            return
        self._acknowledge(replica)
        replica.hand.ended(self._timeline.now)
        self._set_free(replica)
        self._end_when_over()

    def _flush(self, replica: _Replica, finished_at: float) -> None:
        """The queue learns of finished items even while others of the handful are in work."""
        if replica.hand.finished and replica.hand.finished_at == finished_at:
            self._acknowledge(replica)
            self._end_when_over()

    def _acknowledge(self, replica: _Replica) -> None:
        if replica.hand.finished:
            each, number = replica.hand.acknowledge(self._timeline.now)
            self.backlog.finish(each, number)

    def _end_when_over(self) -> None:
        is_all_there = self._arrivals is None or self.backlog.put_count == len(self._arrivals)
        if self.over or not is_all_there or self.backlog.outstanding:
            return
        self.finished_at = self._timeline.now
        for replica in list(self._replicas.values()):
            self._remove(replica)

    # Virtual time.

    def _change_busy(self, change: int) -> None:
        now = self._timeline.now
        if self._model.contention.none:
            # Sums of differences would drift away from the time they stand for.
            self._virtual = now
        else:
            self._virtual += (now - self._virtual_at) * self._model.contention.speed(self._busy)
        self._virtual_at = now
        self._busy += change

    def _set_alarm(self) -> None:
        """Have the next completion noticed. With contention the moment moves whenever somebody begins or ends."""
        self._forget_cut_off()
        if not self._completions:
            self._alarm = math.inf
            return
        due = self._completions[0][0]
        if not self._model.contention.none:
            left = max(0.0, due - self._virtual)
            due = self._virtual_at + left / self._model.contention.speed(self._busy)
        if due != self._alarm:
            self._alarm = due
            self._timeline.at(due, Order.WORLD, self._ring, due)

    def _ring(self, due: float) -> None:
        if due != self._alarm:
            return
        self._alarm = math.inf
        self._change_busy(0)
        reached = self._virtual + max(1e-9, 1e-12 * self._virtual)
        while self._completions and self._completions[0][0] <= reached:
            _, _, life, replica = heapq.heappop(self._completions)
            if life == replica.life and replica.state == "busy":
                self._complete(replica)
        self._set_alarm()

    def _forget_cut_off(self) -> None:
        completions = self._completions
        while completions and (completions[0][2] != completions[0][3].life or completions[0][3].state != "busy"):
            heapq.heappop(completions)
