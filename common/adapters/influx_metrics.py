"""Time series in InfluxDB: points become lines in an outbox, InfluxQL reads them back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from influxdb_client import Point as LineBuilder
from influxdb_client import WritePrecision

from common.adapters.influx_server import InfluxServer, literal
from common.adapters.outbox import Outbox
from common.domain import metrics
from common.domain.events import Event
from common.domain.metrics import Measurement, Point

_BILLION = 10**9


class InfluxMetrics:
    """Implements ports.MetricStore and ports.Annotations.

    Reading tells the latest ``bound`` points. What was written a moment ago may still be in the outbox: flush() first
    where that matters.
    """

    def __init__(self, server: InfluxServer, outbox: Outbox, bound: int = 100_000) -> None:
        self._server = server
        self._outbox = outbox
        self._bound = bound

    def write(self, points: Sequence[Point]) -> None:
        self._outbox.put([line for line in map(line_of, points) if line])

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


def line_of(point: Point) -> str:
    """The point in line protocol, '' when no field has a finite value. All values are floats: a field's type is one."""
    fields = {name: float(value) for name, value in point.fields.items() if math.isfinite(value)}
    if not fields:
        return ""
    return _line(point.measurement, point.submission, point.tags, point.at, fields)


def event_line(submission: str, event: Event) -> str:
    """The event in line protocol; its text on one line."""
    kind = {metrics.EVENT_KIND: "warning" if event.warning else event.kind}
    return _line(metrics.EVENT, submission, kind, event.at, {metrics.EVENT_TEXT: " ".join(event.message.split())})


def nanoseconds(at: float) -> int:
    """Unix seconds as nanoseconds; dividing by 1e9 gives exactly the same float back (of any moment since 1971)."""
    numerator, denominator = at.as_integer_ratio()
    return (numerator * _BILLION + denominator // 2) // denominator


def _line(
    measurement: str, submission: str, tags: Mapping[str, str], at: float, fields: Mapping[str, float | str]
) -> str:
    line = LineBuilder(measurement).tag("submission", submission).tag("job", submission)
    for name, value in tags.items():
        line.tag(name, value)
    for name, field in fields.items():
        line.field(name, field)
    return str(line.time(nanoseconds(at), WritePrecision.NS).to_line_protocol())
