"""Who gets how many replicas when submissions together want more than their cluster has. Pure; times in Unix seconds.

Every decision puts a Demand on the cluster's board and computes the shares of all from what is there: whoever
computes them, the shares are the same, so any number of controllers agree without waiting for each other.

The order, first come first served out of what is left:
1. turns: who has been kept below its least count for too long gets that count for a while;
2. then priority by priority, and within one
   a. streams, whose work is due now,
   b. batches whose deadlines can be met, by deadline, those that have no time to spare first
      (earliest deadline until zero laxity),
   c. the other batches, the least work first: late ones, then those without a deadline;
3. where several deadlines are at stake, or were lately, what nobody wants goes to batches that can be early, in the
   same order: a batch that is out of the way leaves room for those that are still to come, and costs the same replica
   seconds. A law that asks for just enough would otherwise idle now and miss room later.

Which deadlines can be met: with W the replica seconds left and C the replicas there are, a set of batches meets all
its deadlines only if, for each deadline d, the work due by d fits: sum of W <= C * (time until d). Going by deadline,
and giving up the greatest work whenever the sum does not fit, meets the greatest number of them (Moore, An n job, one
machine sequencing algorithm for minimizing the number of late jobs, Management Science 15, 1968, with Hodgson's rule).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from common.domain.capacity import Capacity, Requests
from common.domain.submission import Priority

PATIENCE = 120.0
"""Seconds below its least count after which a submission gets a turn."""
TURN = 60.0
"""How long a turn lasts."""
_MOST_TURNS = 0.25
"""At most this share of the capacity goes to turns, except to the first in line."""
SHARED = "(shared)"
"""Key of the demand, among the others, that remembers that deadlines met on this cluster. It wants nothing."""
REMEMBERED = 1800.0
"""Seconds for which that is remembered."""
_USUAL = 0.4
"""Deadlines are mostly chosen so that the most replicas are ample: until its items tell, a batch is taken to need no
more than this share of them, steadily (the ``deadline`` law begins with the same guess)."""
SURELY = 0.999
"""A share of the capacity that is less than all of it, however it was rounded."""
_PRIORITIES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
_MOST_NAMED = 3


class Demand(BaseModel):
    """What one submission asks of its cluster.

    ``wanted``: what its law and guard ask for. ``minimum``: the user's. ``most``: how many could be of use.
    ``holding``: replicas it was granted last. ``work``: replica seconds left, None when not known.
    ``urgent``: it is due now, as a stream's. ``until``: when it stops counting unless it is renewed.
    """

    model_config = ConfigDict(frozen=True)

    wanted: int
    minimum: int = 0
    most: int
    holding: int = 0
    early: int = 0
    """How many it may get beyond its wish, to be early: 0 where its law is to be followed to the letter."""
    requests: Requests = Requests()
    priority: Priority = Priority.NORMAL
    deadline_at: float | None = None
    work: float | None = None
    urgent: bool = False
    waiting_since: float | None = None
    """Since when it has been kept below its least count."""
    turn_until: float | None = None
    until: float | None = None
    """None: it stands until it is withdrawn."""

    @property
    def least(self) -> int:
        """The count below which it must not be kept for ever: the user's minimum, but not more than it wants."""
        return min(self.wanted, max(1, self.minimum))

    def stands(self, now: float) -> bool:
        """Whether it counts."""
        return self.until is None or self.until > now

    def in_turn(self, now: float) -> bool:
        """Whether it is, or has become, its turn."""
        if self.turn_until is not None and 0 <= self.turn_until - now <= TURN:
            return True
        return self.waiting_since is not None and now - self.waiting_since >= PATIENCE


@dataclass(frozen=True)
class Share:
    """What a submission gets. ``reason`` says why it is not what it wants, empty when it is."""

    replicas: int
    reason: str = ""


def share(id: str, demands: Mapping[str, Demand], capacity: Capacity, now: float, eager: bool = True) -> Share:
    """The share of one of the demands, taken only as far as the others have decided to do without. Replicas of theirs
    that still finish an item leave by themselves. ``eager``: what nobody wants may be given to who can be early."""
    mine = demands[id]
    standing = {key: demand for key, demand in demands.items() if key == id or demand.stands(now)}
    due = allocate(standing, capacity, now, eager)[id]
    room = _Room(capacity)
    for key, demand in standing.items():
        if key != id:
            room.take(demand.requests, demand.holding)
    return taken_of(due, mine, room.left, capacity)


def taken_of(due: Share, mine: Demand, left: Mapping[str, float], capacity: Capacity) -> Share:
    """What can be taken now of the share that is due, with so much of each amount not held by others; no limit is set
    to what is not named."""
    there = max(mine.holding, _fitting(mine.requests, due.replicas, left))
    if there < due.replicas:
        if there >= mine.wanted:
            return Share(there, "" if there == mine.wanted else early(there, mine))
        told = f"arbiter: {there} of {mine.wanted} asked, {_has(capacity)}; others still hold what is due to it"
        return Share(there, told)
    return due


def allocate(demands: Mapping[str, Demand], capacity: Capacity, now: float, eager: bool = False) -> dict[str, Share]:
    """The shares of all. Their sum fits into the capacity. Unless ``eager`` nobody gets more than it wants."""
    if _all_fit(demands.values(), capacity) and not (eager and _compete(demands.values())):
        return {id: Share(demand.wanted) for id, demand in demands.items()}
    room = _Room(capacity)
    granted = dict.fromkeys(demands, 0)
    for id in _turns(demands, capacity, now):
        granted[id] = room.grant(demands[id].requests, demands[id].least)
    kept, given_up = _choose(demands, capacity, now)
    order = list(_in_order(demands, kept, given_up, now))
    for id in order:
        granted[id] += room.grant(demands[id].requests, demands[id].wanted - granted[id])
    for id in order if eager else ():
        if id in kept and granted[id] >= demands[id].wanted:
            granted[id] += room.grant(demands[id].requests, demands[id].early)
    shares = {}
    first: list[str] = []
    for id in order:
        shares[id] = _told(demands[id], granted[id], first, id in given_up, capacity)
        if granted[id] > 0 and len(first) <= _MOST_NAMED:
            first.append(id)
    return shares


def alone(demand: Demand, now: float) -> Share:
    """The eager share of one of those that all fit, what they may have early included, and are all in time."""
    is_racing = demand.deadline_at is not None and not demand.urgent
    if not is_racing or not demand.early or _is_lost(demand, (demand.deadline_at or now) - now, now):
        return Share(demand.wanted)
    replicas = demand.wanted + demand.early
    return Share(replicas, early(replicas, demand))


def steady(demand: Demand, capacity: Capacity, now: float, until: float) -> float:
    """The share of the capacity that it needs steadily to meet its deadline, at no moment from now until then more.
    Where those of all sum up to less than one, all are in time that can be: so does the work due by any deadline."""
    if demand.urgent:
        return portion(demand.requests, capacity) * demand.wanted
    if demand.deadline_at is None or _is_lost(demand, demand.deadline_at - now, now):
        return 0.0
    time = demand.deadline_at - until
    return portion(demand.requests, capacity) * _work(demand, now) / time if time > 0 else math.inf


def aged(demand: Demand, granted: int, now: float) -> Demand:
    """The demand after its share was taken: it may begin to wait, or begin or end its turn."""
    if demand.in_turn(now) and granted >= demand.least:
        is_running = demand.turn_until is not None and 0 <= demand.turn_until - now <= TURN
        until = demand.turn_until if is_running else now + TURN
        return demand.model_copy(update={"waiting_since": None, "turn_until": until})
    if granted >= demand.least:
        return demand.model_copy(update={"waiting_since": None, "turn_until": None})
    since = demand.waiting_since
    return demand.model_copy(
        update={"waiting_since": now if since is None or since > now else since, "turn_until": None}
    )


def reminder(demands: Mapping[str, Demand], now: float) -> Demand | None:
    """What to put among the demands as ``SHARED``, now that several deadlines are there; None: nothing new."""
    known = demands.get(SHARED)
    if known is not None and known.until is not None and 0.5 * REMEMBERED < known.until - now <= REMEMBERED:
        return None
    if not _compete(demand for id, demand in demands.items() if id != SHARED and demand.stands(now)):
        return None
    return Demand(wanted=0, most=0, deadline_at=now, until=now + REMEMBERED)


def endangered(demands: Mapping[str, Demand], newcomer: str, capacity: Capacity, now: float) -> tuple[str, ...]:
    """Who would meet its deadline without the newcomer (one of the demands), but not with it. May name the newcomer
    itself, when it cannot meet its own beside the others."""
    if _is_easy(demands.values(), capacity, now):
        mine = demands[newcomer]
        is_kept = mine.deadline_at is None or not (mine.urgent or _is_lost(mine, mine.deadline_at - now, now))
        return () if is_kept else (newcomer,)
    before = {id: demand for id, demand in demands.items() if id != newcomer}
    kept_before, _ = _choose(before, capacity, now)
    kept, _ = _choose(demands, capacity, now)
    lost = [id for id in kept_before if id not in kept]
    if demands[newcomer].deadline_at is not None and newcomer not in kept:
        lost.append(newcomer)
    return tuple(lost)


class _Room:
    """What is left of a capacity."""

    def __init__(self, capacity: Capacity) -> None:
        self.left = {name: math.inf if value is None else float(value) for name, value in capacity.model_dump().items()}

    def take(self, requests: Requests, replicas: int) -> None:
        """Take it away, there or not."""
        for name, amount in amounts(requests):
            self.left[name] -= amount * replicas

    def grant(self, requests: Requests, wanted: int) -> int:
        """Take what fits; returns how many."""
        granted = _fitting(requests, wanted, self.left)
        self.take(requests, granted)
        return granted


def _fitting(requests: Requests, wanted: int, left: Mapping[str, float]) -> int:
    """How many of so many replicas fit into what is left."""
    fitting = float(wanted)
    for name, amount in amounts(requests):
        fitting = min(fitting, left.get(name, math.inf) / amount + 1e-9)
    return max(0, math.floor(fitting))


def amounts(requests: Requests) -> Iterator[tuple[str, float]]:
    """What a replica takes of each thing it takes any of."""
    yield "replicas", 1.0
    for name, amount in (("cpu", requests.cpu), ("memory", requests.memory), ("gpus", float(requests.gpus))):
        if amount > 0:
            yield name, amount


def _all_fit(demands: Iterable[Demand], capacity: Capacity) -> bool:
    room = _Room(capacity)
    return all(room.grant(demand.requests, demand.wanted) == demand.wanted for demand in demands)


def _compete(demands: Iterable[Demand]) -> bool:
    """Whether deadlines are likely to get in each other's way: there are several, or were lately."""
    return sum(demand.deadline_at is not None for demand in demands) > 1


def portion(requests: Requests, capacity: Capacity) -> float:
    """The share of the capacity that one replica takes, of whatever it takes most of."""
    most = 0.0
    for name, amount in amounts(requests):
        limit = getattr(capacity, name)
        if limit is not None:
            most = max(most, amount / limit if limit else math.inf)
    return most


def _is_easy(demands: Iterable[Demand], capacity: Capacity, now: float) -> bool:
    """Whether all deadlines that can be met can be met together, for sure."""
    whole = 0.0
    for demand in demands:
        whole += steady(demand, capacity, now, now)
        if whole > SURELY:
            return False
    return True


def _turns(demands: Mapping[str, Demand], capacity: Capacity, now: float) -> list[str]:
    """Whose turn it is: who is in it already, then who has waited longest, of whatever priority."""

    def rank(id: str) -> tuple[bool, float, int, str]:
        demand = demands[id]
        since = demand.waiting_since if demand.waiting_since is not None else -math.inf
        return demand.turn_until is None, since, _PRIORITIES.index(demand.priority), id

    due = sorted((id for id, demand in demands.items() if demand.wanted > 0 and demand.in_turn(now)), key=rank)
    chosen: list[str] = []
    taken = 0.0
    for id in due:
        taken += portion(demands[id].requests, capacity) * demands[id].least
        if chosen and taken > _MOST_TURNS:
            break
        chosen.append(id)
    return chosen


def _choose(demands: Mapping[str, Demand], capacity: Capacity, now: float) -> tuple[frozenset[str], frozenset[str]]:
    """The batches whose deadlines can be met together, and those given up; the higher priority chooses first."""
    kept: list[tuple[float, float, str]] = []
    given_up: set[str] = set()
    whole = 1.0
    for priority in _PRIORITIES:
        peers = {id: demand for id, demand in demands.items() if demand.priority is priority}
        for demand in peers.values():
            if demand.urgent:
                whole -= portion(demand.requests, capacity) * demand.wanted
        candidates: list[tuple[float, float, str]] = []
        for id, demand in peers.items():
            if demand.urgent or demand.deadline_at is None:
                continue
            if _is_lost(demand, demand.deadline_at - now, now):
                given_up.add(id)
            else:
                due = _work(demand, now) * portion(demand.requests, capacity)
                candidates.append((demand.deadline_at, due, id))
        lost = _too_much(kept, candidates, max(0.0, whole), now)
        given_up |= lost
        kept += [candidate for candidate in candidates if candidate[2] not in lost]
    return frozenset(id for _, _, id in kept), frozenset(given_up)


def _too_much(
    fixed: list[tuple[float, float, str]], candidates: list[tuple[float, float, str]], whole: float, now: float
) -> set[str]:
    """Moore and Hodgson's rule: the candidates to give up so that all the others, and the fixed ones, are in time."""
    droppable = {id for _, _, id in candidates}
    lost: set[str] = set()
    heap: list[tuple[float, str]] = []
    total = 0.0
    for deadline_at, work, id in sorted(fixed + candidates):
        total += work
        if id in droppable:
            heapq.heappush(heap, (-work, id))
        while heap and total > whole * (deadline_at - now):
            greatest, dropped = heapq.heappop(heap)
            total += greatest
            lost.add(dropped)
    return lost


def _is_lost(demand: Demand, left: float, now: float) -> bool:
    """Whether its deadline would be missed even with all the replicas of use to it."""
    return left <= 0 or _work(demand, now) > demand.most * left


def _work(demand: Demand, now: float) -> float:
    """Replica seconds left. Where they are not known, what is wanted is taken to be what the time left needs, but no
    more than what a deadline usually needs: a wish made in ignorance is no reason to give a deadline up."""
    if demand.work is not None:
        return demand.work
    return min(float(demand.wanted), _USUAL * demand.most) * max(0.0, (demand.deadline_at or now) - now)


def _in_order(
    demands: Mapping[str, Demand], kept: frozenset[str], given_up: frozenset[str], now: float
) -> Iterator[str]:
    """Who comes first."""

    def rank(id: str) -> tuple[int, int, float, str]:
        demand = demands[id]
        place = _PRIORITIES.index(demand.priority)
        work = _work(demand, now)
        if demand.urgent:
            return place, 0, 0.0, id
        if id in kept and demand.deadline_at is not None:
            spare = demand.deadline_at - now - work / max(1, demand.most)
            return place, 1 if spare <= 0 else 2, demand.deadline_at, id
        return place, 3 if id in given_up else 4, work, id

    return iter(sorted(demands, key=rank))


def _told(demand: Demand, replicas: int, first: list[str], is_given_up: bool, capacity: Capacity) -> Share:
    """``first``: who gets something before it, as many as are named and one more."""
    if replicas >= demand.wanted:
        return Share(replicas, "" if replicas == demand.wanted else early(replicas, demand))
    if _fitting(demand.requests, 1, _Room(capacity).left) == 0:
        asks = demand.requests
        each = ", ".join(_sizes(asks.cpu or None, asks.memory or None, asks.gpus or None)) or "a place"
        return Share(replicas, f"arbiter: none fits, each asks for {each}; {_has(capacity)}")
    told = f"arbiter: {replicas} of {demand.wanted} asked, {_has(capacity)}"
    if first:
        named = ", ".join(first[:_MOST_NAMED]) + (", ..." if len(first) > _MOST_NAMED else "")
        told += f"; {named} {'goes' if len(first) == 1 else 'go'} first"
    if is_given_up:
        told += "; its deadline cannot be met beside theirs" if first else "; its deadline cannot be met"
    return Share(replicas, told)


def early(replicas: int, demand: Demand) -> str:
    """Why it gets more than it asks for."""
    return f"arbiter: {replicas}, {demand.wanted} asked: others share the cluster, and it has room now"


def _has(capacity: Capacity) -> str:
    places = [] if capacity.replicas is None else [f"{capacity.replicas} replicas"]
    return f"the cluster has {', '.join([*places, *_sizes(capacity.cpu, capacity.memory, capacity.gpus)])}"


def _sizes(cpu: float | None, memory: float | None, gpus: int | None) -> Iterator[str]:
    if cpu is not None:
        yield f"{cpu:g} cores"
    if memory is not None:
        yield f"{memory / 2**30:.1f} GiB"
    if gpus is not None:
        yield f"{gpus} GPUs"
