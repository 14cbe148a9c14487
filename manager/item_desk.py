"""Hands items out to workers that have only HTTP, and takes their outcomes: the work queue, for one request at a time.

An item's attempt number is its fencing token. What is said about another attempt than the one that holds the item is
refused, item by item.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from asperathos_worker.outcome import tail
from asperathos_worker.queue.api import QueueMissing, WorkerQueue
from asperathos_worker.queue.records import Ack, Lease, Taken, Verdict

from common.domain.errors import Conflict, Fault, TooLarge, Unavailable
from common.domain.states import State
from common.domain.submission import Submission
from common.ports import Clock
from manager.service import reachable

MOST_ITEMS = 100
"""Items of one request."""
_IDLE = frozenset({Verdict.WAIT, Verdict.DRAIN})
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5


@dataclass(frozen=True)
class Taker:
    """A worker as it names itself: its pod and the pod's completion index."""

    name: str
    index: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a worker says about an attempt. ``text``: its result, or its error."""

    id: str
    attempt: int
    text: str = ""
    permanent: bool = False


@dataclass(frozen=True)
class DeskRules:
    """``longest_wait``: seconds a claim may wait for items. ``seats``: how many claims may wait at once, for each holds
    a thread of the API. ``result_limit`` in bytes."""

    longest_wait: float = 10.0
    seats: int = 8
    result_limit: int = 1 << 20


class ItemDesk:
    """``find`` gives a submission or raises NotFound; ``queue`` the worker's side of a shared queue, new each time.

    Every method raises NotFound, Conflict (no such queue, or no longer) and Unavailable.
    """

    def __init__(
        self,
        find: Callable[[str], Submission],
        queue: Callable[[str], WorkerQueue],
        clock: Clock,
        rules: DeskRules | None = None,
    ) -> None:
        self._find = find
        self._queue = queue
        self._clock = clock
        self._rules = rules or DeskRules()
        self._seats = threading.BoundedSemaphore(self._rules.seats)

    def claim(self, id: str, taker: Taker, count: int = 1, wait: float = 0.0) -> Taken:
        """Lease up to ``count`` items, waiting up to ``wait`` seconds for the first, if a seat is free."""
        with self._at(id) as (queue, _):
            taken = queue.take(taker.name, taker.index, count)
            end = self._clock.monotonic() + min(wait, self._rules.longest_wait)
            if taken.verdict not in _IDLE or wait <= 0 or not self._seats.acquire(blocking=False):
                return taken
            try:
                pause = _FIRST_PAUSE
                while taken.verdict in _IDLE and (left := end - self._clock.monotonic()) > 0:
                    self._clock.sleep(min(pause, left))
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    taken = queue.take(taker.name, taker.index, count)
                return taken
            finally:
                self._seats.release()

    def complete(self, id: str, taker: Taker, outcomes: Sequence[Outcome]) -> list[bool]:
        """Keep results; which of them were accepted. Raises TooLarge."""
        for place, outcome in enumerate(outcomes):
            size = len(outcome.text.encode())
            if size > self._rules.result_limit:
                problem = f"has {size} bytes, the limit is {self._rules.result_limit}: store it elsewhere"
                raise TooLarge(
                    f"the result of item {outcome.id!r} {problem}", [Fault(f"items.{place}.result", problem)]
                )
        acks = [Ack(outcome.id, outcome.attempt, outcome.text) for outcome in outcomes]
        with self._at(id) as (queue, _):
            return list(queue.finish_and_take(taker.name, taker.index, acks, 0).accepted)

    def fail(self, id: str, taker: Taker, outcomes: Sequence[Outcome]) -> list[bool]:
        """Report failed attempts; which of them still held their item."""
        with self._at(id) as (queue, _):
            return [
                queue.fail(taker.name, _lease(outcome), tail(outcome.text), outcome.permanent) for outcome in outcomes
            ]

    def release(self, id: str, taker: Taker, outcomes: Sequence[Outcome]) -> list[bool]:
        """Hand items back unharmed; which of them were still held."""
        # The last one first, as each goes to the queue's front.
        with self._at(id) as (queue, _):
            released = [queue.release(taker.name, [_lease(outcome)]) == 1 for outcome in reversed(outcomes)]
        return released[::-1]

    def extend(self, id: str, taker: Taker, outcomes: Sequence[Outcome]) -> list[bool]:
        """Extend leases by the full lease time; which of them are still held. An attempt longer than the submission's
        item_timeout has failed: nobody else watches a worker that has only HTTP."""
        leases = [_lease(outcome) for outcome in outcomes]
        with self._at(id) as (queue, submission):
            gone = queue.extend(taker.name, taker.index, leases, submission.spec.item_timeout)
            lost = {(lease.id, lease.attempt) for lease in gone}
        return [(lease.id, lease.attempt) not in lost for lease in leases]

    @contextmanager
    def _at(self, id: str) -> Iterator[tuple[WorkerQueue, Submission]]:
        submission = self._find(id)
        if submission.spec.queue == "dedicated":
            raise Conflict(f"{id} has a dedicated queue: its items are in its own Redis, in the original's lists")
        try:
            with reachable():
                yield self._queue(id), submission
        except QueueMissing as error:
            if submission.state in (State.CREATED, State.LOADING):
                raise Unavailable(f"{id} is being prepared: its queue is not open yet") from error
            raise Conflict(f"the items of {id} are not kept any more") from error


def _lease(outcome: Outcome) -> Lease:
    return Lease(outcome.id, "", outcome.attempt, 0)
