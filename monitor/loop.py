"""Measures each submission once a period, until it is asked to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asperathos_worker.queue.api import QueueError, QueueMissing, ServiceQueue

from common.domain.errors import Conflict, Unavailable
from common.domain.events import DECISIONS
from common.domain.progress import Decision, Observation
from common.logging import get_logger
from common.ports import Clock, Clusters, Journal, MetricStore, Queues, Readings, Records, Versioned
from monitor.measure import Reading, measure, moved_window
from monitor.monitors import Monitor, ProgressReading, progress_of
from monitor.outside import Outside
from monitor.points import points_of, tags_of
from monitor.record import Monitoring
from monitor.tally import counted, with_total
from monitor.told import with_told
from monitor.views import Views

log = get_logger(__name__)
_PATIENCE = 15.0
"""Seconds that the last observation is tried for when the queue does not answer."""
_MISSING = 60.0
"""Seconds after which a queue that is not there is taken for gone."""
_LAST_POINTS = 2.0
"""Most seconds that the end waits for the last points to be stored."""
_TOO_SOON = 0.5
"""Share of the period within which another process's measurement makes one of ours needless."""

_LEAST_KEEP = 600.0
"""Seconds that the report is there to be fetched at least."""


@dataclass(frozen=True)
class World:
    """What a step reads and writes."""

    records: Records[Monitoring]
    observations: Records[Observation]
    metrics: MetricStore
    decisions: Journal
    queues: Queues
    clusters: Clusters
    clock: Clock
    monitors: Mapping[str, Monitor]
    readings: Readings


class MonitorLoop:
    """Implements loop.Steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._views = Views(world.clusters, world.clock)
        self._outside = Outside(world.readings, world.clock)

    def active_ids(self) -> Iterable[str]:
        return self._world.records.active_ids()

    def step(self, id: str) -> float:
        """One measurement. Raises Unavailable when the queue does not answer, Conflict when the record changed."""
        kept = self._world.records.get(id)
        period = kept.value.request.collect_period if kept else 1.0
        if kept is None or kept.value.ended:
            return period
        monitoring = kept.value
        try:
            queue = self._world.queues.at(monitoring.request.plugin_info.queue)
            returned = queue.sweep()
            if returned:
                log.info("leases_expired", id=id, items=returned)
            reading = self._read(id, monitoring, queue)
        except QueueMissing:
            self._queue_missing(id, kept)
            return period
        except (QueueError, Unavailable) as error:
            if self._may_give_up(monitoring):
                self._end(id, kept.version, monitoring, "the queue did not answer at the end")
                return period
            raise Unavailable(f"the queue of {id} does not answer: {error}") from error
        last = monitoring.observation
        if last is not None and monitoring.stop_at is None and 0 <= reading.stats.at - last.at < _TOO_SOON * period:
            return last.at + period - reading.stats.at
        self._record(id, kept, reading)
        return period

    def _read(self, id: str, monitoring: Monitoring, queue: ServiceQueue) -> Reading:
        decided = self._world.decisions.read(DECISIONS, id, Decision, count=1)
        info = monitoring.request.plugin_info
        return Reading(
            stats=queue.stats(),
            reported=queue.reported(),
            view=self._views.get(info.namespace, id, info.cluster),
            desired=decided[-1].granted if decided else None,
        )

    def _record(self, id: str, kept: Versioned[Monitoring], reading: Reading) -> None:
        """Points first, then the observation, then the tally: what the tally counts can be found in the series."""
        monitoring = kept.value
        info = monitoring.request.plugin_info
        last = monitoring.observation
        told = self._outside.told(info)
        observation = with_told(measure(id, info, reading, monitoring.window, last), told)
        progress, reason = progress_of(
            monitoring.request.plugin,
            self._world.monitors,
            info.settings,
            ProgressReading(
                counts=observation.counts,
                elapsed=observation.elapsed,
                deadline=observation.deadline,
                reported=reading.reported,
                previous=last.progress if last else 0.0,
            ),
        )
        if reading.view is None and not reason:
            reason = "the cluster does not answer: replica counts are the last known"
        reason = reason or told.trouble
        if reason and reason != monitoring.reason:
            log.warning("measured_with_trouble", id=id, reason=reason)
        tally = counted(monitoring.tally, last, observation)
        observation = with_total(observation.model_copy(update={"progress": progress}), tally)
        self._world.metrics.write(points_of(observation, tags_of(info), info.budget))
        self._world.observations.put(id, observation)
        learned = {
            "observation": observation,
            "tally": tally,
            "window": moved_window(monitoring.window, reading.stats, observation.at),
            "missing_since": None,
            "reason": reason,
        }
        if monitoring.stop_at is not None:
            self._end(id, kept.version, monitoring.model_copy(update=learned), reason)
        else:
            self._keep(id, kept, learned)

    def _keep(self, id: str, kept: Versioned[Monitoring], learned: Mapping[str, object]) -> None:
        """Add what was learned to the record. A request that arrived meanwhile (a stop) stays: the points are in the
        series already, so the tally must count them. Raises Conflict when somebody else has measured meanwhile."""
        current = kept
        while True:
            try:
                self._world.records.update(id, current.value.model_copy(update=dict(learned)), current.version)
                return
            except Conflict:
                fresh = self._world.records.get(id)
                if fresh is None or fresh.value.ended or fresh.value.tally != kept.value.tally:
                    raise
                current = fresh

    def _queue_missing(self, id: str, kept: Versioned[Monitoring]) -> None:
        monitoring = kept.value
        now = self._world.clock.now()
        since = monitoring.missing_since if monitoring.missing_since is not None else now
        if monitoring.stop_at is not None or now - since >= _MISSING:
            self._end(id, kept.version, monitoring, "the queue is gone")
        elif monitoring.missing_since is None:
            waiting = monitoring.model_copy(update={"missing_since": now, "reason": "the queue is not there"})
            self._world.records.update(id, waiting, kept.version)

    def _may_give_up(self, monitoring: Monitoring) -> bool:
        return monitoring.stop_at is not None and self._world.clock.now() - monitoring.stop_at >= _PATIENCE

    def _end(self, id: str, version: int, monitoring: Monitoring, reason: str) -> None:
        """Nothing changes after this. Everything is forgotten when its time is over; that is set first, to be sure.

        The series is complete for whoever reads it from now on, unless its store is away.
        """
        keep = max(_LEAST_KEEP, monitoring.request.plugin_info.keep)
        if monitoring.observation is not None:
            latest = self._world.observations.put(id, monitoring.observation)
            self._world.observations.update(id, monitoring.observation, latest, ttl=keep)
        self._world.metrics.expire(id, keep)
        self._world.metrics.flush(_LAST_POINTS)
        ended = monitoring.model_copy(update={"ended": True, "reason": reason, "window": ()})
        self._world.records.update(id, ended, version, ttl=keep)
        log.info("monitoring_ended", id=id, measurements=ended.tally.measurements, reason=reason)
