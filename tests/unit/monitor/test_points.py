from __future__ import annotations

from common.domain.forecast import Forecast
from common.domain.metrics import (
    ATTEMPTS,
    COSTS,
    JOB_PROGRESS,
    MEASUREMENTS,
    PROGRESS_ERROR,
    QUEUE_WAIT,
    TAGS,
)
from common.domain.progress import Counts, ServiceTimes, Usage
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringInfo
from monitor.points import forecast_points, points_of, tags_of
from tests.unit.monitor.builders import ID, observation


def test_every_declared_measurement_is_written_with_its_declared_fields() -> None:
    waits = {"queue_wait_p50": 1.0, "queue_wait_p95": 2.0, "queue_wait_p99": 2.5, "oldest_wait": 3.0}
    seen = observation(
        1000.0,
        counts=Counts(total=4, done=1),
        service=ServiceTimes(count=1, mean=2.0),
        usage=Usage(cpu=0.5, memory=1e6, pods=1),
        price=2.0,
        spent=3.0,
        **waits,
    )
    foreseen = Forecast(at=1000.0, p50=60.0, p90=80.0, chance=0.9, deadline=100.0, projected=4.0)
    tags = {"law": "pid"}
    written: dict[str, dict[str, float]] = {}
    for point in (*points_of(seen, tags, 5.0), *forecast_points(foreseen, 990.0, ID, tags)):
        assert (point.at, point.submission, point.tags) == (1000.0, ID, tags)
        written.setdefault(point.measurement, {}).update(point.fields)
    assert {name: set(fields) for name, fields in written.items()} == {
        measurement.name: set(measurement.fields) for measurement in (*MEASUREMENTS, *COSTS)
    }
    assert written[PROGRESS_ERROR.name] == {"value": seen.error}


def test_attempts_add_up() -> None:
    seen = observation(1000.0, counts=Counts(dead=2), failures=7, expired=3, released=1, attempts=40)
    (attempts,) = [point.fields for point in points_of(seen, {}) if point.measurement == ATTEMPTS.name]
    assert attempts == {"taken": 40, "failed": 4, "expired": 3, "released": 1, "retried": 5}


def test_a_forecast_is_told_at_the_moment_it_was_made() -> None:
    foreseen = Forecast(at=1000.0, p50=60.0, p90=8.0, chance=0.9, deadline=50.0, late_by=5.0, projected=1.5)
    told, cost = forecast_points(foreseen, 990.0, ID, {})
    assert told.at == cost.at == 1000.0
    assert told.fields == {
        "eta_p50": 50.0,
        "eta_p90": 0.0,
        "end_p50": 60.0,
        "end_p90": 8.0,
        "chance": 0.9,
        "deadline": 50.0,
        "late_by": 5.0,
    }
    assert cost.fields == {"projected": 1.5}


def test_a_forecast_that_knows_nothing_is_not_told() -> None:
    assert forecast_points(Forecast(at=1000.0, deadline=50.0), 990.0, ID, {}) == []
    (known,) = forecast_points(Forecast(at=1000.0, p50=9.0), 990.0, ID, {})
    assert known.fields == {"eta_p50": 0.0, "end_p50": 9.0}


def test_what_is_not_known_is_not_written() -> None:
    points = {point.measurement: point for point in points_of(observation(1000.0, deadline=None, oldest_wait=1.0), {})}
    assert points.keys().isdisjoint({"application_progress_error", "time_progress", "service_time"})
    assert JOB_PROGRESS.name in points
    assert points[QUEUE_WAIT.name].fields == {"oldest": 1.0}


def test_tags_are_those_declared_and_tell_what_is_known() -> None:
    info = MonitoringInfo(queue=QueueAddress(submission=ID), namespace="jobs", created_at=0.0, name="tides", law="pid")
    assert tags_of(info) == {"name": "tides", "kind": "batch", "law": "pid", "namespace": "jobs"}
    whole = tags_of(info.model_copy(update={"cluster": "east"}))
    assert {"submission", "job", *whole} == set(TAGS)
