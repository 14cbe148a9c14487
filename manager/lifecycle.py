"""What to do next with a submission. Pure: its record and the facts in, one step out; nothing here waits or reads.

The life of a submission, as a reader should know it before reading the code:

    created --Begin--> loading --(ProvideQueue)--> Load ... --Launch--> ongoing --Attend ... --Conclude--> terminal
                                                            |  Job ended with items left, or lost all pods: Launch again
    terminal --KeepResults, TellEnd, CleanUp (after job_lifetime)--> --Forget (after keep)--> gone

Where only so many run at once, one that is created rests until its turn comes (see ``line``).
An intention of the user overrides this from anywhere before a terminal state: stop asks the workers to finish what
they hold and waits for them, terminate does not. Every step is idempotent and may be taken again after a crash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from asperathos_worker.queue.records import QueueStats

from common.domain.cluster import QUEUE_ROLE, JobView, PodView, SubmissionView
from common.domain.states import Intent, State
from common.domain.submission import Kind, Submission

_HARMLESS = frozenset({"", "ContainerCreating", "PodInitializing", "Pending"})
_CRASHES = "CrashLoopBackOff"
_MOST_NOTICE = 500


@dataclass(frozen=True)
class LifecycleRules:
    """Bounds, in seconds but for the counts."""

    crash_pods: int = 3
    """Failed pods of a Job that never took an item before the submission is an error."""
    idle_generations: int = 3
    """Jobs in a row that ended well without taking an item before the submission is an error."""
    lost_generations: int = 5
    """Jobs in a row, all pods of which went before an item was taken, until Kubernetes' back-off is kept to."""
    view_age: float = 3.0
    """A Job younger than this may be missing from a view only because the view is older."""
    exit_margin: float = 5.0
    """What workers get beyond their grace period to exit at the end."""
    report_patience: float = 5.0
    """How long the end waits for the monitor's report."""
    queue_patience: float = 300.0
    """How long a dedicated queue may take to answer, and a pod that takes the place of its own to start."""
    queue_notice: float = 10.0
    """After which it is told that one whose pod runs does not answer."""
    watch: float = 1.0
    """Between two looks at a running submission."""
    watch_near_end: float = 0.2
    """The same when its end is near."""
    watch_waiting: float = 30.0
    """Between two looks at one that waits for its turn: it is nudged when that comes."""
    tell_again: float = 10.0
    """Between two tries to tell the other services of an end."""
    most_rest: float = 3600.0
    """Between two looks at an ended one."""


@dataclass(frozen=True)
class Facts:
    """What the world looks like. ``now`` in Unix seconds.

    ``stats``: None when there is no queue (yet, or any more). ``view``: None when the cluster does not answer, with
    the reason in ``cluster_problem``.
    """

    now: float
    stats: QueueStats | None = None
    view: SubmissionView | None = None
    cluster_problem: str = ""
    queue_problem: str = ""
    """Why a dedicated queue that has an address does not answer; ``stats`` is None then."""
    service_problem: str = ""
    """What the monitor or the controller could not be told."""
    warning: str = ""
    """What Kubernetes told of an object that cannot be made (quota, admission)."""
    reported: bool = False
    """Whether the monitor's final report is at hand."""


@dataclass(frozen=True)
class Begin:
    """Open the queue and start loading."""


@dataclass(frozen=True)
class ProvideQueue:
    """Have the dedicated queue, which then starts and answers by itself."""


@dataclass(frozen=True)
class Load:
    """Put another slice of the workload into the queue; close it at its end."""


@dataclass(frozen=True)
class Launch:
    """Have a Job of this generation. ``why`` is told to the user when it replaces another; of Jobs in a row that took
    nothing, ``idle`` counts those that ended well and ``lost`` those whose pods were taken away."""

    generation: int
    why: str = ""
    idle: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Attend:
    """It runs: tell the other services of it, keep the logs of ended pods, show ``reason``; look again after
    ``wait`` seconds."""

    reason: str
    wait: float


@dataclass(frozen=True)
class Hold:
    """Nothing can be done now for ``reason``; look again after ``wait`` seconds."""

    reason: str
    wait: float


@dataclass(frozen=True)
class AskToStop:
    """Tell the workers to finish what they hold and exit."""


@dataclass(frozen=True)
class Settle:
    """The work is over: have measuring and scaling end, and wait for the workers to exit."""

    wait: float


@dataclass(frozen=True)
class Conclude:
    """Keep logs and report, and enter the terminal state. ``grace`` (seconds) is what still running workers get
    (None: their own); ``remove`` says whether the Job goes now or after its lifetime; ``culprit`` names the pod whose
    log explains the reason."""

    state: State
    reason: str
    remove: bool
    grace: float | None = None
    culprit: str = ""


@dataclass(frozen=True)
class TellEnd:
    """It has ended, but the other services may not know: one did not answer, or has lost what it was told. Look again
    after ``wait`` seconds when one still does not answer."""

    wait: float


@dataclass(frozen=True)
class KeepResults:
    """Archive a dedicated queue while its pod, which stays for a while, is still there. Look again after ``wait``
    seconds when it does not answer."""

    wait: float


@dataclass(frozen=True)
class CleanUp:
    """Archive a dedicated queue, then remove everything from the cluster."""


@dataclass(frozen=True)
class Forget:
    """Nothing is to be kept any longer: remove every trace."""


@dataclass(frozen=True)
class Rest:
    """Nothing to do for so many seconds."""

    wait: float


Step = (
    Begin
    | ProvideQueue
    | Load
    | Launch
    | Attend
    | Hold
    | AskToStop
    | Settle
    | Conclude
    | TellEnd
    | KeepResults
    | CleanUp
    | Forget
    | Rest
)


def next_step(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    """The one step to take now."""
    if submission.state.terminal:
        step = _after_the_end(submission, facts, rules)
        is_idle = isinstance(step, Rest) and not submission.end_told
        return TellEnd(rules.tell_again) if is_idle else step
    if submission.intent is Intent.TERMINATE:
        return _terminate(submission, facts, rules)
    if facts.queue_problem and not (submission.intent is Intent.STOP and submission.generation == 0):
        return _without_queue(submission, facts, rules)
    if submission.intent is Intent.STOP:
        return _stop(submission, facts, rules)
    if submission.state is State.CREATED:
        return Rest(rules.watch_waiting) if submission.waits else Begin()
    if submission.state is State.LOADING:
        return _start(submission, facts, rules)
    return _run(submission, facts, rules)


def has_results_to_keep(submission: Submission) -> bool:
    """Whether its results are only in a dedicated queue, and go with its pod."""
    return submission.spec.queue == "dedicated" and bool(submission.redis_host) and not submission.archived


def exists_in_cluster(submission: Submission) -> bool:
    """Whether something of it may be in the cluster: the record says so before anything is made there."""
    dedicated = submission.spec.queue == "dedicated" and submission.state is not State.CREATED
    return dedicated or submission.generation > 0


# Ends.


def _after_the_end(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    ended = submission.finished_at if submission.finished_at is not None else facts.now
    if submission.delete_requested:
        return Forget() if submission.job_deleted else CleanUp()
    if not submission.job_deleted:
        left = ended + submission.spec.job_lifetime - facts.now
        removed_early = submission.state not in (State.COMPLETED, State.FAILED)
        if left <= 0 or removed_early:
            return CleanUp()
        if has_results_to_keep(submission):
            return KeepResults(min(left, rules.tell_again))
        return Rest(min(left, rules.most_rest))
    left = ended + submission.spec.keep - facts.now
    return Forget() if left <= 0 else Rest(min(left, rules.most_rest))


def _terminate(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    if exists_in_cluster(submission) and facts.view is None:
        return Hold(f"terminating; {facts.cluster_problem}", rules.watch)
    return Conclude(State.TERMINATED, "terminated on request", remove=True, grace=0.0)


def _stop(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    done = Conclude(State.STOPPED, "stopped on request", remove=True)
    stats = facts.stats
    if submission.state is State.ONGOING and stats is not None and stats.over and not stats.stopped:
        # It was quicker than the request: everything is done, and saying so is the truth.
        return _settle(submission, facts, stats, rules)
    if submission.generation == 0:
        return done
    if submission.ending_at is None:
        return AskToStop()
    if facts.view is None:
        return Hold(f"stopping; {facts.cluster_problem}", rules.watch)
    return done if _settled(submission, facts, rules) else Settle(rules.watch_near_end)


def _settle(submission: Submission, facts: Facts, stats: QueueStats, rules: LifecycleRules) -> Step:
    if submission.ending_at is None:
        return Settle(0.0)
    if not _settled(submission, facts, rules):
        return Settle(rules.watch_near_end)
    if stats.dead:
        verb = "is" if stats.dead == 1 else "are"
        return Conclude(State.FAILED, f"{stats.dead} of {stats.put} items {verb} dead", remove=False)
    return Conclude(State.COMPLETED, "", remove=False)


def _settled(submission: Submission, facts: Facts, rules: LifecycleRules) -> bool:
    waited = _since(submission.ending_at if submission.ending_at is not None else facts.now, facts.now, math.inf)
    if waited >= submission.spec.grace_period + rules.exit_margin:
        return True
    if facts.view is None or any(pod.phase == "Running" for pod in facts.view.workers()):
        return False
    return facts.reported or waited >= rules.report_patience


def _without_queue(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    """A dedicated queue does not answer. Its server is started again in its pod, but the items go with the pod."""
    if facts.view is None:
        return Hold(_joined(facts.cluster_problem, facts.queue_problem), rules.watch)
    pod = _queue_pod(facts.view)
    if not submission.loaded and not submission.generation:
        return _await_queue(submission, pod, facts, rules)
    if pod is None or pod.deleting:
        return Conclude(State.ERROR, "the dedicated queue's pod is gone, and its items with it", remove=True)
    if pod.ended:
        return Conclude(State.ERROR, f"the dedicated queue's pod ended: {ending(pod)}", remove=True)
    notice = _waiting_notice(pod)
    if pod.pending and facts.now - pod.created_at >= rules.queue_patience:
        # It took the place of the one that had the items, and cannot even tell that they are gone.
        return Conclude(
            State.ERROR, f"the dedicated queue's new pod does not start: {notice or pod.phase}", remove=True
        )
    return Hold(_joined(facts.queue_problem, notice), rules.watch)


def _await_queue(submission: Submission, pod: PodView | None, facts: Facts, rules: LifecycleRules) -> Step:
    """It has not answered yet."""
    notice = _waiting_notice(pod) if pod is not None else facts.warning
    if pod is not None and pod.reason == _CRASHES:
        return Conclude(State.ERROR, f"the dedicated queue does not start: {notice}", remove=True)
    is_running = pod is not None and pod.running
    waited = _since(submission.queue_at if submission.queue_at is not None else submission.created_at, facts.now, 0.0)
    if waited > rules.queue_patience:
        if is_running:
            # It runs for its own sake: the manager has to reach it, too.
            return Conclude(State.ERROR, facts.queue_problem, remove=True)
        why = notice or (pod.phase if pod is not None else "it has no pod")
        return Conclude(State.ERROR, f"the dedicated queue does not start: {why}", remove=True)
    told = facts.queue_problem if is_running and waited > rules.queue_notice else ""
    return Hold(_joined("waiting for the dedicated queue", notice, told, separator=": "), rules.watch_near_end)


# Start.


def _start(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    if submission.generation > 0:
        return Launch(submission.generation)
    if submission.spec.queue == "dedicated" and not submission.redis_host:
        if facts.view is None:
            return Hold(f"cannot start the queue: {facts.cluster_problem}", rules.watch)
        return ProvideQueue()
    if facts.stats is None and submission.loaded and submission.spec.queue == "dedicated":
        return _emptied()
    if facts.stats is None:
        # The record says loading, but the queue was not opened: a crash in between, or a dedicated one that is new.
        return Begin()
    if facts.stats.closed and submission.spec.kind is Kind.BATCH:
        if facts.stats.put == 0:
            return Conclude(State.COMPLETED, "the workload is empty", remove=False)
        return Launch(1)
    return Load()


def _queue_pod(view: SubmissionView) -> PodView | None:
    """The latest one: those before it may linger."""
    found = [pod for pod in view.pods if pod.role == QUEUE_ROLE]
    return max(found, key=lambda pod: (not pod.ended and not pod.deleting, pod.created_at), default=None)


def _emptied() -> Step:
    return Conclude(
        State.ERROR, "the dedicated queue is empty: its pod was replaced, and its items went with the pod", remove=True
    )


# The run.


def _run(submission: Submission, facts: Facts, rules: LifecycleRules) -> Step:
    stats = facts.stats
    if stats is None and submission.spec.queue == "dedicated":
        return _emptied()
    if stats is None:
        return Conclude(State.ERROR, "the queue is gone: its Redis has lost it or it was removed", remove=True)
    if stats.over:
        return _settle(submission, facts, stats, rules)
    if facts.view is None:
        return Attend(_joined(facts.cluster_problem, "the work goes on", facts.service_problem), rules.watch)
    if submission.spec.queue == "dedicated":
        queue = _queue_pod(facts.view)
        if queue is not None and queue.ended:
            return Conclude(State.ERROR, f"the dedicated queue's pod ended: {ending(queue)}", remove=True)
    if not submission.job_created:
        return Launch(submission.generation, idle=submission.idle_generations, lost=submission.lost_generations)
    took_items = stats.taken > submission.generation_taken
    job = facts.view.job(submission.generation)
    pods = [pod for pod in facts.view.workers() if pod.generation == submission.generation]
    fallen = [pod for pod in pods if crashed(pod)] if not took_items else []
    if fallen:
        failures = max(len(fallen), job.failed if job is not None else 0)
        if failures >= rules.crash_pods:
            last = fallen[-1]
            return Conclude(State.ERROR, f"the container exits at once {ending(last)}", remove=True, culprit=last.name)
    may_replace = took_items or submission.lost_generations < rules.lost_generations
    if job is None or job.deleting or job.ended or (all_lost(job, pods) and may_replace):
        return _replace(submission, facts, rules, job, took_items)
    return Attend(
        _joined(
            _crash_notice(fallen),
            _pending_notice(job, pods),
            facts.warning if not pods else "",
            facts.service_problem,
        ),
        _watch(stats, rules),
    )


def _replace(
    submission: Submission, facts: Facts, rules: LifecycleRules, job: JobView | None, took_items: bool
) -> Step:
    age = _since(submission.generation_at or 0.0, facts.now, math.inf)
    if age < rules.view_age and (job is None or job.ended or not job.deleting):
        # Too young to be missed, and no Job is to follow another in a hurry.
        return Attend(submission.reason, min(rules.watch, rules.view_age - age))
    ended_well = job is not None and job.ended == "Complete"
    idle = 0 if took_items or not ended_well else submission.idle_generations + 1
    if idle >= rules.idle_generations:
        return Conclude(
            State.ERROR,
            f"the container exited with code 0 {idle} times over without taking an item: does the command speak the "
            "worker protocol? Give run: instead of command: to have it called once per item",
            remove=True,
        )
    lost = 0
    if job is None or job.deleting:
        why = "the Job was deleted"
    elif not job.ended:
        why = "all pods of the Job were taken away"
        lost = 0 if took_items else submission.lost_generations + 1
    else:
        said = f" ({job.reason}: {job.message})" if job.reason and job.ended != "Complete" else ""
        why = f"the Job ended ({job.ended.lower()}) with items left{said}"
    return Launch(submission.generation + 1, why, idle, lost)


def _since(moment: float, now: float, unknown: float) -> float:
    """Seconds from ``moment`` to ``now``; ``unknown`` when the clock was set back meanwhile, so that nothing waits for
    it to catch up."""
    return now - moment if now >= moment else unknown


def _watch(stats: QueueStats, rules: LifecycleRules) -> float:
    # Each worker holds a batch at the end of a pile; when nothing is left to hand out, the end may come any moment.
    return rules.watch_near_end if stats.closed and stats.ready == 0 else rules.watch


def all_lost(job: JobView, pods: list[PodView]) -> bool:
    """Whether a Job has no pod (left) because they were taken away, so that all of its indexes wait in their back-off.

    Where a container crashed, the back-off is earned.
    """
    held = [pod for pod in pods if pod.running or pod.pending or pod.tracked]
    return job.requested > 0 and bool(held) and all(pod.lost for pod in held)


def crashed(pod: PodView) -> bool:
    """Whether it failed by itself: not taken away by the cluster, not told to go."""
    return pod.crashed


def ending(pod: PodView) -> str:
    """How it ended, to follow a verb: ``with code 137 (OOMKilled)``."""
    code = f"with code {pod.exit_code}" if pod.exit_code is not None else ""
    cause = pod.reason if pod.reason not in ("", "Error", "Completed") else ""
    return _joined(f"{code} ({cause})".strip() if cause else code, pod.message, separator=": ")[:_MOST_NOTICE]


def _crash_notice(fallen: list[PodView]) -> str:
    if not fallen:
        return ""
    count = "a pod" if len(fallen) == 1 else f"{len(fallen)} pods"
    return f"{count} failed before any item was taken, the last one {ending(fallen[-1])}"


def _pending_notice(job: JobView, pods: list[PodView]) -> str:
    waiting = [(pod, notice) for pod in pods if pod.pending and (notice := _waiting_notice(pod))]
    if not waiting:
        return ""
    running = sum(pod.running for pod in pods)
    return f"{len(waiting)} of {max(job.requested, running + len(waiting))} replicas cannot start: {waiting[0][1]}"


def _waiting_notice(pod: PodView) -> str:
    if pod.reason in _HARMLESS:
        return ""
    return _joined(pod.reason, pod.message, separator=": ")[:_MOST_NOTICE]


def _joined(*parts: str, separator: str = "; ") -> str:
    return separator.join(part for part in parts if part)
