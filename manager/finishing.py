"""The end of a submission: its last facts become its summary."""

from __future__ import annotations

from asperathos_worker.queue.api import ServiceQueue
from asperathos_worker.queue.records import QueueStats

from common.domain.progress import Counts
from common.domain.states import State
from common.domain.submission import Submission, Summary
from common.http.contracts import MonitoringReport, ScalingView


def counts_of(stats: QueueStats) -> Counts:
    """The queue's snapshot in the words of the reports."""
    return Counts(
        total=stats.total,
        ready=stats.ready,
        delayed=stats.delayed,
        leased=stats.leased,
        done=stats.done,
        dead=stats.dead,
    )


def last_settled_at(queue: ServiceQueue, stats: QueueStats) -> float | None:
    """When the last item was done or died (Unix seconds of the queue's clock), None when none was or it is not known.

    The original's lists keep no times; their queue gives 0.
    """
    ends = []
    if stats.done:
        results, _ = queue.results(stats.done - 1, 1)
        ends += [result.finished for result in results]
    if stats.dead:
        dead, _ = queue.dead(stats.dead - 1, 1)
        ends += [failure.at for failure in dead]
    return max((end for end in ends if end > 0), default=None)


def last_error(queue: ServiceQueue, stats: QueueStats) -> str:
    """Why the last dead item died."""
    dead, _ = queue.dead(max(0, stats.dead - 1), 1) if stats.dead else ([], 0)
    return dead[-1].error if dead else ""


def summarize(
    submission: Submission,
    state: State,
    finished_at: float,
    counts: Counts,
    report: MonitoringReport | None,
    scaling: ScalingView | None,
) -> Summary:
    """The simple report. Without the monitor's or the controller's word their part stays empty.

    Time counts from acceptance, as the deadline does; only work that ran to its end met or missed one.
    """
    elapsed = max(0.0, finished_at - submission.created_at)
    deadline = submission.spec.deadline
    ran_to_its_end = state in (State.COMPLETED, State.FAILED) and deadline is not None
    return Summary(
        counts=counts,
        execution_time=elapsed,
        replica_seconds=report.replica_seconds if report else 0.0,
        spent=report.spent if report else None,
        scalings=scaling.scalings if scaling else 0,
        peak_replicas=max(report.peak_replicas if report else 0, scaling.peak if scaling else 0),
        final_replicas=report.final_replicas if report else 0,
        final_error=report.final_error if report else None,
        max_error=report.max_error if report else None,
        min_error=report.min_error if report else None,
        deadline_met=elapsed <= deadline if ran_to_its_end and deadline is not None else None,
        deadline_margin=deadline - elapsed if ran_to_its_end and deadline is not None else None,
    )
