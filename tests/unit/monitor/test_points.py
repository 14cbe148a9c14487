from __future__ import annotations

from common.domain.metrics import JOB_PROGRESS, MEASUREMENTS, PROGRESS_ERROR, QUEUE_WAIT, TAGS
from common.domain.progress import Counts, ServiceTimes
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringInfo
from monitor.points import points_of, tags_of
from tests.unit.monitor.builders import ID, observation


def test_every_declared_measurement_is_written_with_its_declared_fields() -> None:
    waits = {"queue_wait_p50": 1.0, "queue_wait_p95": 2.0, "oldest_wait": 3.0}
    seen = observation(1000.0, counts=Counts(total=4, done=1), service=ServiceTimes(count=1, mean=2.0), **waits)
    points = {point.measurement: point for point in points_of(seen, {"law": "pid"})}
    assert set(points) == {measurement.name for measurement in MEASUREMENTS}
    for measurement in MEASUREMENTS:
        assert set(points[measurement.name].fields) == set(measurement.fields)
        assert (points[measurement.name].at, points[measurement.name].submission) == (1000.0, ID)
        assert points[measurement.name].tags == {"law": "pid"}
    assert points[PROGRESS_ERROR.name].fields == {"value": seen.error}


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
