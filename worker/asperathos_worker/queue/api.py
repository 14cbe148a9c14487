"""The two sides of the work queue as protocols. Every method is one atomic step on the queue."""

from __future__ import annotations

from typing import Iterable, List, Mapping, Optional, Protocol, Sequence, Tuple

from .records import (
    Ack,
    ItemFailure,
    ItemLine,
    ItemResult,
    ItemState,
    Lease,
    NewItem,
    QueueConfig,
    QueueStats,
    Taken,
    WorkerInfo,
)


class QueueError(Exception):
    """Something is wrong with the queue; each leaf says what."""


class QueueUnavailable(QueueError):
    """The queue's server could not be reached or cannot serve now, within the client's timeout and retries."""


class QueueMissing(QueueError):
    """The queue does not exist (never opened, or purged)."""


class QueueClosed(QueueError):
    """Items were put after the queue was closed or stopped."""


class QueueRefused(QueueError):
    """The server refused the command (no permission, wrong credentials, foreign key): repeating it is no use."""


class CredentialsRefused(QueueRefused):
    """The server does not know this user or password. A Redis that was just started again knows no users until the
    manager has granted them anew, which takes a moment."""


class WorkerQueue(Protocol):
    """What a worker does. ``worker`` names the taker (pod name), ``index`` is its completion index."""

    def take(self, worker: str, index: int, n: int = 1) -> Taken:
        """Lease up to n items: expired leases first, then due retries, then ready ones in FIFO order."""

    def finish_and_take(self, worker: str, index: int, acks: Sequence[Ack], n: int = 1) -> Taken:
        """Acknowledge finished items, then take up to n more, in one call. n = 0 acknowledges only.

        An acknowledgement is accepted while its attempt is the item's latest one, was taken by this worker, and was not
        given back, also after its lease ran out. Repeating the accepted one is accepted and changes nothing. A result
        over the queue's limit is not accepted, and its item is dead.
        """

    def fail(self, worker: str, lease: Lease, error: str, permanent: bool = False) -> bool:
        """Report a failed attempt: the item returns after a backoff, or is dead. False: the lease was lost. Of a long
        error the last 16 KiB are kept."""

    def release(self, worker: str, leases: Sequence[Lease]) -> int:
        """Hand items back unharmed, to the front of the queue; returns how many were still held."""

    def extend(
        self, worker: str, index: int, leases: Sequence[Lease], longest: Optional[float] = None
    ) -> Tuple[Lease, ...]:
        """Heartbeat: extend the leases by the full lease time. Returns the leases that were lost meanwhile.

        An attempt that was taken ``longest`` seconds ago or more is not extended: it has failed. For whoever does not
        see to that itself.
        """

    def report(self, worker: str, metrics: Mapping[str, float]) -> None:
        """Report application metrics (last value per worker and name is kept)."""


class ServiceQueue(Protocol):
    """What the services do."""

    def open(self, config: QueueConfig) -> None:
        """Create the queue or replace its rules; its items are untouched."""

    def put(self, items: Sequence[NewItem]) -> int:
        """Append a batch; returns how many were new. Raises QueueMissing before open, QueueClosed after close or stop.

        An id is not empty. Large batches are appended in several atomic steps.
        """

    def close(self) -> None:
        """No more items will come."""

    def stop(self) -> None:
        """Tell workers to finish what they hold and exit 0."""

    def set_limit(self, limit: Optional[int]) -> None:
        """Workers with index >= limit drain, and are told that it is over once nothing waits and nothing more can come;
        None lifts it."""

    def stats(self) -> QueueStats:
        """A consistent snapshot. Raises QueueMissing."""

    def sweep(self) -> int:
        """Return expired leases to ready (or dead) without a taker; returns how many moved."""

    def busy_from(self, index: int) -> int:
        """How many leases are held by workers with this index or a higher one."""

    def workers(self) -> List[WorkerInfo]:
        """Workers heard of, by index."""

    def results(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemResult], int]:
        """Accepted results in order of completion, from cursor on, and the cursor to go on from."""

    def failures(self, count: int = 100) -> List[ItemFailure]:
        """The latest failed attempts, newest first."""

    def dead(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemFailure], int]:
        """Dead items in order of death, from cursor on, and the cursor to go on from."""

    def items(self, ids: Iterable[str]) -> List[ItemState]:
        """Where these items are; unknown ids are left out."""

    def lines(self, place: str, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemLine], int]:
        """The items of one of PLACES from cursor on, without payloads and results, and the cursor to go on from.

        Done and dead ones are in the order in which they ended, leased and delayed ones in that of when this ends,
        ready ones in the queue's. While workers work, outstanding items move on between two pages.
        """

    def reported(self) -> Mapping[str, Mapping[str, float]]:
        """Application metrics: name -> worker -> last value."""

    def purge(self) -> None:
        """Delete everything of this queue. Idempotent."""
