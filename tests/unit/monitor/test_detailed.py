"""Points as rows of the detailed report."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.domain.metrics import JOB_PROGRESS, PROGRESS_ERROR, QUEUE, Point
from common.domain.progress import Counts, ServiceTimes
from monitor.detailed import COLUMNS, MEASURED, detailed_report
from monitor.points import points_of
from tests.unit.monitor.builders import ID, observation

ORIGINAL = ["job_progress", "time_progress", "replicas", "error"]


def series(*moments: tuple[float, float], name: str = PROGRESS_ERROR.name) -> dict[str, list[Point]]:
    return {name: [Point(name, ID, at, {"value": value}) for at, value in moments]}


def test_the_originals_columns_come_first() -> None:
    assert list(COLUMNS)[:4] == ORIGINAL


def test_every_column_is_of_a_declared_field() -> None:
    for measurement, field in COLUMNS.values():
        assert field in measurement.fields


def test_what_the_monitor_writes_is_in_the_row() -> None:
    waits: dict[str, Any] = {"queue_wait_p50": 1.0, "queue_wait_p95": 2.0, "oldest_wait": 3.0}
    service = ServiceTimes(count=1, mean=2.0, p50=2.0, p95=4.0)
    seen = observation(1000.0, counts=Counts(total=4, done=1), service=service, price=3.0, **waits)
    points = points_of(seen, {})
    by_name = {
        measurement.name: [one for one in points if one.measurement == measurement.name] for measurement in MEASURED
    }
    (row,) = detailed_report(by_name, 990.0).values()
    assert None not in row.values()
    assert (row["done"], row["service_p95"], row["wait_p50"]) == (1, 4.0, 1.0)
    assert row["cost"] == 3.0 * (seen.replicas.observed + seen.replicas.pending)


def test_rows_are_named_by_second_in_order() -> None:
    moments = [(at, at) for at in (1011.9, 1000.2, 1002.0)]
    report = detailed_report({**series(*moments), **series(*moments, name=JOB_PROGRESS.name)}, 1000.0)
    assert list(report) == ["0", "2", "11"]
    assert report["11"] == dict.fromkeys(COLUMNS) | {"job_progress": 1011.9, "error": 1011.9}


def test_no_measurement_of_a_crowded_second_is_lost() -> None:
    moments = [(1005.0, 1.0), (1005.25, 2.0), (1005.5, 3.0), (1006.0, 4.0)]
    report = detailed_report(series(*moments), 1000.0)
    assert [row["error"] for row in report.values()] == [1.0, 2.0, 3.0, 4.0]
    assert list(report) == ["5", "5.250000", "5.500000", "6"]


def test_what_was_not_measured_is_none() -> None:
    (row,) = detailed_report({QUEUE.name: [Point(QUEUE.name, ID, 1000.0, {"ready": 2.0})]}, 1000.0).values()
    assert row == dict.fromkeys(COLUMNS) | {"ready": 2.0}


@given(st.lists(st.integers(0, 800).map(lambda eighths: eighths / 8), max_size=60, unique=True), st.integers(2, 30))
def test_thinned_rows_keep_both_ends(moments: list[float], most: int) -> None:
    whole = detailed_report(series(*((at, at) for at in moments)), 0.0)
    thin = detailed_report(series(*((at, at) for at in moments)), 0.0, most)
    assert len(thin) == min(most, len(whole))
    told, kept = [row["error"] for row in whole.values()], [row["error"] for row in thin.values()]
    assert kept == sorted(set(kept) & set(told), key=lambda value: value or 0.0)
    assert kept[:1] == told[:1] and kept[-1:] == told[-1:]
