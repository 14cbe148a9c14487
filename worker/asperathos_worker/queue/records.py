"""Values that enter and leave the work queue. Pure standard library; times are Unix seconds of the queue's clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple


@dataclass(frozen=True)
class NewItem:
    """An item to be put.

    ``id`` is unique within a submission; putting the same id again adds nothing. ``None`` (streams) lets the
    queue number it.
    """

    payload: str
    id: Optional[str] = None


@dataclass(frozen=True)
class Lease:
    """A worker's time-limited right to one item.

    ``attempt`` is the fencing token: it grows by one with each take of the item, and every later word about the
    item must carry it. ``failures`` counts earlier attempts that failed or whose lease expired.
    """

    id: str
    payload: str
    attempt: int
    failures: int


@dataclass(frozen=True)
class Ack:
    """A finished attempt: the item's id, the attempt that did it, and the result to keep."""

    id: str
    attempt: int
    result: str = ""


class Verdict(enum.Enum):
    """What a worker does next, as told by every take."""

    ITEMS = "items"
    """Items were handed out."""
    WAIT = "wait"
    """Nothing to hand out now, but more may come: ask again."""
    DRAIN = "drain"
    """This worker's index is to be removed: finish, take no more, stay idle until told otherwise."""
    OVER = "over"
    """Closed, and nothing ready, delayed or leased: exit 0. To a worker that drains also while others hold leases."""
    STOPPED = "stopped"
    """The submission is being stopped: exit 0."""


@dataclass(frozen=True)
class Taken:
    """The answer to a take.

    ``accepted`` has one entry per acknowledgement sent along (False: refused, another attempt holds or held it).
    ``lease_seconds`` is how long each lease lasts unless extended.
    """

    verdict: Verdict
    leases: Tuple[Lease, ...] = ()
    accepted: Tuple[bool, ...] = ()
    lease_seconds: float = 60.0


@dataclass(frozen=True)
class QueueConfig:
    """The queue's rules. Durations in seconds.

    A failed attempt is retried after ``backoff_base * 2**(failures-1)``, at most ``backoff_cap``; an item with more
    than ``retries`` failures is dead. ``retain`` bounds how many finished items a stream keeps (0: all).
    ``stream`` items remember when they were put, so that their waiting time is known. An item whose result has more
    than ``result_limit`` bytes of UTF-8 (0: no limit) is dead at once, whoever hands it in.
    """

    lease: float = 60.0
    retries: int = 3
    backoff_base: float = 1.0
    backoff_cap: float = 60.0
    retain: int = 0
    stream: bool = False
    result_limit: int = 0


@dataclass(frozen=True)
class Histogram:
    """Counts of durations in logarithmic buckets, mergeable by addition.

    Bucket ``i`` holds durations d (seconds) with ``ceil(log(d / 0.001) / log(1.25)) == i`` (0: one millisecond or
    less). ``total`` and ``squares`` are the sums of d and d*d, ``count`` the number of durations.
    """

    buckets: Dict[int, int] = field(default_factory=dict)
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True)
class QueueStats:
    """A consistent snapshot of the queue, taken in one call. ``at`` is Redis's clock.

    ``service`` counts how long workers took per item: what a worker hands in together (a batch) it has worked off one
    after the other since it was last free, or since it took the items if that was later.
    """

    at: float
    put: int
    ready: int
    delayed: int
    leased: int
    done: int
    dead: int
    closed: bool
    stopped: bool
    limit: Optional[int]
    taken: int
    """Attempts handed out, ever."""
    failed: int
    """Attempts that failed (by word of the worker), ever."""
    expired: int
    """Leases that ran out, ever."""
    released: int
    """Attempts handed back unharmed, ever."""
    oldest_ready_wait: Optional[float]
    """Seconds the longest-waiting ready item of a stream has waited; None for batches and empty queues."""
    running: Tuple[float, ...]
    """Ages (s) of the current leases, oldest first, at most 1000: the service times still censored."""
    service: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)
    """Time from put (or return to ready) to take; streams only."""

    @property
    def total(self) -> Optional[int]:
        """Number of items, once the queue is closed (None before)."""
        return self.put if self.closed else None

    @property
    def over(self) -> bool:
        """Nothing is left to do and nothing can come."""
        return self.closed and self.ready == 0 and self.delayed == 0 and self.leased == 0


@dataclass(frozen=True)
class ItemResult:
    """An accepted result. ``started`` and ``finished`` are Unix seconds."""

    id: str
    attempt: int
    worker: str
    started: float
    finished: float
    result: str


@dataclass(frozen=True)
class ItemFailure:
    """A failed attempt (kept newest first, bounded) or, with ``final``, the reason an item is dead."""

    id: str
    attempt: int
    worker: str
    at: float
    error: str
    final: bool


@dataclass(frozen=True)
class ItemState:
    """Where one item is: ``place`` is ready, delayed, leased, done or dead."""

    id: str
    payload: str
    place: str
    attempt: int
    failures: int
    worker: str = ""
    error: str = ""


PLACES = ("done", "dead", "leased", "delayed", "ready")
"""Where an item may be."""


@dataclass(frozen=True)
class ItemLine:
    """What became of one item, without its payload and its result.

    ``place`` is one of PLACES, ``attempt`` the latest one. ``started`` and ``ended`` are Unix seconds, None where not
    known: of a done item when its accepted attempt began and ended, of a dead one when it died, of a leased one when
    its attempt began. ``error`` is the last one, of items that are not done.
    """

    id: str
    place: str
    attempt: int
    failures: int
    worker: str = ""
    started: Optional[float] = None
    ended: Optional[float] = None
    error: str = ""


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as the queue last heard of it. ``busy`` counts the leases it holds."""

    name: str
    index: int
    busy: int
    seen: float
