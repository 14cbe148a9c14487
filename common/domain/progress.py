"""What was measured (Observation), what was decided (Decision), and the arithmetic of progress between them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from common.domain.forecast import Forecast


class Counts(BaseModel):
    """Items by place. ``total`` is unknown (None) for streams and while loading."""

    model_config = ConfigDict(frozen=True)

    total: int | None = None
    ready: int = 0
    delayed: int = 0
    leased: int = 0
    done: int = 0
    dead: int = 0

    @property
    def outstanding(self) -> int:
        """Items that still need work."""
        return self.ready + self.delayed + self.leased

    @property
    def progress(self) -> float:
        """Share of the items that are settled (done or dead), 0 to 1; an empty pile is all done."""
        if not self.total:
            return 1.0 if self.total == 0 else 0.0
        return min(1.0, (self.done + self.dead) / self.total)


class Replicas(BaseModel):
    """Replicas by reality. ``desired``: the last decision; ``requested``: the Job's parallelism;
    ``observed``: running pods; ``pending``: pods that exist but do not run yet; ``leaving``: pods on their way out;
    ``ended``: indexes of the Job whose worker has ended well, so that no pod takes its place."""

    model_config = ConfigDict(frozen=True)

    desired: int = 0
    requested: int = 0
    observed: int = 0
    pending: int = 0
    leaving: int = 0
    ended: int = 0


class ServiceTimes(BaseModel):
    """What is known of the time one item takes, in seconds, from the queue's own clock.

    ``running`` holds the ages of the items now in work (censored service times), oldest first.
    ``buckets`` is the histogram of the finished ones, in the buckets of the queue's histograms (worker distribution,
    ``queue.histogram``); empty where the queue keeps none.
    """

    model_config = ConfigDict(frozen=True)

    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    running: tuple[float, ...] = ()
    buckets: dict[int, int] = Field(default_factory=dict)


class Usage(BaseModel):
    """What a submission's running pods use together, as their cluster measures it: cores and bytes of ``pods`` pods."""

    model_config = ConfigDict(frozen=True)

    cpu: float = 0.0
    memory: float = 0.0
    pods: int = 0


class Observation(BaseModel):
    """One measurement of one submission. Times are Unix seconds of Redis's clock, durations seconds.

    ``elapsed`` counts from the moment the submission was accepted, as its deadline does.
    ``progress`` is what the submission's progress metric says (by default the settled share of its items).
    """

    model_config = ConfigDict(frozen=True)

    submission: str
    at: float
    elapsed: float
    deadline: float | None = None
    target: float | None = None
    counts: Counts = Field(default_factory=Counts)
    progress: float = 0.0
    throughput: float = 0.0
    """Items settled per second over the recent window."""
    arrival_rate: float = 0.0
    """Items put per second over the recent window."""
    service: ServiceTimes = Field(default_factory=ServiceTimes)
    queue_wait_p50: float | None = None
    queue_wait_p95: float | None = None
    queue_wait_p99: float | None = None
    oldest_wait: float | None = None
    waits: dict[int, int] = Field(default_factory=dict)
    """How long items waited for a worker so far: a histogram as that of the service times."""
    failures: int = 0
    """Attempts that failed or whose lease expired, so far."""
    attempts: int = 0
    """Attempts handed out, so far."""
    expired: int = 0
    """Leases that ran out so far; they are among the failures."""
    released: int = 0
    """Attempts handed back unharmed, so far."""
    replicas: Replicas = Field(default_factory=Replicas)
    startup: float | None = None
    """Median seconds from a pod's creation to its running, None while unknown."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Application metrics that workers reported: the mean over workers of the last value of each."""
    price: float | None = None
    """Money that a replica costs in an hour, None while unknown."""
    replica_seconds: float = 0.0
    """Observed replicas integrated over time, so far."""
    spent: float | None = None
    """Money for these, None while no price is known."""
    usage: Usage | None = None
    """None when the cluster does not measure it, or not yet; ``usage_problem`` says why."""
    usage_problem: str = ""
    cluster_available: bool = True
    """False when the replica counts are the last known ones because the cluster does not answer."""

    @property
    def retried(self) -> int:
        """Failed attempts whose items were given another chance, so far."""
        return max(0, self.failures - self.counts.dead)

    @property
    def time_progress(self) -> float:
        """Share of the deadline that is used up (not clamped); 0 without a deadline."""
        return self.elapsed / self.deadline if self.deadline else 0.0

    @property
    def error(self) -> float:
        """``progress - time_progress``: above 0 ahead, below 0 late (the original's sign). 0 without a deadline."""
        return self.progress - self.time_progress if self.deadline else 0.0


class Decision(BaseModel):
    """What a law wanted, what guard and arbiter granted, why, and what was observed. One is kept per interval."""

    model_config = ConfigDict(frozen=True)

    at: float
    law: str
    wanted: int
    granted: int
    previous: int
    reason: str
    feasible: bool = True
    """False when the law says that the deadline cannot be met even at the most replicas."""
    eta: float | None = None
    """Expected seconds from ``at`` to the end at the granted replicas, None when unknown."""
    asked: int | None = None
    """What the guard let through of what was wanted; the arbiter may grant less. None in decisions of old versions."""
    progress: float = 0.0
    error: float = 0.0
    observed: int = 0
    """Running replicas."""
    pending: int = 0
    """Replicas that were asked for and do not run yet: they are no capacity."""
    outstanding: int = 0
    throughput: float = 0.0
    service_time: float = 0.0
    """Mean seconds an item took."""
    observed_at: float | None = None
    """When all this was observed (Unix seconds of the queue's clock)."""
    forecast: Forecast | None = None
    """What is expected from then on; None while nothing was looked at."""
