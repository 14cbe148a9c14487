"""A report to speak about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asperathos_worker.queue.records import ItemFailure

from common.domain.events import Event
from common.domain.progress import Counts, Decision
from manager.reporting.economy import Economy
from manager.reporting.report import Failures, Report, Times
from manager.reporting.spreads import spread_of

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=y>\x1b[31m"


def report(**changes: Any) -> Report:
    """One that completed in time."""
    whole = Report(
        status={
            "id": "kj-0000001",
            "name": "tides",
            "kind": "batch",
            "law": "deadline",
            "state": "completed",
            "reason": "",
            "warnings": [],
            "created_at": 1000.0,
            "deadline": 60.0,
            "deadline_met": True,
            "deadline_margin": 20.0,
            "elapsed": 40.0,
            "execution_time": 40.0,
            "peak_replicas": 3,
            "scalings": 2,
            "scaling_strategy": "deadline",
            "final_error": [0.3, "1970-01-01T00:17:20Z"],
            "counts": Counts(total=4, done=3, dead=1).model_dump(),
        },
        spec={"name": "tides", "run": "work {item}"},
        complete=True,
        made_at=2000.0,
        kept_until=605_840.0,
        rows={
            "0": {"job_progress": 0.0, "replicas": 1.0, "desired": 1.0, "throughput": 0.0, "ready": 4.0, "cost": 2.0},
            "20": {"job_progress": 0.5, "replicas": 3.0, "desired": 3.0, "throughput": 0.1, "ready": 2.0, "cost": 6.0},
            "40": {"job_progress": 1.0, "replicas": 3.0, "desired": 0.0, "throughput": 0.1, "ready": 0.0, "cost": 6.0},
        },
        times=Times(spread_of([(1.0, 2), (5.0, 1)]), spread_of([(0.5, 3)]), 3, 3),
        economy=Economy(80.0, 2.0, 0.05, 60.0, 2, 62.0, 1.29, 0.25),
        failures=Failures((ItemFailure("3", 2, "pod-a", 1030.0, "exit code 3", True),), (), 1, 2),
        decisions=(
            Decision(at=1001.0, law="deadline", wanted=3, granted=3, previous=1, reason="late"),
            Decision(at=1006.0, law="deadline", wanted=3, granted=3, previous=3, reason="as before"),
        ),
        events=(Event(at=1000.0, kind="state", message="created"),),
    )
    return replace(whole, **changes)


def told(**changes: Any) -> Report:
    """The same with another status."""
    whole = report()
    return replace(whole, status={**whole.status, **changes})
