"""A modelled plant: replicas that start late, items of known length, drains. The real laws and guard steer it."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from asperathos_worker.queue.histogram import bucket_of

from common.domain.progress import Counts, Decision, Observation, Replicas, ServiceTimes
from common.domain.queues import QueueAddress
from common.domain.submission import Control, Kind, ReplicaBounds, Target
from common.http.contracts import ScalingRequest
from controller.deciding import decide, is_due, is_over
from controller.lawbook import LawBook, check_law
from controller.laws.cost import Cost
from controller.laws.deadline import Deadline
from controller.laws.fixed import Nop, Scripted
from controller.laws.latency import Latency
from controller.laws.pid import Pid
from controller.laws.threshold import Threshold
from controller.record import Scaling, begin

BUILT_IN = LawBook(
    {
        "cost": check_law(Cost),
        "deadline": check_law(Deadline),
        "default": check_law(Threshold),
        "latency": check_law(Latency),
        "nop": check_law(Nop),
        "pid": check_law(Pid),
        "scripted": check_law(Scripted),
        "threshold": check_law(Threshold),
    }
)
START = 1_700_000_000.0


@dataclass
class _Replica:
    ready_at: float
    item: int | None = None
    began: float = 0.0
    ends: float = math.inf
    draining: bool = False


@dataclass
class Run:
    """What became of a run: seconds from acceptance."""

    finished: float
    decisions: list[Decision]
    counts: list[int]
    replica_seconds: float
    peak: int

    @property
    def changes(self) -> int:
        """How many decisions changed the count."""
        return sum(decision.granted != decision.previous for decision in self.decisions)


@dataclass
class Plant:
    """Batch: all of ``items`` (seconds each) are there at once; stream: item i arrives at ``arrivals[i]``."""

    items: Sequence[float]
    startup: float = 2.0
    arrivals: Sequence[float] = ()
    tick: float = 0.5
    observe_every: float = 1.0
    now: float = 0.0
    replicas: list[_Replica] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    finished_at: dict[int, float] = field(default_factory=dict)
    started_at: dict[int, float] = field(default_factory=dict)
    recent: list[float] = field(default_factory=list)
    replica_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.arrivals:
            self.waiting = list(range(len(self.items)))
        self._coming = [(at, i) for i, at in enumerate(self.arrivals)]
        heapq.heapify(self._coming)

    def scale(self, desired: int) -> None:
        """Add replicas at once, mark the highest for draining."""
        for place, replica in enumerate(self.replicas):
            replica.draining = place >= desired
        while len(self.replicas) < desired:
            self.replicas.append(_Replica(self.now + self.startup))

    def advance(self) -> None:
        """One tick."""
        self.now += self.tick
        while self._coming and self._coming[0][0] <= self.now:
            self.waiting.append(heapq.heappop(self._coming)[1])
        for replica in self.replicas:
            self._work(replica)
        while self.replicas and self.replicas[-1].draining and self.replicas[-1].item is None:
            self.replicas.pop()
        self.replica_seconds += len(self.replicas) * self.tick

    def _work(self, replica: _Replica) -> None:
        while True:
            if replica.item is not None:
                if replica.ends > self.now:
                    return
                self.finished_at[replica.item] = replica.ends
                self.done.append(replica.item)
                self.recent.append(replica.ends)
                free, replica.item = replica.ends, None
            else:
                free = max(self.now - self.tick, replica.ready_at)
            if replica.draining or not self.waiting or free > self.now:
                return
            replica.item = self.waiting.pop(0)
            if self.arrivals:
                free = max(free, self.arrivals[replica.item])
            replica.began, replica.ends = free, free + self.items[replica.item]
            self.started_at[replica.item] = free

    def observation(self, desired: int, deadline: float | None, target: float | None) -> Observation:
        """What the monitor would say."""
        durations = [self.items[i] for i in self.done]
        mean = sum(durations) / len(durations) if durations else 0.0
        variance = sum((d - mean) ** 2 for d in durations) / len(durations) if durations else 0.0
        running = sorted((self.now - r.began for r in self.replicas if r.item is not None), reverse=True)
        observed = sum(r.ready_at <= self.now for r in self.replicas)
        counts = Counts(
            total=None if self.arrivals else len(self.items),
            ready=len(self.waiting),
            leased=len(running),
            done=len(self.done),
        )
        window = 10.0
        arrived = sum(self.now - window < at <= self.now for at in self.arrivals)
        return Observation(
            submission="kj-0000001",
            at=START + self.now,
            elapsed=self.now,
            deadline=deadline,
            target=target,
            counts=counts,
            progress=counts.progress,
            throughput=sum(at > self.now - window for at in self.recent[-1000:]) / window,
            arrival_rate=arrived / window,
            service=ServiceTimes(
                count=len(durations),
                mean=mean,
                deviation=math.sqrt(variance),
                longest=max(durations, default=0.0),
                running=tuple(running),
                buckets=dict(Counter(bucket_of(duration) for duration in durations)),
            ),
            waits=Counter(bucket_of(began - self.arrivals[i]) for i, began in self.started_at.items())
            if self.arrivals
            else {},
            attempts=len(durations) + len(running),
            replicas=Replicas(
                desired=desired,
                requested=desired,
                observed=observed,
                pending=len(self.replicas) - observed,
            ),
            startup=self.startup if observed else None,
        )


def request_for(
    law: str,
    settings: dict[str, object] | None = None,
    *,
    kind: Kind = Kind.BATCH,
    minimum: int = 1,
    maximum: int = 20,
    initial: int | None = None,
    created_with: int | None = None,
    interval: float = 2.0,
    expected: float | None = None,
    timeout: float | None = None,
    target: Target | None = None,
    **control: object,
) -> ScalingRequest:
    """A request as the manager makes it."""
    first = created_with if created_with is not None else (initial if initial is not None else max(1, minimum))
    return ScalingRequest(
        namespace="default",
        job="kj-0000001-g1",
        queue=QueueAddress(submission="kj-0000001"),
        kind=kind,
        law=law,
        control=Control.model_validate({"law": law, "interval": interval, "settings": settings or {}, **control}),
        replicas=ReplicaBounds(min=minimum, max=maximum, initial=initial),
        initial=first,
        target=target,
        expected_item_time=expected,
        item_timeout=timeout,
    )


def simulate(
    plant: Plant,
    request: ScalingRequest,
    deadline: float | None = None,
    until: float = 10_000.0,
    disturb: Callable[[Observation], Observation] = lambda seen: seen,
) -> Run:
    """Let the law and the guard steer the plant until it is over, or ``until`` seconds have passed."""
    law = BUILT_IN.law(request.law)
    settings = BUILT_IN.settings(request.law, request.control.settings)
    record: Scaling = begin(request, START)
    plant.scale(record.desired)
    decisions: list[Decision] = []
    counts: list[int] = []
    observed = -math.inf
    seen = None
    while plant.now < until:
        plant.advance()
        if plant.now - observed >= plant.observe_every:
            target = None if request.target is None else request.target.latency
            seen = disturb(plant.observation(record.desired, deadline, target))
            observed = plant.now
        now = START + plant.now
        if seen is not None and is_due(record, now):
            outcome = decide(record, seen, law, settings, None, now)
            record = outcome.record
            if outcome.decision is not None:
                decisions.append(outcome.decision)
            plant.scale(record.desired)
        counts.append(len(plant.replicas))
        if not plant.arrivals and len(plant.done) == len(plant.items):
            break
        if seen is not None and plant.arrivals and is_over(seen):
            break
    finished = max(plant.finished_at.values(), default=0.0)
    return Run(finished, decisions, counts, plant.replica_seconds, max(counts, default=0))


def lognormal(n: int, mean: float, variation: float, seed: int) -> list[float]:
    """Item times of that mean and coefficient of variation."""
    chance = random.Random(seed)
    sigma_squared = math.log1p(variation**2)
    mu = math.log(mean) - sigma_squared / 2
    return [chance.lognormvariate(mu, math.sqrt(sigma_squared)) for _ in range(n)]
