"""The batch/v1 Job controller's decisions. Pure: specification, status, pods and time in; actions and a new status out.

The rules are those of the Kubernetes Job controller (v1.29 and later, with elastic Indexed Jobs, per-index back-off,
pod failure policy and delayed terminal conditions); docs/localcluster.md lists them with their consequences.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from localcluster.intervals import format_indexes, parse_indexes

MAX_PODS_PER_SYNC = 500


@dataclass(frozen=True)
class BackoffSettings:
    """How long a failed index waits: ``base`` seconds doubling up to ``cap`` seconds."""

    base: float = 10.0
    cap: float = 600.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row."""
        if failures <= 0:
            return 0.0
        return float(min(self.base * 2.0 ** min(failures - 1, 64), self.cap))


@dataclass(frozen=True)
class ExitCodeRule:
    """podFailurePolicy onExitCodes: operator In or NotIn, optionally for one container."""

    operator: str
    values: frozenset[int]
    container: str | None = None


@dataclass(frozen=True)
class PodConditionRule:
    """One pattern of podFailurePolicy onPodConditions."""

    kind: str
    status: str = "True"


@dataclass(frozen=True)
class FailureRule:
    """One podFailurePolicy rule; ``action`` is Ignore, FailJob, FailIndex or Count."""

    action: str
    exit_codes: ExitCodeRule | None = None
    conditions: tuple[PodConditionRule, ...] = ()


@dataclass(frozen=True)
class SuccessRule:
    """One successPolicy rule: these indexes (None: any), at least that many (None: all of them)."""

    indexes: frozenset[int] | None
    count: int | None


@dataclass(frozen=True)
class JobSpec:
    """What the decisions read of a Job's spec."""

    namespace: str
    name: str
    parallelism: int
    completions: int | None
    indexed: bool = False
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    failure_rules: tuple[FailureRule, ...] | None = None
    success_rules: tuple[SuccessRule, ...] = ()
    replace_only_failed: bool = False
    restart_policy: str = "Never"
    suspend: bool = False
    active_deadline_seconds: float | None = None
    ttl_seconds_after_finished: float | None = None
    deleting: bool = False

    @property
    def only_failed_are_replaced(self) -> bool:
        """Whether a terminating pod is replaced only once it has ended (always with a podFailurePolicy)."""
        return self.replace_only_failed or self.failure_rules is not None


@dataclass(frozen=True)
class Condition:
    """A Job condition; ``since`` is its transition time in seconds since the epoch."""

    kind: str
    status: str
    reason: str
    message: str
    since: float


@dataclass(frozen=True)
class JobStatus:
    """What the decisions read and write of a Job's status. Times are seconds since the epoch."""

    active: int = 0
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    completed_indexes: str = ""
    failed_indexes: str | None = None
    start_time: float | None = None
    completion_time: float | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type that is true."""
        for item in self.conditions:
            if item.kind == kind and item.status == "True":
                return item
        return None

    @property
    def finished(self) -> Condition | None:
        """The terminal condition, once there is one."""
        return self.condition("Complete") or self.condition("Failed")


@dataclass(frozen=True)
class ContainerExit:
    """A terminated container."""

    name: str
    code: int


@dataclass(frozen=True)
class PodView:
    """What the decisions read of one of the Job's pods. ``tracked``: not yet accounted in the Job's status."""

    uid: str
    name: str
    index: int | None = None
    phase: str = "Pending"
    deleting: bool = False
    tracked: bool = True
    ready: bool = False
    scheduled: bool = False
    created_at: float = 0.0
    finished_at: float = 0.0
    exits: tuple[ContainerExit, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()
    index_failures: int = 0
    index_ignored_failures: int = 0
    restarts: int = 0

    @property
    def is_active(self) -> bool:
        """Neither ended nor being deleted."""
        return self.phase not in ("Succeeded", "Failed") and not self.deleting

    @property
    def is_terminating(self) -> bool:
        """Being deleted and not ended."""
        return self.phase not in ("Succeeded", "Failed") and self.deleting


@dataclass(frozen=True)
class Backoff:
    """Job-wide back-off (Jobs without backoffLimitPerIndex): failures since the last success, and when."""

    failures: int = 0
    last_failure: float = 0.0


@dataclass(frozen=True)
class CreatePod:
    """Start a pod; the counts become the new pod's annotations."""

    index: int | None = None
    index_failures: int | None = None
    index_ignored_failures: int = 0


@dataclass(frozen=True)
class DeletePod:
    """Ask for a pod's deletion with its own grace period."""

    name: str


@dataclass(frozen=True)
class ReleasePod:
    """Remove the tracking finalizer: the pod is accounted for, or counts as nothing."""

    name: str


@dataclass(frozen=True)
class Announce:
    """Record an event about the Job."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True)
class RemoveJob:
    """The Job's time to live after its end is over."""


Action = CreatePod | DeletePod | ReleasePod | Announce | RemoveJob


@dataclass(frozen=True)
class Outcome:
    """What to do now, the status to write, the back-off to remember, and when to look again (seconds from now)."""

    status: JobStatus
    actions: tuple[Action, ...] = ()
    backoff: Backoff = field(default_factory=Backoff)
    again_in: float | None = None


@dataclass(frozen=True)
class Match:
    """What the podFailurePolicy says of a failed pod."""

    counts: bool = True
    action: str | None = None
    job_failure: str | None = None


def reconcile(
    spec: JobSpec,
    status: JobStatus,
    pods: Iterable[PodView],
    backoff: Backoff,
    now: float,
    settings: BackoffSettings,
) -> Outcome:
    """One pass of the Job controller. ``pods`` are all pods the Job controls; ``now`` is seconds since the epoch."""
    known = tuple(pods)
    if status.finished is not None:
        return _after_the_end(spec, status, known, backoff, now)
    if spec.deleting:
        released = tuple(ReleasePod(pod.name) for pod in known if pod.tracked)
        return Outcome(status, released, backoff)
    return _Pass(spec, status, known, backoff, now, settings).run()


def match_failure_policy(spec: JobSpec, pod: PodView) -> Match:
    """The first podFailurePolicy rule that matches a failed pod decides; without a match the failure counts."""
    for number, rule in enumerate(spec.failure_rules or ()):
        if rule.exit_codes is not None:
            ended = _matching_exit(pod, rule.exit_codes)
            if ended is None:
                continue
            said = f"Container {ended.name} for pod {spec.namespace}/{pod.name} failed with exit code {ended.code}"
        else:
            pattern = _matching_condition(pod, rule.conditions)
            if pattern is None:
                continue
            said = f"Pod {spec.namespace}/{pod.name} has condition {pattern.kind}"
        if rule.action == "FailJob":
            return Match(True, rule.action, f"{said} matching FailJob rule at index {number}")
        return Match(rule.action != "Ignore", rule.action)
    return Match()


def is_failed(spec: JobSpec, pod: PodView) -> bool:
    """Whether the pod counts as failed; without a replacement policy a deleted pod does before it has ended."""
    if pod.phase == "Failed":
        return True
    if spec.only_failed_are_replaced:
        return False
    return pod.deleting and pod.phase != "Succeeded"


def _matching_exit(pod: PodView, rule: ExitCodeRule) -> ContainerExit | None:
    for ended in pod.exits:
        if ended.code == 0 or (rule.container is not None and rule.container != ended.name):
            continue
        if (ended.code in rule.values) == (rule.operator == "In"):
            return ended
    return None


def _matching_condition(pod: PodView, rules: tuple[PodConditionRule, ...]) -> PodConditionRule | None:
    for rule in rules:
        if (rule.kind, rule.status) in pod.conditions:
            return rule
    return None


def _after_the_end(
    spec: JobSpec, status: JobStatus, pods: tuple[PodView, ...], backoff: Backoff, now: float
) -> Outcome:
    actions: list[Action] = [ReleasePod(pod.name) for pod in pods if pod.tracked]
    actions += [DeletePod(pod.name) for pod in pods if pod.is_active]
    ended = status.finished
    if spec.ttl_seconds_after_finished is None or ended is None or spec.deleting:
        return Outcome(status, tuple(actions), backoff)
    left = ended.since + spec.ttl_seconds_after_finished - now
    if left <= 0:
        return Outcome(status, (*actions, RemoveJob()), backoff)
    return Outcome(status, tuple(actions), backoff, again_in=left)


class _Pass:
    """The state of one reconciliation; lives for one call of ``reconcile``."""

    def __init__(
        self,
        spec: JobSpec,
        status: JobStatus,
        pods: tuple[PodView, ...],
        backoff: Backoff,
        now: float,
        settings: BackoffSettings,
    ) -> None:
        self.spec, self.old, self.now, self.settings = spec, status, now, settings
        self.pods = sorted(pods, key=lambda pod: (-1 if pod.index is None else pod.index, pod.created_at, pod.name))
        self.backoff = backoff
        self.actions: list[Action] = []
        self.again: list[float] = []
        self.active = [pod for pod in self.pods if pod.is_active]
        self.terminating = sum(pod.is_terminating for pod in self.pods)
        self.ready = sum(pod.ready for pod in self.active)
        self.active_count = len(self.active)
        self.conditions = list(status.conditions)
        self.start_time = status.start_time
        self.finished: Condition | None = None
        self.limit = spec.completions if spec.completions is not None else 0
        self.fresh = [pod for pod in self.pods if pod.tracked and self._has_valid_index(pod)]
        self.succeeded_indexes: frozenset[int] = frozenset()
        self.failed_indexes: frozenset[int] | None = None
        self.awaiting: dict[int, PodView] = {}
        self.new_succeeded = [pod for pod in self.fresh if pod.phase == "Succeeded"]
        self.new_failed = [pod for pod in self.fresh if is_failed(spec, pod)]
        self.succeeded = status.succeeded + len(self.new_succeeded)
        self.counted_failures = [pod for pod in self.new_failed if match_failure_policy(spec, pod).counts]

    def run(self) -> Outcome:
        """Everything in the real controller's order."""
        if self.start_time is None and not self.spec.suspend:
            self.start_time = self.now
        self._update_backoff()
        self._find_failure()
        if self.spec.indexed:
            self._account_indexes()
        if self.finished is not None:
            self._stop_active_pods()
        else:
            self._manage()
        return self._conclude()

    def _has_valid_index(self, pod: PodView) -> bool:
        return not self.spec.indexed or (pod.index is not None and pod.index < self.limit)

    def _update_backoff(self) -> None:
        ended = [(pod.finished_at, pod.phase == "Succeeded") for pod in self.new_succeeded + self.new_failed]
        for when, is_success in sorted(ended):
            if is_success:
                self.backoff = Backoff()
            else:
                self.backoff = Backoff(self.backoff.failures + 1, max(when, self.backoff.last_failure))

    def _fail(self, reason: str, message: str) -> None:
        self.finished = Condition("FailureTarget", "True", reason, message, self.now)

    def _find_failure(self) -> None:
        for kind in ("FailureTarget", "SuccessCriteriaMet"):
            interim = self.old.condition(kind)
            if interim is not None:
                self.finished = interim
                return
        for pod in self.new_failed:
            said = match_failure_policy(self.spec, pod).job_failure
            if said is not None:
                self._fail("PodFailurePolicy", said)
                return
        failed = self.old.failed + len(self.counted_failures)
        if failed > self.spec.backoff_limit or self._restarts_exceed_backoff_limit():
            self._fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
            return
        deadline = self.spec.active_deadline_seconds
        if deadline is None or self.spec.suspend or self.start_time is None:
            return
        left = self.start_time + deadline - self.now
        if left <= 0:
            self._fail("DeadlineExceeded", "Job was active longer than specified deadline")
        else:
            self.again.append(left)

    def _restarts_exceed_backoff_limit(self) -> bool:
        if self.spec.restart_policy != "OnFailure":
            return False
        restarts = sum(pod.restarts for pod in self.pods if pod.phase in ("Running", "Pending"))
        return restarts > 0 and restarts >= self.spec.backoff_limit

    def _account_indexes(self) -> None:
        before = parse_indexes(self.old.completed_indexes, self.limit)
        self.succeeded_indexes = before | {pod.index for pod in self.new_succeeded if pod.index is not None}
        self.succeeded = len(self.succeeded_indexes)
        if self.spec.backoff_limit_per_index is not None:
            failed = set(parse_indexes(self.old.failed_indexes or "", self.limit))
            failed |= {pod.index for pod in self.new_failed if pod.index is not None and self._is_index_failed(pod)}
            self.failed_indexes = frozenset(failed)
            self._find_pods_awaiting_replacement()
        if self.finished is None:
            self._find_index_outcome()

    def _is_index_failed(self, pod: PodView) -> bool:
        match = match_failure_policy(self.spec, pod)
        if match.action == "FailIndex":
            return True
        return match.counts and pod.index_failures >= (self.spec.backoff_limit_per_index or 0)

    def _find_index_outcome(self) -> None:
        failed = self.failed_indexes
        if failed:
            maximum = self.spec.max_failed_indexes
            if maximum is not None and len(failed) > maximum:
                self._fail(
                    "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
                )
                return
            if len(failed) + len(self.succeeded_indexes) >= self.limit:
                self._fail("FailedIndexes", "Job has failed indexes")
                return
        for number, rule in enumerate(self.spec.success_rules):
            wanted = self.succeeded_indexes if rule.indexes is None else self.succeeded_indexes & rule.indexes
            needed = rule.count if rule.count is not None else len(rule.indexes or ())
            if len(wanted) >= needed:
                message = f"Matched rules at index {number}"
                self.finished = Condition("SuccessCriteriaMet", "True", "SuccessPolicy", message, self.now)
                return

    def _find_pods_awaiting_replacement(self) -> None:
        """The last failed pod of each index without a successor is kept: it carries the counts and starts the wait."""
        busy = {pod.index for pod in self.active}
        for pod in self.new_failed:
            index = pod.index
            if (
                index is None
                or index in busy
                or index in self.succeeded_indexes
                or index in (self.failed_indexes or ())
            ):
                continue
            known = self.awaiting.get(index)
            if known is None or _record(known) <= _record(pod):
                self.awaiting[index] = pod

    def _stop_active_pods(self) -> None:
        self.actions += [DeletePod(pod.name) for pod in self.active]
        self.terminating += len(self.active)
        self.active_count = 0
        self.ready = 0

    def _manage(self) -> None:
        if self.spec.suspend:
            self._drop(self._for_removal(self.active_count))
        else:
            wanted = self._wanted_active()
            surplus = self._for_removal(max(0, self.active_count - wanted))
            if surplus:
                # The controller either removes or creates in one pass, never both.
                self._drop(surplus[:MAX_PODS_PER_SYNC])
                self.again.append(0.0)
            else:
                self._create(wanted)
        if self._is_complete():
            message = "Reached expected number of succeeded pods"
            self.finished = Condition("SuccessCriteriaMet", "True", "CompletionsReached", message, self.now)
            return
        self._note_suspension()

    def _wanted_active(self) -> int:
        if self.spec.completions is None:
            return self.active_count if self.succeeded > 0 else self.spec.parallelism
        return max(0, min(self.spec.completions - self.succeeded, self.spec.parallelism))

    def _is_complete(self) -> bool:
        if self.spec.completions is None:
            return self.succeeded > 0 and self.active_count == 0
        return self.succeeded >= self.spec.completions and self.active_count == 0

    def _note_suspension(self) -> None:
        known = next((item for item in self.conditions if item.kind == "Suspended"), None)
        if self.spec.suspend and (known is None or known.status != "True"):
            self._set_condition(Condition("Suspended", "True", "JobSuspended", "Job suspended", self.now))
            self.actions.append(Announce("Normal", "Suspended", "Job suspended"))
        elif not self.spec.suspend and known is not None and known.status == "True":
            self._set_condition(Condition("Suspended", "False", "JobResumed", "Job resumed", self.now))
            self.actions.append(Announce("Normal", "Resumed", "Job resumed"))
            self.start_time = self.now

    def _for_removal(self, at_least: int) -> list[PodView]:
        """Out-of-range and repeated indexes first, then the least advanced pods."""
        surplus: list[PodView] = []
        left = list(self.active)
        if self.spec.indexed:
            left = []
            by_index: dict[int | None, list[PodView]] = {}
            for pod in self.active:
                by_index.setdefault(pod.index, []).append(pod)
            for index, twins in by_index.items():
                twins.sort(key=_progress)
                if index is None or index >= self.limit:
                    surplus += twins
                else:
                    surplus += twins[:-1]
                    left.append(twins[-1])
        missing = at_least - len(surplus)
        if missing > 0:
            left.sort(key=_progress)
            surplus += left[:missing]
        return surplus

    def _drop(self, pods: list[PodView]) -> None:
        for pod in pods:
            # Released first, so that whatever becomes of the pod counts as nothing.
            self.actions += [ReleasePod(pod.name), DeletePod(pod.name)] if pod.tracked else [DeletePod(pod.name)]
        self.active_count -= len(pods)
        self.terminating += len(pods)
        self.ready -= sum(pod.ready for pod in pods)

    def _create(self, wanted: int) -> None:
        terminating = self.terminating if self.spec.only_failed_are_replaced else 0
        missing = min(wanted - terminating - self.active_count, MAX_PODS_PER_SYNC)
        if missing <= 0:
            return
        if self.spec.backoff_limit_per_index is None:
            left = self._remaining(self.backoff.failures, self.backoff.last_failure)
            if left > 0:
                self.again.append(left)
                return
        if not self.spec.indexed:
            self.actions += [CreatePod() for _ in range(missing)]
            self.active_count += missing
            return
        for index in self._pending_indexes(missing):
            self._create_index(index)

    def _create_index(self, index: int) -> None:
        if self.spec.backoff_limit_per_index is None:
            self.actions.append(CreatePod(index))
            self.active_count += 1
            return
        failures = ignored = 0
        replaced = self.awaiting.get(index)
        if replaced is not None:
            left = self._remaining(replaced.index_failures + replaced.index_ignored_failures + 1, replaced.finished_at)
            if left > 0:
                self.again.append(left)
                return
            failures, ignored = replaced.index_failures, replaced.index_ignored_failures
            if match_failure_policy(self.spec, replaced).counts:
                failures += 1
            else:
                ignored += 1
            # Its counts live on in the new pod, so the old one may go with this very pass.
            del self.awaiting[index]
        self.actions.append(CreatePod(index, failures, ignored))
        self.active_count += 1

    def _remaining(self, failures: int, since: float) -> float:
        # A clock that stepped back must not lengthen the wait beyond its own length.
        return min(since + self.settings.delay(failures) - self.now, self.settings.delay(failures)) if failures else 0.0

    def _pending_indexes(self, count: int) -> list[int]:
        taken = {pod.index for pod in self.active} | self.succeeded_indexes | (self.failed_indexes or frozenset())
        if self.spec.only_failed_are_replaced:
            taken |= {pod.index for pod in self.pods if pod.is_terminating}
        found: list[int] = []
        for index in range(self.limit):
            if len(found) >= count:
                break
            if index not in taken:
                found.append(index)
        return found

    def _set_condition(self, new: Condition) -> None:
        self.conditions = [item for item in self.conditions if item.kind != new.kind] + [new]

    def _conclude(self) -> Outcome:
        succeeded, failed = self.old.succeeded, self.old.failed
        stopped_by_success = self.finished is not None and self.finished.kind == "SuccessCriteriaMet"
        counted_as_nothing = frozenset(action.name for action in self.actions if isinstance(action, ReleasePod))
        for pod in self.pods:
            if not pod.tracked or pod.name in counted_as_nothing or not self._may_release(pod):
                continue
            self.actions.append(ReleasePod(pod.name))
            if not self._has_valid_index(pod):
                continue
            if pod.phase == "Succeeded":
                succeeded += 0 if self.spec.indexed else 1
                continue
            # Whatever still runs when a Job fails counts as failed.
            lost = is_failed(self.spec, pod) or (self.finished is not None and not stopped_by_success)
            if lost and match_failure_policy(self.spec, pod).counts:
                failed += 1
        if self.spec.indexed:
            succeeded = len(self.succeeded_indexes)
        status = JobStatus(
            active=self.active_count,
            ready=self.ready,
            terminating=self.terminating,
            succeeded=succeeded,
            failed=failed,
            completed_indexes=format_indexes(self.succeeded_indexes) if self.spec.indexed else "",
            failed_indexes=None if self.failed_indexes is None else format_indexes(self.failed_indexes),
            start_time=self.start_time,
            completion_time=self.old.completion_time,
            conditions=tuple(self.conditions),
        )
        return self._finish(status)

    def _may_release(self, pod: PodView) -> bool:
        if self.finished is not None or pod.phase == "Succeeded":
            return True
        if not is_failed(self.spec, pod):
            return False
        return pod.index is None or self.awaiting.get(pod.index) is not pod

    def _finish(self, status: JobStatus) -> Outcome:
        again = min(self.again) if self.again else None
        interim = self.finished
        if interim is None:
            return Outcome(status, tuple(self.actions), self.backoff, again)
        if status.condition(interim.kind) is None:
            status = replace(status, conditions=(*status.conditions, interim))
        if self.terminating > 0:
            # The terminal condition waits for the last pod to end.
            return Outcome(status, tuple(self.actions), self.backoff, again)
        success = interim.kind == "SuccessCriteriaMet"
        final = Condition("Complete" if success else "Failed", "True", interim.reason, interim.message, self.now)
        conditions = (*(item for item in status.conditions if item.kind != "Suspended" or item.status == "True"), final)
        status = replace(status, conditions=conditions, completion_time=self.now if success else None)
        if success:
            self.actions.append(Announce("Normal", "Completed", "Job completed"))
        else:
            self.actions.append(Announce("Warning", interim.reason, interim.message))
        return Outcome(status, tuple(self.actions), self.backoff, self.spec.ttl_seconds_after_finished)


def _record(pod: PodView) -> tuple[int, float]:
    return pod.index_failures + pod.index_ignored_failures, pod.finished_at


def _progress(pod: PodView) -> tuple[bool, bool, bool, float, str]:
    """Pods early in their life sort first: unscheduled, pending, not ready, then the youngest."""
    return pod.scheduled, pod.phase == "Running", pod.ready, -pod.created_at, pod.name
