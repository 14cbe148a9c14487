"""From the time series to the detailed report: one row a moment, the original's columns first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from common.domain import metrics
from common.domain.metrics import Measurement, Point

Row = dict[str, float | None]
T = TypeVar("T")

COLUMNS: Mapping[str, tuple[Measurement, str]] = {
    "job_progress": (metrics.JOB_PROGRESS, "value"),
    "time_progress": (metrics.TIME_PROGRESS, "value"),
    "replicas": (metrics.PARALLELISM, "value"),
    "error": (metrics.PROGRESS_ERROR, "value"),
    "desired": (metrics.REPLICAS, "desired"),
    "requested": (metrics.REPLICAS, "requested"),
    "pending": (metrics.REPLICAS, "pending"),
    "ready": (metrics.QUEUE, "ready"),
    "leased": (metrics.QUEUE, "leased"),
    "done": (metrics.QUEUE, "done"),
    "dead": (metrics.QUEUE, "dead"),
    "throughput": (metrics.FLOW, "throughput"),
    "arrival_rate": (metrics.FLOW, "arrival_rate"),
    "service_p50": (metrics.SERVICE, "p50"),
    "service_p95": (metrics.SERVICE, "p95"),
    "wait_p50": (metrics.QUEUE_WAIT, "p50"),
    "wait_p95": (metrics.QUEUE_WAIT, "p95"),
    "cost": (metrics.CURRENT_SPENT, "value"),
}
"""The report's columns, and the measurement and field that each comes from. The original had the first four; those
are shares and replicas, the others have the units of their fields."""

MEASURED: tuple[Measurement, ...] = tuple({each.name: each for each, _ in COLUMNS.values()}.values())
"""What must be read for it."""


def detailed_report(
    series: Mapping[str, Iterable[Point]], created_at: float, most: int | None = None
) -> dict[str, Row]:
    """Rows by second since acceptance, in order of time.

    ``series`` are points by the name of their measurement; what was not measured at a moment is None. A second with
    several measurements has the first under its own name and the others under fractions of it (``12``, ``12.500000``),
    so that none is lost. ``most`` (at least 2) bounds the rows: evenly spaced ones then, the first and the last among
    them.
    """
    moments: dict[float, Row] = {}
    for column, (measurement, field) in COLUMNS.items():
        for point in series.get(measurement.name, ()):
            row = moments.setdefault(point.at, dict.fromkeys(COLUMNS))
            row[column] = point.fields.get(field)
    report: dict[str, Row] = {}
    for at in _thinned(sorted(moments), most):
        seconds = max(0.0, at - created_at)
        name = str(int(seconds))
        if name in report:
            name = f"{seconds:.6f}"
        report[name] = moments[at]
    return report


def _thinned(moments: Sequence[T], most: int | None) -> Sequence[T]:
    if most is None or len(moments) <= most:
        return moments
    step = (len(moments) - 1) / (most - 1)
    return [moments[round(number * step)] for number in range(most)]
