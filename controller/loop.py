"""Carries out what the records say: decides once an interval, drains, patches the Job. Every move may be repeated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asperathos_worker.queue.api import QueueError, QueueMissing, ServiceQueue
from pydantic import ValidationError

from common.domain.errors import BadRequest, ClusterError, Unavailable
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Decision, Observation
from common.http.contracts import ScalingRequest
from common.logging import get_logger
from common.ports import Clock, Clusters, Journal, Queues, Records, Texts
from controller.actuation import Aim, aim, most_extra, move, next_look, only_last_items, patched, reconcile
from controller.arbitration import Arbitration
from controller.deciding import Asked, ask, is_due, is_over, noted
from controller.foresight import latest
from controller.guard import Bounds
from controller.lawbook import LawBook
from controller.record import Cap, Scaling

log = get_logger(__name__)
_IDLE = 5.0
"""Seconds to the next look at a record that needs nothing now."""
_MOST_LOGS = 20
"""Most logs kept at one scale-down: the patch must not wait for long."""
_AWAITING = 0.5
"""Seconds to the next look while there is no observation yet."""


@dataclass(frozen=True)
class World:
    """The ports the loop acts through, and the laws."""

    records: Records[Scaling]
    caps: Records[Cap]
    observations: Records[Observation]
    journal: Journal
    queues: Queues
    clusters: Clusters
    texts: Texts
    clock: Clock
    laws: LawBook
    arbitration: Arbitration


class ScalingLoop:
    """Implements loop.Steps."""

    def __init__(self, world: World) -> None:
        self._world = world

    def active_ids(self) -> Iterable[str]:
        return self._world.records.active_ids()

    def step(self, id: str) -> float:
        """One look: a decision when it is due, then one move towards what is wanted."""
        kept = self._world.records.get(id)
        if kept is None or not kept.value.active:
            return _IDLE
        now = self._world.clock.now()
        observation = self._observation(id)
        if observation is None:
            return min(_AWAITING, kept.value.request.control.interval)
        record, version = kept.value, kept.version
        kept_cap = self._world.caps.get(id)
        cap = None if kept_cap is None else kept_cap.value.replicas
        assert_limit = False
        if is_due(record, now):
            record, version, assert_limit = self._decided(id, record, version, observation, cap, now)
        if is_over(observation) or record.job_ended:
            return min(_IDLE, record.request.control.interval)
        compared = self._compared(id, record, observation, cap, now)
        moved = self._moved(id, compared, observation, now, assert_limit)
        if moved != record:
            self._world.records.update(id, moved, version)
            self._announce(id, record, moved, now)
        return min(next_look(moved, observation), _to_decision(moved, now))

    def _observation(self, id: str) -> Observation | None:
        try:
            kept = self._world.observations.get(id)
        except ValidationError as error:
            log.error("observation_not_understood", id=id, error=str(error))
            return None
        return None if kept is None else kept.value

    def _decided(
        self, id: str, record: Scaling, version: int, observation: Observation, cap: int | None, now: float
    ) -> tuple[Scaling, int, bool]:
        """Decide, and write that down before anything is done about it."""
        request = record.request
        try:
            law = self._world.laws.law(request.law)
            settings = self._world.laws.settings(request.law, request.control.settings)
        except BadRequest as error:
            # The law was there when the submission was accepted, but is not installed here (any more).
            reason = f"holds: {error.message}"
            undecided = record.model_copy(update={"decided_at": now, "reason": reason})
            return undecided, self._world.records.update(id, undecided, version), True
        asked = ask(record, observation, law, settings, cap, now)
        if isinstance(asked, Asked):
            outcome = self._world.arbitration.settle(id, asked, now)
        else:
            outcome = asked
            self._world.arbitration.withdraw(id, request.cluster)
        decided, decision = outcome.record, outcome.decision
        if decision is not None and isinstance(asked, Asked):
            foreseen = latest(record.forecast, asked, decision, settings)
            decided = decided.model_copy(update={"forecast": foreseen})
            decision = decision.model_copy(update={"forecast": foreseen})
        version = self._world.records.update(id, decided, version)
        if decision is not None:
            self._world.journal.append(DECISIONS, id, decision)
            _log_decision(id, decision)
        return decided, version, True

    def _compared(self, id: str, record: Scaling, observation: Observation, cap: int | None, now: float) -> Scaling:
        """The record after comparing it with what is there; unchanged when nothing follows from that."""
        request = record.request
        bounds = Bounds.of(request.replicas.min, request.replicas.max, cap)
        seen = noted(record, observation, now)
        compared = reconcile(seen, observation, bounds, now)
        compared = compared.model_copy(
            update={"extra": min(compared.extra, most_extra(compared, observation.replicas, bounds))}
        )
        if compared.extra > record.extra:
            added = f"asks for {compared.extra} more indexes: as many others do not run, their pods failed lately"
            self._world.journal.append(EVENTS, id, Event(at=now, kind="scaling", message=added))
        return record if compared == seen else compared

    def _moved(self, id: str, record: Scaling, observation: Observation, now: float, assert_limit: bool) -> Scaling:
        """The record after one move towards the desired count. The move itself may be repeated without harm."""
        request = record.request
        aimed = aim(record, now)
        queue = self._world.queues.at(request.queue)
        if aimed.limit != record.limit or (assert_limit and aimed.limit is not None):
            _tell_limit(queue, aimed.limit)
        if aimed.draining and request.queue.kind == "dedicated" and only_last_items(record, observation):
            # The original's lists do not tell who is busy, so nobody can be removed without harm now.
            return record.model_copy(update={"limit": aimed.limit, "drain_since": aimed.drain_since})
        busy = _highest_busy(queue, aimed) if aimed.draining else None
        next_move = move(aimed, record, observation, busy, now)
        if next_move.size is None:
            return next_move.record
        if next_move.forced:
            since = now - (aimed.drain_since or now)
            log.warning("drain_cut_short", id=id, replicas=next_move.size, seconds=since)
        return self._patched(id, next_move.record, next_move.size, aimed, now)

    def _patched(self, id: str, record: Scaling, target: int, aimed: Aim, now: float) -> Scaling:
        request = record.request
        if target < record.requested:
            self._keep_logs(id, request, target)
        try:
            view = self._world.clusters.at(request.cluster).scale_job(request.namespace, request.job, target)
        except ClusterError as error:
            log.warning("scaling_refused", id=id, job=request.job, replicas=target, error=error.message)
            return record.model_copy(update={"problem": error.message})
        if view is None:
            log.info("job_ended", id=id, job=request.job)
            return record.model_copy(update={"job_ended": True, "drain_since": None})
        log.info("scaled", id=id, job=request.job, before=record.requested, after=target, desired=record.desired)
        return patched(record, aimed, target, now)

    def _keep_logs(self, id: str, request: ScalingRequest, target: int) -> None:
        """Keep the logs of the pods that are about to be removed: they are gone before the manager looks again."""
        try:
            cluster = self._world.clusters.at(request.cluster)
            pods = cluster.view(request.namespace, id).workers()
            going = [pod for pod in pods if pod.index >= target and pod.running]
            for pod in going[:_MOST_LOGS]:
                text = cluster.pod_log(pod.namespace, pod.name)
                if text:
                    self._world.texts.put(id, pod.name, text)
        except (ClusterError, Unavailable) as error:
            log.warning("logs_not_kept", id=id, error=error.message)

    def _announce(self, id: str, before: Scaling, after: Scaling, now: float) -> None:
        if after.announced != before.announced:
            message = f"{before.announced} -> {after.announced}: {after.reason}"
            self._world.journal.append(EVENTS, id, Event(at=now, kind="scaling", message=message))
        if after.problem and after.problem != before.problem:
            message = f"the cluster refuses {after.desired} replicas: {after.problem}"
            self._world.journal.append(EVENTS, id, Event(at=now, kind="scaling", message=message, warning=True))


def _to_decision(record: Scaling, now: float) -> float:
    since = 0.0 if record.decided_at is None else now - record.decided_at
    return max(0.05, record.request.control.interval - max(0.0, since))


def _tell_limit(queue: ServiceQueue, limit: int | None) -> None:
    try:
        queue.set_limit(limit)
    except QueueMissing:
        return
    except QueueError as error:
        raise Unavailable(f"the queue does not take the limit: {error}") from error


def _highest_busy(queue: ServiceQueue, aimed: Aim) -> int | None:
    """The greatest index, among those to be removed, whose worker holds an item; None when none does."""
    try:
        if queue.busy_from(aimed.replicas) == 0:
            return None
        busy = [worker.index for worker in queue.workers() if worker.busy > 0 and worker.index >= aimed.replicas]
        # Held by someone the queue does not know by index any more: nothing may be removed yet.
        return max(busy, default=2**31)
    except QueueMissing:
        return None
    except QueueError as error:
        raise Unavailable(f"the queue does not tell who is busy: {error}") from error


def _log_decision(id: str, decision: Decision) -> None:
    level = log.info if decision.granted != decision.previous else log.debug
    level("decided", id=id, law=decision.law, before=decision.previous, after=decision.granted, reason=decision.reason)
