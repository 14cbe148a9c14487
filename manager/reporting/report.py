"""A submission's report as a value, and as a JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asperathos_worker.queue.records import ItemFailure

from common.domain.events import Event
from common.domain.progress import Decision
from common.domain.units import format_duration
from manager.reporting.economy import Economy, Row
from manager.reporting.spreads import Spread


@dataclass(frozen=True)
class Times:
    """How long items took from lease to result, and waited before: ``kept`` items are kept, of which ``sampled`` were
    looked at. A batch's items wait from its acceptance on, a stream's from when they were put."""

    service: Spread | None = None
    wait: Spread | None = None
    sampled: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Failures:
    """``dead`` and ``failed`` are the ones that are told, the latest; the totals are of all."""

    dead: Sequence[ItemFailure] = ()
    failed: Sequence[ItemFailure] = ()
    dead_total: int = 0
    failed_total: int = 0


@dataclass(frozen=True)
class Report:
    """All that is told of a submission. Times are Unix seconds, durations seconds."""

    status: Mapping[str, Any]
    """The status object: the original's keys and ours."""
    spec: Mapping[str, Any]
    complete: bool
    """Whether it has ended, so that nothing of this changes any more."""
    made_at: float
    kept_until: float | None
    """When what this is made from is forgotten; None while it runs."""
    rows: Mapping[str, Row]
    """The detailed series by second since acceptance."""
    times: Times
    economy: Economy
    failures: Failures
    decisions: Sequence[Decision]
    events: Sequence[Event]

    @property
    def id(self) -> str:
        """The submission's."""
        return str(self.status["id"])

    @property
    def title(self) -> str:
        """Its name, or its id."""
        return str(self.status.get("name") or self.id)


def headline(report: Report) -> str:
    """How it went, in a sentence."""
    told, counts = report.status, report.status["counts"]
    state = str(told["state"])
    if not report.complete:
        return f"It is {state}: this is what there is so far."
    if state == "completed":
        met, margin = told.get("deadline_met"), told.get("deadline_margin")
        if met is None or margin is None:
            return f"It completed in {format_duration(told['execution_time'])}."
        return f"It completed {format_duration(abs(margin))} {'before' if met else 'after'} its deadline."
    if state == "failed" and counts["dead"]:
        return f"It ended with {counts['dead']} dead item{'' if counts['dead'] == 1 else 's'}."
    if state in ("stopped", "terminated"):
        left = counts["ready"] + counts["delayed"] + counts["leased"]
        return f"It was {state} on request; {left} item{' was' if left == 1 else 's were'} left undone."
    return f"It ended: {state}."


def against_deadline(status: Mapping[str, Any]) -> str:
    """``met by 5s``, ``missed by 5s``; empty where neither is the case (yet)."""
    met, margin = status.get("deadline_met"), status.get("deadline_margin")
    return "" if met is None or margin is None else f"{'met' if met else 'missed'} by {format_duration(abs(margin))}"


def document(report: Report, detailed: bool) -> dict[str, Any]:
    """The simple report: the status object, and what it came to. ``detailed``: series, decisions, events and the
    specification too."""
    told: dict[str, Any] = {
        **report.status,
        "headline": headline(report),
        "complete": report.complete,
        "made_at": report.made_at,
        "kept_until": report.kept_until,
        "service_time": _spread(report.times.service),
        "queue_wait": _spread(report.times.wait),
        "sampled_items": report.times.sampled,
        "kept_items": report.times.kept,
        "economy": asdict(report.economy),
        "failures": {
            "dead_total": report.failures.dead_total,
            "failed_attempts": report.failures.failed_total,
            "dead": [asdict(one) for one in report.failures.dead],
            "failed": [asdict(one) for one in report.failures.failed],
        },
    }
    if detailed:
        told["spec"] = report.spec
        told["series"] = report.rows
        told["decisions"] = [decision.model_dump(mode="json") for decision in report.decisions]
        told["events"] = [event.model_dump(mode="json") for event in report.events]
    return told


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else asdict(spread)
