"""What the suite sees of a Kubernetes cluster: small frozen views instead of the client's models. Times: Unix s."""

from __future__ import annotations

from dataclasses import dataclass, field

SUBMISSION_LABEL = "asperathos.io/submission"
GENERATION_LABEL = "asperathos.io/generation"
ROLE_LABEL = "asperathos.io/role"
INSTALLATION_LABEL = "asperathos.io/installation"
"""Whose objects they are, where several installations share a namespace."""
WORKER_ROLE = "worker"
QUEUE_ROLE = "queue"
RELEASED = 143
"""Exit code of a worker that was told to go."""


@dataclass(frozen=True)
class JobView:
    """A submission's Job. ``parallelism`` is the requested replicas; ``ended`` is Complete, Failed or empty."""

    name: str
    namespace: str
    submission: str
    generation: int
    parallelism: int
    suspended: bool
    active: int
    ready: int
    succeeded: int
    failed: int
    ended: str = ""
    reason: str = ""
    message: str = ""
    deleting: bool = False
    installation: str = ""

    @property
    def requested(self) -> int:
        """Replicas asked for; a suspended Job asks for none."""
        return 0 if self.suspended else self.parallelism


@dataclass(frozen=True)
class PodView:
    """One pod. ``reason`` and ``message`` say why it waits or how it ended (of the pod or its first container)."""

    name: str
    namespace: str
    submission: str
    generation: int
    index: int
    role: str
    phase: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    ip: str = ""
    node: str = ""
    deleting: bool = False
    disrupted: bool = False
    """Ended by the cluster (eviction, preemption, scale-down, node loss), not by itself."""
    tracked: bool = False
    """Whether its Job still reckons with it. A Job lets go of the pods that it removes itself, and of failed ones when
    their index runs again."""
    installation: str = ""

    @property
    def running(self) -> bool:
        """Whether it is at work (a pod on its way out is not counted)."""
        return self.phase == "Running" and not self.deleting

    @property
    def pending(self) -> bool:
        """Whether it exists but does not run yet."""
        return self.phase == "Pending" and not self.deleting

    @property
    def ended(self) -> bool:
        """Whether it will not run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def leaving(self) -> bool:
        """Whether it was told to go and has not ended yet."""
        return self.deleting and not self.ended

    @property
    def crashed(self) -> bool:
        """Whether it failed by itself: not taken away by the cluster, not told to go."""
        return self.phase == "Failed" and not self.disrupted and not self.deleting and self.exit_code != RELEASED

    @property
    def taken_away(self) -> bool:
        """Whether it failed because somebody or the cluster ended it."""
        return self.phase == "Failed" and not self.crashed

    @property
    def lost(self) -> bool:
        """Whether it was taken away from its Job, or is on its way, and nothing has taken its index's place yet."""
        return self.tracked and (self.leaving or self.taken_away)


@dataclass(frozen=True)
class SubmissionView:
    """A submission's Jobs (all generations) and pods as the cluster shows them."""

    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()

    def job(self, generation: int) -> JobView | None:
        """The Job of that generation, if it is there."""
        return next((job for job in self.jobs if job.generation == generation), None)

    def workers(self) -> tuple[PodView, ...]:
        """The pods that work on items (a dedicated queue's pod is none)."""
        return tuple(pod for pod in self.pods if pod.role == WORKER_ROLE)


@dataclass(frozen=True)
class NodeView:
    """A node and what pods may use of it: cores, bytes, pods, GPUs."""

    name: str
    ready: bool
    cpu: float
    memory: float
    pods: int
    gpus: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LogLine:
    """A line of a pod's log; ``at`` in nanoseconds since the epoch. One that is not ``complete`` may grow."""

    at: int
    text: str
    complete: bool = True


@dataclass(frozen=True)
class ClusterEvent:
    """Something Kubernetes told about an object of a submission."""

    at: float
    kind: str
    object: str
    reason: str
    message: str
    warning: bool
