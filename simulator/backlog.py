"""The work queue as a model: where each item is, and the figures that the real queue would tell. Times in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from asperathos_worker.queue.histogram import bucket_of
from asperathos_worker.queue.records import Histogram, QueueConfig, QueueStats

_MOST_RUNNING = 1000
"""Ages of running items that the queue tells at most."""


class Tally:
    """A growing histogram with the real queue's buckets."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.longest = 0.0

    def add(self, seconds: float, number: int = 1) -> None:
        """A duration more, or several of that length."""
        bucket = bucket_of(seconds)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + number
        self.count += number
        self.total += seconds * number
        self.squares += seconds * seconds * number
        self.longest = max(self.longest, seconds)

    def histogram(self) -> Histogram:
        """What it holds now."""
        return Histogram(dict(self.buckets), self.count, self.total, self.squares, self.longest)


class Backlog:
    """First in, first out; what is handed back goes to the front, and what failed before goes first of all. Items are
    numbers.

    ``closed`` once no more can come: a batch is from the beginning, a stream never.
    """

    def __init__(self, config: QueueConfig) -> None:
        self._config = config
        self._stream = config.stream
        self._ready: deque[int] = deque()
        self._again: deque[int] = deque()
        """Those whose earlier attempt failed or was lost, their delay being over."""
        self._ready_since: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self.put_count = self.delayed = self.leased = self.done = self.dead = 0
        self.taken = self.failed = self.expired = self.released = 0
        self._service = Tally()
        self._wait = Tally()

    @property
    def waiting(self) -> int:
        """Items that could be taken now."""
        return len(self._again) + len(self._ready)

    @property
    def outstanding(self) -> int:
        """Items that still need work."""
        return self.waiting + self.delayed + self.leased

    def put(self, items: Iterable[int], now: float) -> None:
        """New items."""
        for item in items:
            self._ready.append(item)
            self.put_count += 1
            if self._stream:
                self._ready_since[item] = now

    def take(self, now: float, most: int = 1) -> list[tuple[int, float]]:
        """The next items, up to so many, and since when each could have been taken (0.0 in a batch); none when none
        is ready."""
        taken: list[tuple[int, float]] = []
        while self.waiting and len(taken) < most:
            item = self._again.popleft() if self._again else self._ready.popleft()
            since = 0.0
            if self._stream:
                since = self._ready_since.pop(item)
                self._wait.add(now - since)
            taken.append((item, since))
        self.leased += len(taken)
        self.taken += len(taken)
        return taken

    def finish(self, seconds: float, number: int = 1) -> None:
        """So many attempts, which took that long each on the average, have brought results."""
        self.leased -= number
        self.done += number
        self._service.add(seconds, number)

    def fail(self, item: int) -> float | None:
        """An attempt has failed: seconds until the next one may begin (see ``again``), None when the item is dead."""
        self.failed += 1
        return self._charge(item)

    def expire(self, item: int, now: float) -> None:
        """A lease has run out, its worker being lost."""
        self.expired += 1
        if self._charge(item) is not None:
            self.delayed -= 1
            self._again.appendleft(item)
            self._ready_since[item] = now

    def hand_back(self, items: Sequence[int], now: float) -> None:
        """Attempts were given up without harm; the items keep their order."""
        self.leased -= len(items)
        self.released += len(items)
        for item in reversed(items):
            self._ready.appendleft(item)
            if self._stream:
                self._ready_since[item] = now

    def again(self, item: int, now: float) -> None:
        """A failed item's delay is over."""
        self.delayed -= 1
        self._again.append(item)
        self._ready_since[item] = now

    def stats(self, at: float, now: float, running: Iterable[float]) -> QueueStats:
        """What the queue tells; ``at`` is ``now`` by the queue's own clock, ``running`` the leases' ages."""
        oldest = now - self._ready_since[self._ready[0]] if self._stream and self._ready else None
        return QueueStats(
            at=at,
            put=self.put_count,
            ready=self.waiting,
            delayed=self.delayed,
            leased=self.leased,
            done=self.done,
            dead=self.dead,
            closed=not self._stream,
            stopped=False,
            limit=None,
            taken=self.taken,
            failed=self.failed,
            expired=self.expired,
            released=self.released,
            oldest_ready_wait=oldest,
            running=tuple(sorted(running, reverse=True)[:_MOST_RUNNING]),
            service=self._service.histogram(),
            wait=self._wait.histogram(),
        )

    def _charge(self, item: int) -> float | None:
        self.leased -= 1
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        if failures > self._config.retries:
            self.dead += 1
            return None
        self.delayed += 1
        return min(self._config.backoff_cap, self._config.backoff_base * 2.0 ** (failures - 1))
