"""From what was read of queue and cluster to an Observation: pure arithmetic."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asperathos_worker.queue.records import Histogram, QueueStats

from common.domain.cluster import JobView, PodView, SubmissionView
from common.domain.forecast import Forecast
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes, Usage
from common.http.contracts import MonitoringInfo
from monitor.quantiles import deviation, mean, quantile, since
from monitor.record import Sample

WINDOW = 30.0
"""Seconds over which rates are told."""
SPACING = 5.0
"""Seconds between two kept samples: bounds how many a window has."""
_MOST_STARTS = 50


@dataclass(frozen=True)
class Reading:
    """What one pass over the world brought.

    ``view`` is None when the cluster does not answer, ``desired`` when nothing has been decided yet, ``forecast`` when
    the last decision brought none. ``reported`` is what workers told: metric -> worker -> last value. ``usage_problem``
    is why there is no ``usage``.
    """

    stats: QueueStats
    reported: Mapping[str, Mapping[str, float]]
    view: SubmissionView | None
    desired: int | None
    forecast: Forecast | None = None
    usage: Usage | None = None
    usage_problem: str = ""


def measure(
    id: str, info: MonitoringInfo, reading: Reading, window: tuple[Sample, ...], previous: Observation | None
) -> Observation:
    """The observation that this reading makes, its progress being the settled share of the items.

    Time is the queue's clock and never goes back: should that clock be set back, ``at`` and ``elapsed`` stand still.
    """
    stats = reading.stats
    at = max(stats.at, previous.at) if previous else stats.at
    elapsed = max(0.0, at - info.created_at, previous.elapsed if previous else 0.0)
    counts = Counts(
        total=stats.total,
        ready=stats.ready,
        delayed=stats.delayed,
        leased=stats.leased,
        done=stats.done,
        dead=stats.dead,
    )
    throughput, arrivals, recent_wait = _recent(stats, at, window, previous)
    replicas = _replicas(reading, previous)
    return Observation(
        submission=id,
        at=at,
        elapsed=elapsed,
        deadline=info.deadline,
        target=info.target,
        counts=counts,
        progress=counts.progress,
        throughput=throughput,
        arrival_rate=arrivals,
        service=_service_times(stats, replicas.observed),
        queue_wait_p50=quantile(recent_wait, 0.5) if recent_wait.buckets else None,
        queue_wait_p95=quantile(recent_wait, 0.95) if recent_wait.buckets else None,
        queue_wait_p99=quantile(recent_wait, 0.99) if recent_wait.buckets else None,
        oldest_wait=stats.oldest_ready_wait,
        waits=dict(stats.wait.buckets),
        failures=stats.failed + stats.expired,
        attempts=stats.taken,
        expired=stats.expired,
        released=stats.released,
        replicas=replicas,
        startup=_startup(reading.view, previous),
        metrics=_mean_metrics(reading.reported),
        usage=reading.usage,
        usage_problem=reading.usage_problem,
        cluster_available=reading.view is not None,
    )


def moved_window(window: tuple[Sample, ...], stats: QueueStats, at: float) -> tuple[Sample, ...]:
    """The samples to keep after a measurement at ``at``: those of the window, and one that is as old as it is long."""
    kept = window
    if not window or at - window[-1].at >= SPACING:
        kept = (*window, Sample(at=at, settled=stats.done + stats.dead, put=stats.put, wait=stats.wait.buckets))
    while len(kept) > 1 and kept[1].at <= at - WINDOW:
        kept = kept[1:]
    return kept


def _recent(
    stats: QueueStats, at: float, window: tuple[Sample, ...], previous: Observation | None
) -> tuple[float, float, Histogram]:
    """Items settled per second, items put per second, and waiting times, all over the window."""
    if not window:
        return 0.0, 0.0, stats.wait
    base = window[0]
    seconds = at - base.at
    waits = since(stats.wait, base.wait)
    if seconds <= 0:
        return (previous.throughput, previous.arrival_rate, waits) if previous else (0.0, 0.0, waits)
    # Settled items become fewer when dead ones are given another chance.
    settled = max(0, stats.done + stats.dead - base.settled)
    return settled / seconds, max(0, stats.put - base.put) / seconds, waits


def in_work(ages: tuple[float, ...], leased: int, replicas: int, mean_time: float) -> tuple[float, ...]:
    """Ages (s) of the items that are in work, from those of all leased ones, oldest first.

    A worker takes short items by the handful, and the ages of all of them count from then on. Of each handful one is in
    work, and it began once those before it had taken about the mean each: what counts as its age is what remains, lest
    a waiting item passes for a long one.
    """
    handful = max(1, math.ceil(max(leased, len(ages)) / replicas)) if replicas > 0 else 1
    return tuple(max(0.0, age - (handful - 1) * mean_time) for age in ages[::handful])


def _service_times(stats: QueueStats, replicas: int) -> ServiceTimes:
    times = stats.service
    return ServiceTimes(
        count=times.count,
        mean=mean(times),
        deviation=deviation(times),
        p50=quantile(times, 0.5),
        p95=quantile(times, 0.95),
        p99=quantile(times, 0.99),
        longest=times.longest,
        running=tuple(round(age, 3) for age in in_work(stats.running, stats.leased, replicas, mean(times))),
        buckets=dict(times.buckets),
    )


def _replicas(reading: Reading, previous: Observation | None) -> Replicas:
    if reading.view is None:
        known = previous.replicas if previous else Replicas()
        return known if reading.desired is None else known.model_copy(update={"desired": reading.desired})
    current = max(reading.view.jobs, key=lambda job: job.generation, default=None)
    requested = 0 if current is None or current.ended or current.deleting else current.requested
    workers = reading.view.workers()
    return Replicas(
        desired=requested if reading.desired is None else reading.desired,
        requested=requested,
        observed=sum(pod.running for pod in workers),
        pending=sum(pod.pending for pod in workers),
        leaving=sum(pod.leaving for pod in workers),
        ended=0 if current is None else _ended(current, workers),
    )


def usage_of(view: SubmissionView, by_pod: Mapping[str, Usage]) -> Usage | None:
    """What the submission's running workers use together, as far as they are measured; None when none is."""
    told = [by_pod[pod.name] for pod in view.workers() if pod.running and pod.name in by_pod]
    if not told:
        return None
    return Usage(
        cpu=sum(one.cpu for one in told), memory=sum(one.memory for one in told), pods=sum(one.pods for one in told)
    )


def _ended(job: JobView, workers: Sequence[PodView]) -> int:
    """Indexes of the Job that will not run again, for their worker has ended well."""
    mine = [pod for pod in workers if pod.generation == job.generation and pod.index < job.requested]
    well = {pod.index for pod in mine if pod.phase == "Succeeded"}
    # An index that was cut off and asked for again runs again, though its first pod is still there: the Job knows.
    return min(len(well - {pod.index for pod in mine if not pod.ended}), job.succeeded)


def _startup(view: SubmissionView | None, previous: Observation | None) -> float | None:
    """Median seconds from a pod's creation to its running, over the latest pods."""
    started = [(pod.created_at, pod.started_at) for pod in view.workers() if pod.started_at is not None] if view else []
    if not started:
        return previous.startup if previous else None
    latest = sorted(started)[-_MOST_STARTS:]
    return statistics.median(max(0.0, began - created) for created, began in latest)


def _mean_metrics(reported: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    means = {}
    for name, by_worker in reported.items():
        values = [value for value in by_worker.values() if math.isfinite(value)]
        if values:
            means[name] = sum(value / len(values) for value in values)
    return means
