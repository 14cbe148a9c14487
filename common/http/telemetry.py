"""What a service tells Prometheus about itself.

Several processes may answer at one address (``--workers``). They share their numbers through files, so that whichever
is asked tells those of all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from common.domain.errors import AsperathosError
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)
_LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FRESH = 5.0
"""Seconds for which what was looked up for one scrape serves the next ones."""


@dataclass(frozen=True)
class Reading:
    """A gauge that is looked up when it is asked for, with one label beside ``service``. All processes of a service
    tell the same: take one of them, or the maximum."""

    name: str
    help: str
    label: str


SUBMISSIONS = Reading("asperathos_submissions", "Submissions that are kept, by state.", "state")
QUEUE_ITEMS = Reading("asperathos_queue_items", "Items of the submissions that are measured, by place.", "place")
PROSPECTS = Reading(
    "asperathos_submissions_measured",
    "Submissions that are measured, by prospect: ahead of their time, late, or without a deadline.",
    "prospect",
)


def share_between_processes(directory: str) -> None:
    """Have the processes that are forked from now on share their numbers through files there. Before any Telemetry."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def forget_process(pid: int) -> None:
    """What a process that has ended had waiting counts no more; what it has counted stays."""
    if _is_shared():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _is_shared() -> bool:
    return values.ValueClass is not values.MutexValue


class Telemetry:
    """A service's Prometheus registry and the series that services have."""

    def __init__(self, service: str, version: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self._readings = CollectorRegistry()
        self.requests = Histogram(
            "asperathos_request_seconds",
            "Time to answer a request.",
            ["service", "method", "route", "code"],
            registry=self.registry,
        )
        self.ticks = Histogram(
            "asperathos_loop_step_seconds", "Time of one loop step.", ["service"], registry=self.registry
        )
        self.lag = Histogram(
            "asperathos_loop_lag_seconds",
            "How late loop steps began.",
            ["service"],
            buckets=_LAGS,
            registry=self.registry,
        )
        self.backlog = Gauge(
            "asperathos_loop_backlog",
            "Loop steps that are due and have not begun.",
            ["service"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.failures = Counter(
            "asperathos_loop_failures", "Loop steps that failed.", ["service"], registry=self.registry
        )
        self.decisions = Counter(
            "asperathos_decisions",
            "Decisions on replicas, by law and whether they went up, down, or nowhere.",
            ["service", "law", "outcome"],
            registry=self.registry,
        )
        self.reconnects = Counter(
            "asperathos_reconnects",
            "Connections lost: tries of Redis that failed, watches of Kubernetes and InfluxDBs that came back.",
            ["service", "to"],
            registry=self.registry,
        )
        self.points = Counter(
            "asperathos_metric_points",
            "Points written to InfluxDB, and points lost: dropped in an outage, or refused.",
            ["service", "outcome"],
            registry=self.registry,
        )
        self.writes = Counter(
            "asperathos_metric_writes", "Requests that wrote points.", ["service"], registry=self.registry
        )
        self.points_waiting = Gauge(
            "asperathos_metric_points_waiting",
            "Points not written to InfluxDB yet.",
            ["service"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        build = Gauge(
            "asperathos_build_info",
            "Version.",
            ["service", "version"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        build.labels(service, version).set(1)

    def tell(self, reading: Reading, read: Callable[[], Mapping[str, float]], clock: Clock) -> None:
        """Tell what ``read`` answers, by label. It may raise: then nothing is told, which is not 0."""
        self._readings.register(_Looked(reading, self.service, read, clock))

    def reconnected(self, to: str) -> Callable[[], None]:
        """What is to be called for each connection to ``to`` that was lost."""
        counter = self.reconnects.labels(self.service, to)
        return counter.inc

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        counted = self.registry
        if _is_shared():
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        return generate_latest(counted) + generate_latest(self._readings)


class _Looked(Collector):
    def __init__(self, reading: Reading, service: str, read: Callable[[], Mapping[str, float]], clock: Clock) -> None:
        self._reading = reading
        self._service = service
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._at: float | None = None
        self._found: Mapping[str, float] = {}

    def describe(self) -> Iterable[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        try:
            for label, value in self._current().items():
                family.add_metric([self._service, label], value)
        except AsperathosError as error:
            log.warning("not_told_to_prometheus", metric=self._reading.name, error=error.message)
            return
        yield family

    def _current(self) -> Mapping[str, float]:
        with self._lock:
            now = self._clock.monotonic()
            if self._at is None or now - self._at >= _FRESH:
                self._found, self._at = self._read(), now
            return self._found

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._reading.name, self._reading.help, labels=["service", self._reading.label])
