"""Reports side by side."""

from __future__ import annotations

from typing import Any

import pytest

from cli.comparison import FIGURES, compared, document, html, lines

GOOD: dict[str, Any] = {
    "id": "kj-0000001",
    "name": "one",
    "state": "completed",
    "law": "deadline",
    "complete": True,
    "deadline": 60.0,
    "deadline_met": True,
    "deadline_margin": 5.0,
    "execution_time": 55.0,
    "elapsed": 55.0,
    "counts": {"done": 10, "dead": 0},
    "failures": {"failed_attempts": 0},
    "economy": {"replica_seconds": 3600.0, "money": 1.5, "over": 1.1, "excess": 0.2},
    "service_time": {"p50": 1.0, "p95": 2.0, "p99": 3.0},
    "queue_wait": None,
    "peak_replicas": 3,
    "scalings": 2,
    "series": {"0": {"job_progress": 0.0, "replicas": 1.0}, "10": {"job_progress": 1.0, "replicas": None}},
}
LATE = {
    **GOOD,
    "id": "kj-0000002",
    "name": "<b>two</b>",
    "deadline_met": False,
    "execution_time": 70.0,
    "economy": {**GOOD["economy"], "replica_seconds": 1800.0},
}
RUNNING = {"id": "kj-0000003", "name": "three", "state": "ongoing", "complete": False, "elapsed": 1.0, "counts": {}}


def row(reports: list[Any], name: str) -> list[tuple[str, bool]]:
    return [(cell.text, cell.best) for cell in dict(compared(reports))[name]]


def test_the_best_is_marked() -> None:
    assert row([GOOD, LATE], "met") == [("yes", True), ("no", False)]
    assert row([GOOD, LATE], "took") == [("55s", True), ("1m 10s", False)]
    assert row([GOOD, LATE], "replica-hours") == [("1", False), ("0.5", True)]
    assert row([GOOD, LATE], "peak replicas") == [("3", False), ("3", False)], "nobody is best where all are the same"
    assert row([GOOD, LATE], "deadline") == [("1m 00s", False)] * 2


def test_one_that_runs_is_shown_but_is_never_the_best() -> None:
    assert row([GOOD, LATE, RUNNING], "took") == [("55s", True), ("1m 10s", False), ("1s", False)]
    assert row([GOOD, RUNNING], "met") == [("yes", False), ("–", False)]


def test_what_nobody_knows_is_left_out() -> None:
    assert "wait p50" not in dict(compared([GOOD, LATE]))
    assert set(dict(compared([RUNNING, RUNNING]))) == {"name", "state", "took"}


def test_the_json_has_numbers() -> None:
    told = document([GOOD, RUNNING])["submissions"]
    assert told["kj-0000001"].items() >= {"met": True, "replica_hours": 1.0, "item_p95": 2.0, "wait_p95": None}.items()
    assert told["kj-0000003"].keys() == {figure.key for figure in FIGURES}


@pytest.mark.parametrize("width", [None, 200, 80, 40])
def test_lines_fit(width: int | None) -> None:
    told = ["".join(text for text, _ in line) for line in lines([GOOD, LATE, RUNNING], width)]
    if width:
        assert max(map(len, told)) <= width
    assert all(any(id in line for line in told) for id in ("kj-0000001", "kj-0000002", "kj-0000003"))


def test_the_page_stands_alone_and_escapes() -> None:
    page = html([GOOD, LATE, RUNNING])
    assert page.count("<svg") == 3
    assert "&lt;b&gt;two" in page and "<b>" not in page
    assert "<script" not in page and "src=" not in page
