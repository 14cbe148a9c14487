"""A world for the pure Job controller: applies its actions at once, and lets a test play kubelet, user and time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from localcluster.jobs import (
    Announce,
    Backoff,
    BackoffSettings,
    ContainerExit,
    CreatePod,
    DeletePod,
    ExitCodeRule,
    FailureRule,
    JobSpec,
    JobStatus,
    Outcome,
    PodConditionRule,
    PodView,
    ReleasePod,
    RemoveJob,
    reconcile,
)

IGNORE_TERM = FailureRule("Ignore", exit_codes=ExitCodeRule("In", frozenset([143])))
IGNORE_DISRUPTION = FailureRule("Ignore", conditions=(PodConditionRule("DisruptionTarget"),))
START = 1_000_000.0


def elastic(count: int, **changes: object) -> JobSpec:
    """The Job that the suite makes: elastic, Indexed, generous per-index back-off, 143 and disruptions ignored."""
    spec = JobSpec(
        namespace="default",
        name="job",
        parallelism=count,
        completions=count,
        indexed=True,
        backoff_limit=2**31 - 1,
        backoff_limit_per_index=1000,
        failure_rules=(IGNORE_TERM, IGNORE_DISRUPTION),
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """``pods`` by name; a pod leaves when it is being deleted, has ended, and is released."""

    spec: JobSpec
    settings: BackoffSettings = field(default_factory=BackoffSettings)
    now: float = START
    status: JobStatus = field(default_factory=JobStatus)
    backoff: Backoff = field(default_factory=Backoff)
    pods: dict[str, PodView] = field(default_factory=dict)
    events: list[Announce] = field(default_factory=list)
    removed: bool = False
    created: int = 0
    starts: list[tuple[float, int | None]] = field(default_factory=list)
    again_in: float | None = None

    def settle(self, grace_is_over: bool = True) -> None:
        """Reconcile until nothing is left to do now; pods being deleted end at once unless told otherwise."""
        for _ in range(50):
            outcome = reconcile(self.spec, self.status, self.pods.values(), self.backoff, self.now, self.settings)
            quiet = not outcome.actions and outcome.status == self.status
            self._apply(outcome)
            if grace_is_over:
                for pod in list(self.pods.values()):
                    if pod.is_terminating:
                        self.end(pod.name, 143, settle=False)
                        quiet = False
            if quiet or self.removed:
                return
        raise AssertionError("the controller does not come to rest")

    def run_for(self, seconds: float) -> None:
        """Let time pass, reconciling whenever the controller asked to be called."""
        end = self.now + seconds
        for _ in range(1000):
            step = end - self.now if self.again_in is None else min(self.again_in, end - self.now)
            self.now += max(step, 0.0)
            self.settle()
            if self.now >= end:
                return
        raise AssertionError("the controller asks for no progress")

    def start_all(self) -> None:
        """Every pending pod is scheduled and runs."""
        for pod in list(self.pods.values()):
            if pod.phase == "Pending" and not pod.deleting:
                self.pods[pod.name] = replace(pod, phase="Running", scheduled=True, ready=True)
        self.settle()

    def end(self, name: str, code: int, settle: bool = True, conditions: tuple[tuple[str, str], ...] = ()) -> None:
        """A pod's container exits."""
        pod = self.pods[name]
        phase = "Succeeded" if code == 0 else "Failed"
        self.pods[name] = replace(
            pod,
            phase=phase,
            ready=False,
            finished_at=self.now,
            exits=(ContainerExit("worker", code),),
            conditions=(*pod.conditions, *conditions),
        )
        self._sweep()
        if settle:
            self.settle()

    def delete(self, name: str, code: int = 143, conditions: tuple[tuple[str, str], ...] = ()) -> None:
        """Someone deletes a pod; it ends with that exit code within its grace period."""
        self.pods[name] = replace(self.pods[name], deleting=True)
        self.settle(grace_is_over=False)
        self.end(name, code, conditions=conditions)

    def scale(self, count: int) -> None:
        """Patch parallelism and completions together."""
        self.spec = replace(self.spec, parallelism=count, completions=count)
        self.settle()

    def active(self) -> dict[int | None, PodView]:
        """Active pods by index."""
        return {pod.index: pod for pod in self.pods.values() if pod.is_active}

    def name_of(self, index: int) -> str:
        """The active pod of an index."""
        return self.active()[index].name

    def _apply(self, outcome: Outcome) -> None:
        for action in outcome.actions:
            if isinstance(action, CreatePod):
                self.created += 1
                self.starts.append((self.now, action.index))
                name = f"job-{action.index}-{self.created}"
                self.pods[name] = PodView(
                    uid=name,
                    name=name,
                    index=action.index,
                    created_at=self.now,
                    index_failures=action.index_failures or 0,
                    index_ignored_failures=action.index_ignored_failures,
                )
            elif isinstance(action, ReleasePod) and action.name in self.pods:
                self.pods[action.name] = replace(self.pods[action.name], tracked=False)
            elif isinstance(action, DeletePod) and action.name in self.pods:
                self.pods[action.name] = replace(self.pods[action.name], deleting=True)
            elif isinstance(action, Announce):
                self.events.append(action)
            elif isinstance(action, RemoveJob):
                self.removed = True
        self.status, self.backoff, self.again_in = outcome.status, outcome.backoff, outcome.again_in
        self._sweep()

    def _sweep(self) -> None:
        for pod in list(self.pods.values()):
            if pod.deleting and pod.phase in ("Succeeded", "Failed") and not pod.tracked:
                del self.pods[pod.name]
