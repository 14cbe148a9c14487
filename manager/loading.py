"""Fills queues from workloads in bounded slices, without reading a source anew for each slice."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asperathos_worker.queue.api import ServiceQueue
from asperathos_worker.queue.records import NewItem

from common.domain.errors import WorkloadError
from common.domain.submission import Submission, Workload
from common.ports import Clock
from manager.quotas import whose_quota

OpenItems = Callable[[Workload | None], Iterator[str]]
"""Opens a workload anew; raises WorkloadError, also while it is read."""


@dataclass(frozen=True)
class Loaded:
    """How far it is: items put so far, and whether that is all."""

    count: int
    done: bool


@dataclass
class _Reading:
    items: Iterator[str]
    began: float
    position: int = 0


class Loader:
    """Keeps the open sources of this process.

    What counts is the number of items in the submission's record: a source that stands elsewhere (after a crash, or
    when another process has loaded meanwhile) is wound forward or opened anew. An item's id is its position, so an
    item that was put already is not put again.
    """

    def __init__(
        self,
        open_items: OpenItems,
        clock: Clock,
        batch: int = 1000,
        slice_seconds: float = 1.0,
        longest: float = math.inf,
        workload_of: Callable[[Submission], Workload | None] = lambda submission: submission.spec.workload,
    ) -> None:
        """``workload_of`` gives a submission's workload with its inline items."""
        self._workload_of = workload_of
        self._open_items = open_items
        self._clock = clock
        self._batch = batch
        self._slice = slice_seconds
        self._longest = longest
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}

    def load(self, submission: Submission, queue: ServiceQueue) -> Loaded:
        """Put batches until the slice's time is over or all is put. Raises WorkloadError and the queue's errors."""
        end = self._clock.monotonic() + self._slice
        reading = self._reading(submission)
        count = submission.loaded
        try:
            if self._clock.monotonic() - reading.began > self._longest:
                raise WorkloadError(f"reading the workload takes longer than {self._longest:g} s")
            while self._clock.monotonic() < end:
                if reading.position < count:
                    skipped = sum(
                        1 for _ in itertools.islice(reading.items, min(self._batch, count - reading.position))
                    )
                    if skipped == 0:
                        # The source has become shorter than what was loaded from it before.
                        return self._finish(submission.id, count)
                    reading.position += skipped
                    continue
                payloads = list(itertools.islice(reading.items, self._batch))
                if 0 < submission.item_quota < count + len(payloads):
                    raise WorkloadError(
                        f"the workload has more than {submission.item_quota} items, {whose_quota(submission)}"
                    )
                if payloads:
                    queue.put([NewItem(payload, str(count + offset)) for offset, payload in enumerate(payloads)])
                    count += len(payloads)
                    reading.position = count
                if len(payloads) < self._batch:
                    return self._finish(submission.id, count)
        except BaseException:
            # The iterator may have given items that were not put: it must not be read on.
            self.forget(submission.id)
            raise
        if submission.items_apart:
            # Many may be loading, and these are in memory whole; winding them forward is quick.
            self.forget(submission.id)
        return Loaded(count, done=False)

    def forget(self, id: str) -> None:
        """Close the submission's source."""
        with self._lock:
            reading = self._readings.pop(id, None)
        if reading is not None:
            close = getattr(reading.items, "close", None)
            if close is not None:
                close()

    def forget_all(self) -> None:
        """Close all sources."""
        with self._lock:
            ids = list(self._readings)
        for id in ids:
            self.forget(id)

    def _finish(self, id: str, count: int) -> Loaded:
        self.forget(id)
        return Loaded(count, done=True)

    def _reading(self, submission: Submission) -> _Reading:
        with self._lock:
            reading = self._readings.get(submission.id)
        if reading is not None and reading.position > submission.loaded:
            self.forget(submission.id)
            reading = None
        if reading is None:
            reading = _Reading(self._open_items(self._workload_of(submission)), self._clock.monotonic())
            with self._lock:
                self._readings[submission.id] = reading
        return reading
