"""Sees every submission through its life: reads the facts, asks ``lifecycle`` what to do, does it, and again.

All steps are idempotent and take the record's version along, so that any number of managers may do this at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from asperathos_worker.queue.api import QueueError, QueueMissing, ServiceQueue
from asperathos_worker.queue.records import QueueConfig, QueueStats

from common.domain.cluster import PodView, SubmissionView
from common.domain.errors import AsperathosError, BadRequest, ClusterError, Forbidden, Unavailable, WorkloadError
from common.domain.progress import Counts
from common.domain.queues import QueueAddress
from common.domain.states import State
from common.domain.submission import Kind, Submission
from common.logging import get_logger
from common.ports import Clock, Leases, MetricStore, Queues, Texts, Versioned
from manager.announcing import Announcer
from manager.archiving import Archive, archive_page
from manager.book import Book
from manager.finishing import counts_of, last_error, last_settled_at, summarize
from manager.histories import Histories
from manager.keyring import Keyring
from manager.launching import Launcher, is_hopeless
from manager.lifecycle import (
    AskToStop,
    Attend,
    Begin,
    CleanUp,
    Conclude,
    Facts,
    Forget,
    Hold,
    KeepResults,
    Launch,
    LifecycleRules,
    Load,
    ProvideQueue,
    Rest,
    Settle,
    Step,
    TellEnd,
    crashed,
    ending,
    exists_in_cluster,
    has_results_to_keep,
    next_step,
)
from manager.loading import Loader
from manager.logkeeping import LogKeeper
from manager.manifests import QUEUE_PORT, initial_replicas
from manager.orphans import EVERY, Orphans

log = get_logger(__name__)
_GONE = 3600.0
_LOAD_LEASE = 10.0
"""Seconds. Renewed with each slice; a manager that died must not keep the others from reading on for longer. One that
reads its source more slowly than that is read beside, which costs the source a second reader and nothing else."""
_SHORT = 0.1
_LATER, _AT_LATEST = 0.1, 300.0
"""Who stays away is asked again after this part of the time it has been waited for, but after so many seconds."""
ORPHANS = "orphans"
"""Looked at as if it were a submission: under a lease, and with its own failures."""
_TAIL = 1000


@dataclass(frozen=True)
class LoopRules:
    """Durations in seconds. ``budget`` is how long one call of ``step`` goes on while there is something to do.

    ``looks``: so many looks a second at submissions that have not ended are aimed at. Where there are too many for that
    each is looked at less often, or those with work to be done would wait for those that are only looked at.
    """

    lifecycle: LifecycleRules = field(default_factory=LifecycleRules)
    budget: float = 1.0
    looks: float = 200.0
    launch_patience: float = 300.0
    forget_patience: float = 7 * 86400.0
    launch_retry: float = 2.0
    stream_retain: int = 100_000
    result_limit: int = 1 << 20
    """Bytes of an item's result at most."""


@dataclass(frozen=True)
class Tools:
    """What the loop works with. ``archive`` gives the shared queue of a submission to be played on both sides."""

    book: Book
    queues: Queues
    launcher: Launcher
    keyring: Keyring
    histories: Histories
    announcer: Announcer
    loader: Loader
    logs: LogKeeper
    texts: Texts
    metrics: MetricStore
    leases: Leases
    clock: Clock
    orphans: Orphans
    archive: Callable[[str], Archive]


@dataclass(frozen=True)
class _Situation:
    """A record and the facts about it, as one step saw them."""

    current: Versioned[Submission]
    facts: Facts

    @property
    def submission(self) -> Submission:
        return self.current.value

    @property
    def workers(self) -> tuple[PodView, ...]:
        return self.facts.view.workers() if self.facts.view is not None else ()


class ManagerLoop:
    """Implements common.loop.Steps."""

    def __init__(self, tools: Tools, rules: LoopRules | None = None) -> None:
        self._tools = tools
        self._rules = rules or LoopRules()
        self._owner = uuid.uuid4().hex
        self._alive: set[str] = set()
        """Submissions that were at work when this process looked at them last."""

    def active_ids(self) -> list[str]:
        """Submissions that are not through yet, their clean-up included; and what has lost its submission."""
        return [*self._tools.book.active_ids(), ORPHANS]

    def step(self, id: str) -> float:
        """Do what there is to do now, for about a second at most; returns the seconds until there may be more."""
        if id == ORPHANS:
            return self._sweep()
        clock = self._tools.clock
        end = clock.monotonic() + self._rules.budget
        while True:
            try:
                wait = self._step_once(id)
            except QueueError as error:
                raise Unavailable(f"the queue of {id} does not answer: {error}") from error
            if wait > 0:
                return max(wait, len(self._alive) / self._rules.looks) if id in self._alive else wait
            if clock.monotonic() >= end:
                return wait

    def _sweep(self) -> float:
        try:
            self._tools.orphans.sweep()
        except (ClusterError, Unavailable) as error:
            # Nobody waits for it, and whose work it concerns tells of a cluster that is away.
            log.debug("orphans_not_looked_for", error=error.message)
        return EVERY

    def forget_all(self) -> None:
        """What this process remembers may be ahead of the records: they are set back, and all is told again."""
        self._tools.announcer.forget_all()
        self._tools.loader.forget_all()
        self._tools.logs.forget_all()

    def _step_once(self, id: str) -> float:
        current = self._tools.book.read(id)
        if current is None:
            self._drop(id)
            return _GONE
        if current.value.waits or current.value.state.terminal:
            self._alive.discard(id)
        else:
            self._alive.add(id)
        situation = _Situation(current, self._facts(current.value))
        return self._carry_out(situation, next_step(current.value, situation.facts, self._rules.lifecycle))

    def _carry_out(self, situation: _Situation, step: Step) -> float:
        match step:
            case Begin():
                return self._begin(situation)
            case ProvideQueue():
                return self._provide_queue(situation)
            case Load():
                return self._load(situation)
            case Launch():
                return self._launch(situation, step)
            case Attend():
                return self._attend(situation, step)
            case Hold():
                self._tools.book.change(situation.current, reason=step.reason)
                return step.wait
            case AskToStop():
                return self._ask_to_stop(situation)
            case Settle():
                return self._settle(situation, step)
            case Conclude():
                return self._conclude(situation, step)
            case TellEnd():
                return self._tell_end(situation, step)
            case KeepResults():
                return self._keep_results(situation, step)
            case CleanUp():
                return self._clean_up(situation)
            case Forget():
                return self._forget(situation)
            case Rest():
                return step.wait
        assert_never(step)

    # Facts.

    def _facts(self, submission: Submission) -> Facts:
        facts = Facts(now=self._tools.clock.now())
        if submission.state is State.CREATED or submission.state.terminal:
            return facts
        stats, queue_problem = self._look_at_queue(submission)
        facts = replace(
            facts,
            stats=stats,
            queue_problem=queue_problem,
            service_problem=self._tools.announcer.problem(submission.id),
            reported=submission.ending_at is not None and self._tools.announcer.report(submission.id) is not None,
        )
        if not exists_in_cluster(submission):
            return facts
        self._tools.orphans.note(submission.cluster, self._tools.launcher.namespace(submission))
        try:
            view = self._tools.launcher.view(submission)
            return replace(facts, view=view, warning=self._trouble(submission, view, facts.now))
        except Unavailable as error:
            return replace(facts, cluster_problem=error.message)
        except ClusterError as error:
            return replace(facts, cluster_problem=f"the cluster refuses to show the submission: {error.message}")

    def _look_at_queue(self, submission: Submission) -> tuple[QueueStats | None, str]:
        """None when there is no queue (yet, or any more), with the reason when a dedicated one does not answer."""
        is_dedicated = submission.spec.queue == "dedicated"
        if is_dedicated and not submission.redis_host:
            return None, ""
        try:
            return self._queue(submission).stats(), ""
        except QueueMissing:
            return None, ""
        except QueueError as error:
            if not is_dedicated:
                raise
            return None, f"the dedicated queue does not answer: {error}"

    def _trouble(self, submission: Submission, view: SubmissionView, now: float) -> str:
        """Why a Job or a queue that wants pods has none: Kubernetes tells it in events only."""
        if submission.redis_host and not view.pods and submission.state is State.LOADING:
            return self._tools.launcher.trouble(submission)
        job = view.job(submission.generation)
        if job is None or job.ended or job.requested == 0 or view.workers():
            return ""
        young = submission.generation_at is None or now - submission.generation_at < self._rules.lifecycle.view_age
        return "" if young else self._tools.launcher.trouble(submission)

    def _queue(self, submission: Submission) -> ServiceQueue:
        return self._tools.queues.at(submission.queue)

    # Start.

    def _begin(self, situation: _Situation) -> float:
        submission = situation.submission
        if submission.spec.queue == "shared" or submission.redis_host:
            is_stream = submission.spec.kind is Kind.STREAM
            config = QueueConfig(
                lease=submission.spec.lease,
                retries=submission.spec.retries,
                stream=is_stream,
                retain=self._rules.stream_retain if is_stream else 0,
                result_limit=self._rules.result_limit,
            )
            self._queue(submission).open(config)
        self._tools.book.change(situation.current, state=State.LOADING, reason="")
        return 0.0

    def _provide_queue(self, situation: _Situation) -> float:
        password = self._tools.keyring.password(situation.submission)
        situation = replace(situation, current=self._tools.book.change(situation.current, queue_password=password))
        submission = situation.submission
        try:
            host = self._tools.launcher.start_queue(submission)
        except ClusterError as error:
            return self._refused(situation, "the dedicated queue", error, since=submission.created_at)
        self._tools.book.change(
            situation.current, redis_host=host, redis_port=QUEUE_PORT, queue_at=situation.facts.now, reason=""
        )
        self._tools.book.tell(submission.id, "queue", f"the dedicated queue was created, at {host}")
        return _SHORT

    def _load(self, situation: _Situation) -> float:
        submission = situation.submission
        lease = f"manager-load:{submission.id}"
        if self._tools.leases.hold(lease, self._owner, _LOAD_LEASE) is None:
            # Another manager reads the source; two would read it twice.
            return 2.0
        queue = self._queue(submission)
        try:
            loaded = self._tools.loader.load(submission, queue)
        except WorkloadError as error:
            self._tools.leases.release(lease, self._owner)
            queue.purge()
            return self._conclude(situation, Conclude(State.ERROR, error.message, remove=True))
        current = self._tools.book.change(situation.current, loaded=loaded.count)
        if not loaded.done:
            return 0.0
        self._tools.leases.release(lease, self._owner)
        self._tools.book.tell(submission.id, "queue", f"{loaded.count} items loaded")
        if submission.spec.kind is Kind.BATCH:
            queue.close()
            return 0.0
        return self._launch(_Situation(current, situation.facts), Launch(1))

    def _launch(self, situation: _Situation, step: Launch) -> float:
        current, submission = situation.current, situation.submission
        if submission.generation != step.generation:
            # Recorded before it is made, so that whatever exists in the cluster is known of after a crash.
            self._retire(situation)
            current = self._tools.book.change(
                current,
                generation=step.generation,
                generation_at=situation.facts.now,
                generation_taken=situation.facts.stats.taken if situation.facts.stats is not None else 0,
                generation_replicas=self._replicas(situation),
                idle_generations=step.idle,
                lost_generations=step.lost,
                job_created=False,
            )
            if step.why:
                text = f"{step.why}: it is replaced by generation {step.generation}"
                self._tools.book.tell(submission.id, "job", text, warning=True)
        return self._create_job(_Situation(current, situation.facts))

    def _retire(self, situation: _Situation) -> None:
        if situation.submission.generation:
            self._keep_logs(situation, going=True)
            self._tools.launcher.remove_job(situation.submission, situation.submission.generation)

    def _replicas(self, situation: _Situation) -> int:
        """What the last Job was scaled to, for its successor is to take its place as it was."""
        view, submission = situation.facts.view, situation.submission
        last = view.job(submission.generation) if view is not None else None
        return (
            last.requested if last is not None else submission.generation_replicas or initial_replicas(submission.spec)
        )

    def _create_job(self, situation: _Situation) -> float:
        password = self._tools.keyring.password(situation.submission)
        situation = replace(situation, current=self._tools.book.change(situation.current, queue_password=password))
        submission = situation.submission
        try:
            self._tools.keyring.grant(submission)
            self._tools.launcher.start_job(submission)
        except Forbidden as error:
            return self._conclude(situation, Conclude(State.ERROR, error.message, remove=True))
        except ClusterError as error:
            return self._refused(situation, "the Job", error, since=submission.generation_at or submission.created_at)
        except Unavailable as error:
            self._tools.book.change(situation.current, reason=f"the Job waits for the cluster: {error.message}")
            return self._rules.launch_retry
        now = self._tools.clock.now()
        current = self._tools.book.change(
            situation.current,
            job_created=True,
            state=State.ONGOING,
            reason="",
            started_at=submission.started_at if submission.started_at is not None else now,
        )
        text = (
            f"the Job of generation {submission.generation} was created with {submission.generation_replicas} replicas"
        )
        self._tools.book.tell(submission.id, "job", text)
        return self._announce(_Situation(current, situation.facts), _SHORT)

    def _refused(self, situation: _Situation, what: str, error: ClusterError, since: float) -> float:
        reason = f"the cluster refuses {what}: {error.message}"
        waited = situation.facts.now - since
        if is_hopeless(error) or waited >= self._rules.launch_patience:
            return self._conclude(situation, Conclude(State.ERROR, reason, remove=True))
        self._tools.book.change(situation.current, reason=reason)
        return self._rules.launch_retry

    # The run.

    def _attend(self, situation: _Situation, step: Attend) -> float:
        self._keep_logs(situation)
        locked_out = self._tools.keyring.assert_granted(situation.submission)
        current = self._tools.book.change(
            situation.current, reason="; ".join(part for part in (locked_out, step.reason) if part)
        )
        return self._announce(_Situation(current, situation.facts), step.wait)

    def _announce(self, situation: _Situation, wait: float) -> float:
        try:
            url = self._tools.announcer.announce(situation.submission)
        except BadRequest as error:
            return self._conclude(situation, Conclude(State.ERROR, error.message, remove=True))
        if url:
            self._tools.book.change(situation.current, visualizer_url=url)
        return wait

    def _keep_logs(self, situation: _Situation, going: bool = False) -> None:
        """Keep the logs of ended pods (of all, when they are ``going``), and tell once of each that failed."""
        id, logs, cluster = situation.submission.id, self._tools.logs, situation.submission.cluster
        keep = logs.keep_all if going else logs.keep_ended
        ended = keep(id, situation.workers, cluster)
        for pod in ended:
            if crashed(pod):
                self._tools.book.tell(id, "pod", f"{pod.name} failed {ending(pod)}", warning=True)
            elif pod.disrupted and not pod.deleting:
                self._tools.book.tell(id, "pod", f"{pod.name} was taken away by the cluster {ending(pod)}".rstrip())

    def _keep_warnings(self, submission: Submission) -> None:
        if exists_in_cluster(submission):
            try:
                self._tools.book.tell_warnings(submission.id, self._tools.launcher.told(submission))
            except (ClusterError, Unavailable) as error:
                log.warning("warnings_not_kept", id=submission.id, error=error.message)

    def _ask_to_stop(self, situation: _Situation) -> float:
        if situation.facts.stats is not None:
            self._queue(situation.submission).stop()
        self._tools.book.change(situation.current, ending_at=situation.facts.now, reason="stopping")
        return 0.0

    def _settle(self, situation: _Situation, step: Settle) -> float:
        current = situation.current
        if situation.submission.ending_at is None:
            current = self._tools.book.change(current, ending_at=situation.facts.now, reason="")
        self._tools.announcer.end(situation.submission.id)
        self._tools.keyring.assert_granted(situation.submission)
        self._keep_logs(situation)
        return step.wait

    # The end.

    def _conclude(self, situation: _Situation, step: Conclude) -> float:
        submission, facts = situation.submission, situation.facts
        tools = self._tools
        if step.state in (State.TERMINATED, State.ERROR) and facts.stats is not None:
            self._stop_quietly(submission)
        tools.announcer.end(submission.id)
        reason = self._explained(situation, step)
        self._keep_logs(situation, going=True)
        self._keep_warnings(submission)
        if step.remove and submission.generation:
            try:
                tools.launcher.remove_job(submission, submission.generation, step.grace)
            except (ClusterError, Unavailable) as error:
                # An error is told at once, and cleaning up goes on trying; stopped means that the Job is gone.
                if step.state is not State.ERROR:
                    tools.book.change(situation.current, reason=f"the Job cannot be removed: {error.message}")
                    return self._rules.launch_retry
        stats = self._look_at_queue(submission)[0] or facts.stats
        finished_at = self._finished_at(situation, step, stats)
        summary = summarize(
            submission,
            step.state,
            finished_at,
            counts_of(stats) if stats is not None else Counts(),
            tools.announcer.report(submission.id),
            tools.announcer.scaling(submission.id) if submission.generation else None,
        )
        tools.book.change(situation.current, state=step.state, reason=reason, finished_at=finished_at, summary=summary)
        tools.histories.learn(submission.id, submission.spec)
        if submission.spec.dashboard and submission.generation:
            tools.announcer.end_dashboard(submission.id)
        self._drop(submission.id)
        return 0.0

    def _stop_quietly(self, submission: Submission) -> None:
        """Workers that outlive their pods' deletion for a moment are to take nothing more."""
        try:
            self._queue(submission).stop()
        except (QueueError, Unavailable) as error:
            log.warning("queue_not_stopped", id=submission.id, error=str(error))

    def _explained(self, situation: _Situation, step: Conclude) -> str:
        submission, stats = situation.submission, situation.facts.stats
        if step.culprit:
            namespace = self._tools.launcher.namespace(submission)
            logs = self._tools.logs
            tail = logs.tail(submission.id, namespace, step.culprit, _TAIL, submission.cluster).strip()
            return f"{step.reason}: {tail}" if tail else step.reason
        if step.state is State.FAILED and stats is not None:
            error = last_error(self._queue(submission), stats)
            return f"{step.reason}; the last one: {error[-_TAIL:]}" if error else step.reason
        return step.reason

    def _finished_at(self, situation: _Situation, step: Conclude, stats: QueueStats | None) -> float:
        """The moment of the last result, not of our noticing it, for that is what a deadline asks for."""
        now, noticed = situation.facts.now, situation.submission.ending_at
        if step.state not in (State.COMPLETED, State.FAILED):
            return now
        settled = last_settled_at(self._queue(situation.submission), stats) if stats is not None else None
        return settled or noticed or now

    def _tell_end(self, situation: _Situation, step: TellEnd) -> float:
        """What was told before the end was recorded may have been lost with Redis's last second; this comes after."""
        if not self._tools.announcer.tell_end(situation.submission.id):
            return step.wait
        self._tools.book.change(situation.current, end_told=True)
        return 0.0

    def _keep_results(self, situation: _Situation, step: KeepResults) -> float:
        submission = situation.submission
        try:
            is_whole = self._archived(submission)
        except (QueueError, Unavailable) as error:
            log.debug("not_archived_yet", id=submission.id, error=str(error))
            return self._tell_end(situation, TellEnd(step.wait)) if not submission.end_told else step.wait
        if is_whole:
            self._tools.book.change(situation.current, archived=True)
        return 0.0

    def _clean_up(self, situation: _Situation) -> float:
        submission, tools = situation.submission, self._tools
        current = situation.current
        if has_results_to_keep(submission) and not submission.delete_requested:
            if not self._archived(submission):
                return _SHORT
            current = tools.book.change(current, archived=True)
        if exists_in_cluster(submission):
            tools.launcher.remove_all(submission)
        tools.keyring.withdraw(submission)
        tools.book.change(current, job_deleted=True)
        return 0.0

    def _archived(self, submission: Submission) -> bool:
        if not submission.loaded:
            # It may not even have started, and nothing can be in it.
            return True
        try:
            source = self._tools.queues.at(submission.dedicated_queue)
            return archive_page(source, self._tools.archive(submission.id))
        except QueueMissing:
            return self._not_archived(submission, "it is empty")
        except (QueueError, Unavailable) as error:
            ended = submission.finished_at or 0.0
            if self._tools.clock.now() - ended < submission.spec.job_lifetime + self._rules.launch_patience:
                raise
            return self._not_archived(submission, str(error))

    def _not_archived(self, submission: Submission, why: str) -> bool:
        """Nothing is left to be done about it."""
        log.warning("archive_given_up", id=submission.id, error=why)
        text = f"the dedicated queue's results could not be kept: {why}"
        self._tools.book.tell(submission.id, "queue", text, warning=True)
        return True

    def _forget(self, situation: _Situation) -> float:
        id = situation.submission.id
        self._tools.keyring.withdraw(situation.submission)
        self._tools.queues.at(QueueAddress(submission=id)).purge()
        self._tools.texts.delete(id)
        if not situation.submission.end_told:
            # They forget nothing that goes on.
            self._tools.announcer.tell_end(id)
        left = self._where_traces_are_left(situation.submission)
        if left:
            # Nobody else would ever have them forget: until then the record remembers that they must.
            since, now = situation.submission.forget_since, situation.facts.now
            if since is None:
                self._tools.book.change(situation.current, forget_since=now)
                since = now
            if now - since < self._rules.forget_patience:
                return max(self._rules.lifecycle.tell_again, min(_LATER * (now - since), _AT_LATEST))
            log.warning("traces_left", id=id, where=left, why="what has them was away for too long")
        self._tools.book.delete(id)
        self._drop(id)
        return _GONE

    def _where_traces_are_left(self, submission: Submission) -> list[str]:
        """Have all others forget the submission; returns who could not be told."""
        away = self._tools.announcer.erase(submission.id) & _who_was_told(submission)
        try:
            # After the monitor, which might write again: the try that leaves nothing behind has it last.
            self._tools.metrics.expire(submission.id, 0.0)
        except AsperathosError as error:
            log.warning("metrics_kept", id=submission.id, error=error.message)
            away.add("metrics")
        return sorted(away)

    def _drop(self, id: str) -> None:
        """Nothing of it is remembered in this process any longer."""
        self._alive.discard(id)
        self._tools.loader.forget(id)
        self._tools.logs.forget(id)
        self._tools.announcer.forget(id)


def _who_was_told(submission: Submission) -> set[str]:
    """Services that may have a record of it."""
    told = {"monitor", "controller"} if submission.job_created or submission.generation else set()
    return told | ({"visualizer"} if submission.visualizer_url else set())
