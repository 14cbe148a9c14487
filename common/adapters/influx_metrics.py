"""Time series in InfluxDB: points become lines in an outbox, InfluxQL reads them back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from influxdb_client import Point as LineBuilder
from influxdb_client import WritePrecision

from common.adapters.influx_server import InfluxServer, literal
from common.adapters.outbox import Outbox
from common.domain import metrics
from common.domain.events import Event
from common.domain.metrics import Measurement, Point

_BILLION = 10**9
_MOST_SERIES = 32_768
"""Series whose lines' beginnings are remembered: a few thousand submissions."""
Tags = tuple[tuple[str, str], ...]


class InfluxMetrics:
    """Implements ports.MetricStore and ports.Annotations.

    Reading tells the latest ``bound`` points. What was written a moment ago may still be in the outbox: flush() first
    where that matters.
    """

    def __init__(self, server: InfluxServer, outbox: Outbox, bound: int = 100_000) -> None:
        self._server = server
        self._outbox = outbox
        self._bound = bound
        self._begin = lru_cache(_MOST_SERIES)(beginning)

    def write(self, points: Sequence[Point]) -> None:
        self._outbox.put([line for point in points if (line := line_of(point, self._begin))])

    def annotate(self, submission: str, event: Event) -> None:
        self._outbox.put([event_line(submission, event)])

    def read(self, submission: str, measurement: Measurement, since: float = 0.0) -> list[Point]:
        fields = ", ".join(f'"{name}"' for name in measurement.fields)
        # A timestamp of 0 is in every InfluxDB's past; negative ones are not.
        later = f" AND time > {nanoseconds(since)}" if since > 0 else ""
        found = self._server.query(
            f'SELECT {fields} FROM "{measurement.name}" WHERE "submission" = {literal(submission)}{later} '
            f"ORDER BY time DESC LIMIT {self._bound}"
        )
        moments: dict[int, dict[str, float]] = {}
        for series in found:
            for at, *values in series.rows:
                known = {
                    name: value for name, value in zip(series.columns[1:], values, strict=True) if value is not None
                }
                moments.setdefault(int(at), {}).update(known)
        return [
            Point(measurement.name, submission, at / _BILLION, each) for at, each in sorted(moments.items()) if each
        ]

    def read_several(
        self, submission: str, measurements: Sequence[Measurement], since: float = 0.0
    ) -> dict[str, list[Point]]:
        return {measurement.name: self.read(submission, measurement, since) for measurement in measurements}

    def expire(self, submission: str, ttl: float) -> None:
        """Deletes when ``ttl`` is 0; otherwise the bucket's retention ends the series."""
        if ttl <= 0:
            self._server.delete(submission)

    def flush(self, timeout: float) -> bool:
        return self._outbox.flush(timeout)

    def close(self, timeout: float) -> None:
        """Send what waits, for ``timeout`` seconds at most, and give up the connections."""
        self._outbox.close(timeout)
        self._server.close()


def beginning(measurement: str, submission: str, tags: Tags) -> str:
    """What the lines of one series begin with, the space before the fields included."""
    return str(_builder(measurement, submission, tags).field("x", 0).to_line_protocol()).removesuffix("x=0i")


def line_of(point: Point, begin: Callable[[str, str, Tags], str] = beginning) -> str:
    """The point in line protocol, '' when no field has a finite value. All values are floats: a field's type is one.

    Nearly all of a line stays the same from one moment to the next: ``begin`` may remember it. Names of fields are ours
    and need no escaping.
    """
    fields = [
        f"{name}={float(value)!r}".removesuffix(".0")
        for name, value in sorted(point.fields.items())
        if math.isfinite(value)
    ]
    if not fields:
        return ""
    series = begin(point.measurement, point.submission, tuple(sorted(point.tags.items())))
    return f"{series}{','.join(fields)} {nanoseconds(point.at)}"


def event_line(submission: str, event: Event) -> str:
    """The event in line protocol; its text on one line."""
    tags = ((metrics.EVENT_KIND, "warning" if event.warning else event.kind),)
    line = _builder(metrics.EVENT, submission, tags).field(metrics.EVENT_TEXT, " ".join(event.message.split()))
    return str(line.time(nanoseconds(event.at), WritePrecision.NS).to_line_protocol())


def nanoseconds(at: float) -> int:
    """Unix seconds as nanoseconds; dividing by 1e9 gives exactly the same float back (of any moment since 1971)."""
    numerator, denominator = at.as_integer_ratio()
    return (numerator * _BILLION + denominator // 2) // denominator


def _builder(measurement: str, submission: str, tags: Tags) -> LineBuilder:
    line = LineBuilder(measurement).tag("submission", submission).tag("job", submission)
    for name, value in tags:
        line.tag(name, value)
    return line
