"""Reads what a report is made of: record, series, items, decisions, story."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from asperathos_worker.queue.api import QueueMissing, ServiceQueue
from asperathos_worker.queue.records import ItemFailure

from common.domain.errors import Conflict, NotFound
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Decision, Observation, ServiceTimes
from common.domain.submission import Submission
from manager.reporting.economy import Economy, Row, Work, economy, steps_of
from manager.reporting.lines import Sample, all_lines, sample
from manager.reporting.report import Failures, Report, Times
from manager.reporting.spreads import of_buckets, spread_of
from manager.reporting.table import csv_of
from manager.service import ManagerService, Stores, reachable
from manager.status import is_stream

_MOST_TOLD = 1000
"""Failures of either kind that are told."""
_MOST_EVENTS = 5000
_MOST_DECISIONS = 5000


class DetailedReports(Protocol):
    """Who keeps the series measured."""

    def detailed(self, id: str, partial: bool = False, rows: int | None = None) -> Any:
        """``{"<second>": {job_progress, time_progress, replicas, error, ...}}``, thinned to ``rows``; of one that runs
        with ``partial`` only. Raises NotFound and Unavailable."""


class ReportMaker:
    """Makes reports. All methods raise NotFound for a submission that is not known (any more), Conflict for one that
    has not ended unless ``partial``, and Unavailable."""

    def __init__(self, stores: Stores, service: ManagerService, detailed: DetailedReports) -> None:
        self._stores = stores
        self._service = service
        self._detailed = detailed

    def report(self, id: str, partial: bool = False, rows: int | None = None) -> Report:
        """The whole report, of at most ``rows`` rows of series."""
        submission = self._found(id, partial)
        status = self._service.status(id)
        observation = self._stores.observations.all([id]).get(id)
        series = self._series(id, rows)
        kept, failures = self._of_items(submission, status["counts"]["dead"], observation)
        ended = submission.state.terminal
        at = submission.finished_at if submission.finished_at is not None else submission.created_at
        return Report(
            status=status,
            spec=self._service.shown_spec(submission),
            complete=ended,
            made_at=self._stores.clock.now(),
            kept_until=at + submission.spec.keep if ended else None,
            rows=series,
            times=_times(submission, observation, kept),
            economy=_economy(submission, observation, series, status),
            failures=failures,
            decisions=self._stores.journal.read(DECISIONS, id, Decision, count=_MOST_DECISIONS),
            events=sorted(self._stores.journal.read(EVENTS, id, Event, count=_MOST_EVENTS), key=lambda event: event.at),
        )

    def items(self, id: str, partial: bool = False) -> Iterator[str]:
        """CSV of all items, in chunks. What goes wrong at the beginning is raised here."""
        submission = self._found(id, partial)
        # The original's lists keep no times.
        accepted_at = None if is_stream(submission) else submission.created_at
        queue = self._queue(submission)
        if queue is None:
            return csv_of((), accepted_at)
        chunks = csv_of(all_lines(queue), accepted_at)
        try:
            with reachable():
                first = next(chunks)
        except QueueMissing as error:
            if submission.loaded == 0:
                return csv_of((), accepted_at)
            raise NotFound(f"the items of {id} are not kept any more") from error
        return itertools.chain((first,), chunks)

    def _found(self, id: str, partial: bool) -> Submission:
        submission = self._service.find(id).value
        if not submission.state.terminal and not partial:
            raise Conflict(
                f"{id} is {submission.state}: its report comes at its end; partial=true (--partial) tells what is there"
            )
        return submission

    def _series(self, id: str, rows: int | None) -> Mapping[str, Row]:
        try:
            # Of one that has ended, too: its last measurement may still be under way.
            found: Mapping[str, Row] = self._detailed.detailed(id, True, rows)
        except NotFound:
            # It ended before anything was measured.
            return {}
        return found

    def _of_items(
        self, submission: Submission, dead_total: int, observation: Observation | None
    ) -> tuple[Sample, Failures]:
        queue = self._queue(submission)
        failed_total = observation.failures if observation is not None else 0
        if queue is None:
            return Sample(), Failures(failed_total=failed_total)
        try:
            with reachable():
                kept = sample(queue)
                dead, _ = queue.dead(max(0, dead_total - _MOST_TOLD), _MOST_TOLD)
                failed = [failure for failure in queue.failures(_MOST_TOLD) if not failure.final]
        except QueueMissing:
            return Sample(), Failures(dead_total=dead_total, failed_total=failed_total)
        return kept, Failures(_newest_first(dead), tuple(failed), max(dead_total, len(dead)), failed_total)

    def _queue(self, submission: Submission) -> ServiceQueue | None:
        """None while a dedicated queue has no address yet."""
        address = submission.queue
        if address.kind == "dedicated" and not address.host:
            return None
        return self._stores.queues.at(address)


def _newest_first(dead: Iterable[ItemFailure]) -> tuple[ItemFailure, ...]:
    return tuple(reversed(list(dead)))


def _times(submission: Submission, observation: Observation | None, kept: Sample) -> Times:
    known = [line for line in kept.lines if line.started and line.ended]
    measured = ServiceTimes() if observation is None else observation.service
    service = spread_of(of_buckets(measured.buckets, measured.longest))
    if service is not None:
        service = replace(service, mean=measured.mean, longest=measured.longest)
    if is_stream(submission):
        wait = None if observation is None else spread_of(of_buckets(observation.waits))
    else:
        wait = spread_of((max(0.0, (line.started or 0.0) - submission.created_at), 1) for line in known)
    return Times(service, wait, len(known), kept.kept)


def _economy(
    submission: Submission,
    observation: Observation | None,
    series: Mapping[str, Row],
    status: Mapping[str, Any],
) -> Economy:
    held = steps_of(series)
    spent = status.get("replica_seconds")
    if spent is None:
        spent = sum(seconds * replicas for seconds, replicas, _ in held)
    work = None
    if observation is not None and observation.service.count:
        work = Work(
            total=observation.service.mean * observation.service.count,
            deadline=submission.spec.deadline,
            startup=observation.startup or 0.0,
            durations=of_buckets(observation.service.buckets, observation.service.longest),
        )
    return economy(held, float(spent), None if observation is None else observation.price, work)
