"""The work queue in memory: the laws of the real one, for tests of handlers and services."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .api import QueueClosed, QueueMissing
from .histogram import observed
from .records import (
    PLACES,
    Ack,
    Histogram,
    ItemFailure,
    ItemLine,
    ItemResult,
    ItemState,
    Lease,
    NewItem,
    QueueConfig,
    QueueStats,
    Taken,
    Verdict,
    WorkerInfo,
)

KEPT_FAILURES = 1000
ERROR_BYTES = 16384
"""Of an error, kept at most."""


@dataclass
class _Item:
    """An item and where it is. ``until`` is the end of its lease or backoff, ``readied`` when it became ready."""

    id: str
    payload: str
    readied: float
    place: str = "ready"
    attempt: int = 0
    failures: int = 0
    until: float = 0.0
    worker: str = ""
    index: int = 0
    started: float = 0.0
    error: str = ""


@dataclass
class _Worker:
    """``free``: when it last handed an item in."""

    index: int
    seen: float
    free: float = 0.0


class MemoryQueue:
    """Implements WorkerQueue and ServiceQueue. Threads may share it.

    ``clock`` gives Unix seconds. With a ``config`` the queue is open from the start.
    """

    def __init__(self, clock: Callable[[], float], config: Optional[QueueConfig] = None) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._forget()
        if config is not None:
            self.open(config)

    def _forget(self) -> None:
        self._config: Optional[QueueConfig] = None
        self._items: Dict[str, _Item] = {}
        self._ready: List[str] = []
        self._finished: List[ItemResult] = []
        self._dead: List[ItemFailure] = []
        self._failures: List[ItemFailure] = []
        self._workers: Dict[str, _Worker] = {}
        self._reported: Dict[str, Dict[str, float]] = {}
        self._closed = False
        self._stopped = False
        self._limit: Optional[int] = None
        self._next_number = 0
        self._put = self._done = self._taken = self._failed = self._expired = self._released = 0
        self._service = Histogram()
        self._wait = Histogram()

    # The worker's side.

    def take(self, worker: str, index: int, n: int = 1) -> Taken:
        return self.finish_and_take(worker, index, (), n)

    def finish_and_take(self, worker: str, index: int, acks: Sequence[Ack], n: int = 1) -> Taken:
        with self._lock:
            config, now = self._rules(), self._clock()
            info = self._workers.setdefault(worker, _Worker(index, now))
            info.index, info.seen = index, now
            accepted = self._finish(worker, info, acks, config, now)
            draining = self._limit is not None and index >= self._limit
            leases: List[Lease] = []
            if not self._stopped and not draining:
                self._take_expired(worker, index, n, leases, config, now)
                for item in self._due("delayed", now)[: n - len(leases)]:
                    leases.append(self._hand_out(item, worker, index, item.until, config, now))
                while self._ready and len(leases) < n:
                    item = self._items[self._ready.pop(0)]
                    leases.append(self._hand_out(item, worker, index, item.readied, config, now))
            if leases:
                verdict = Verdict.ITEMS
            elif self._stopped:
                verdict = Verdict.STOPPED
            elif self._closed and not any(
                self._at(place) for place in ("ready", "delayed", *(() if draining else ("leased",)))
            ):
                verdict = Verdict.OVER
            elif draining:
                verdict = Verdict.DRAIN
            else:
                verdict = Verdict.WAIT
            return Taken(verdict, tuple(leases), accepted, config.lease)

    def fail(self, worker: str, lease: Lease, error: str, permanent: bool = False) -> bool:
        with self._lock:
            config, now = self._rules(), self._clock()
            item = self._held(worker, lease.id, lease.attempt)
            if item is None:
                return False
            self._failed += 1
            self._free(worker, now)
            if not self._charge(item, error, permanent, config, now):
                item.place = "delayed"
                item.until = now + min(config.backoff_cap, config.backoff_base * 2 ** (item.failures - 1))
            return True

    def release(self, worker: str, leases: Sequence[Lease]) -> int:
        with self._lock:
            self._rules()
            now = self._clock()
            held = [self._held(worker, lease.id, lease.attempt) for lease in leases]
            released = [item for item in held if item is not None]
            self._to_front(released, now)
            self._released += len(released)
            if released:
                self._free(worker, now)
            return len(released)

    def extend(
        self, worker: str, index: int, leases: Sequence[Lease], longest: Optional[float] = None
    ) -> Tuple[Lease, ...]:
        with self._lock:
            config, now = self._rules(), self._clock()
            lost = []
            for lease in leases:
                item = self._held(worker, lease.id, lease.attempt)
                if item is None:
                    lost.append(lease)
                elif longest is not None and now - item.started >= longest:
                    self.fail(worker, lease, f"timed out: not finished {longest:g} s after it was taken")
                    lost.append(lease)
                else:
                    item.until = now + config.lease
            if worker in self._workers:
                self._workers[worker].index = index
                self._workers[worker].seen = now
            return tuple(lost)

    def report(self, worker: str, metrics: Mapping[str, float]) -> None:
        with self._lock:
            self._rules()
            for name, value in metrics.items():
                self._reported.setdefault(name, {})[worker] = float(value)

    # The services' side.

    def open(self, config: QueueConfig) -> None:
        with self._lock:
            self._config = config

    def put(self, items: Sequence[NewItem]) -> int:
        with self._lock:
            self._rules()
            if self._closed or self._stopped:
                raise QueueClosed("the queue takes no more items")
            if any(item.id == "" for item in items):
                raise ValueError("an item's id is not empty")
            now, before = self._clock(), self._put
            for new in items:
                id = new.id
                while id is None or (new.id is None and id in self._items):
                    id = str(self._next_number)
                    self._next_number += 1
                if id not in self._items:
                    self._items[id] = _Item(id, new.payload, now)
                    self._ready.append(id)
                    self._put += 1
            return self._put - before

    def close(self) -> None:
        with self._lock:
            self._rules()
            self._closed = True

    def stop(self) -> None:
        with self._lock:
            self._rules()
            self._stopped = True

    def set_limit(self, limit: Optional[int]) -> None:
        with self._lock:
            self._rules()
            self._limit = limit

    def stats(self) -> QueueStats:
        with self._lock:
            config, now = self._rules(), self._clock()
            leased = self._at("leased")
            ready = [item.readied for item in self._at("ready")]
            return QueueStats(
                at=now,
                put=self._put,
                ready=len(self._ready),
                delayed=len(self._at("delayed")),
                leased=len(leased),
                done=self._done,
                dead=len(self._dead),
                closed=self._closed,
                stopped=self._stopped,
                limit=self._limit,
                taken=self._taken,
                failed=self._failed,
                expired=self._expired,
                released=self._released,
                oldest_ready_wait=now - min(ready) if ready and config.stream else None,
                running=tuple(now - start for start in sorted(item.started for item in leased)[:1000]),
                service=self._service,
                wait=self._wait,
            )

    def sweep(self) -> int:
        with self._lock:
            config, now = self._rules(), self._clock()
            late = self._due("leased", now)
            self._to_front([item for item in late if not self._expire(item, config, now)], now)
            return len(late)

    def busy_from(self, index: int) -> int:
        with self._lock:
            self._rules()
            return sum(item.index >= index for item in self._at("leased"))

    def workers(self) -> List[WorkerInfo]:
        with self._lock:
            self._rules()
            leased = self._at("leased")
            found = [
                WorkerInfo(name, info.index, sum(item.worker == name for item in leased), info.seen)
                for name, info in self._workers.items()
            ]
            return sorted(found, key=lambda info: (info.index, info.name))

    def results(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemResult], int]:
        with self._lock:
            self._rules()
            trimmed = self._done - len(self._finished)
            first = max(cursor, trimmed)
            page = self._finished[first - trimmed : first - trimmed + max(0, count)]
            return page, (first + len(page) if count > 0 else cursor)

    def failures(self, count: int = 100) -> List[ItemFailure]:
        with self._lock:
            self._rules()
            return self._failures[: max(0, count)]

    def dead(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemFailure], int]:
        with self._lock:
            self._rules()
            first = max(0, cursor)
            page = self._dead[first : first + max(0, count)]
            return page, (first + len(page) if count > 0 else cursor)

    def items(self, ids: Iterable[str]) -> List[ItemState]:
        with self._lock:
            self._rules()
            return [
                ItemState(
                    id=item.id,
                    payload=item.payload,
                    place=item.place,
                    attempt=item.attempt,
                    failures=item.failures,
                    worker=item.worker if item.place in ("leased", "done", "dead") else "",
                    error=item.error,
                )
                for item in (self._items[id] for id in ids if id in self._items)
            ]

    def lines(self, place: str, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemLine], int]:
        if place not in PLACES:
            raise ValueError(f"no place of items: {place}")
        with self._lock:
            self._rules()
            if count <= 0:
                return [], cursor
            dropped = self._done - len(self._finished) if place == "done" else 0
            first = max(0, cursor, dropped)
            page = self._lines_at(place)[first - dropped : first - dropped + count]
            return page, max(cursor, first + len(page))

    def reported(self) -> Mapping[str, Mapping[str, float]]:
        with self._lock:
            return {name: dict(values) for name, values in self._reported.items()}

    def purge(self) -> None:
        with self._lock:
            self._forget()

    # Steps; the lock is held.

    def _rules(self) -> QueueConfig:
        if self._config is None:
            raise QueueMissing("the queue is not open")
        return self._config

    def _at(self, place: str) -> List[_Item]:
        return [item for item in self._items.values() if item.place == place]

    def _lines_at(self, place: str) -> List[ItemLine]:
        if place == "done":
            return [
                ItemLine(
                    one.id, place, one.attempt, self._items[one.id].failures, one.worker, one.started, one.finished
                )
                for one in self._finished
            ]
        if place == "dead":
            return [
                ItemLine(one.id, place, one.attempt, self._items[one.id].failures, one.worker, None, one.at, one.error)
                for one in self._dead
            ]
        if place == "ready":
            items = [self._items[id] for id in self._ready]
        else:
            items = sorted(self._at(place), key=lambda item: (item.until, item.id))
        leased = place == "leased"
        return [
            ItemLine(
                item.id,
                place,
                item.attempt,
                item.failures,
                item.worker if leased else "",
                item.started if leased else None,
                None,
                item.error,
            )
            for item in items
        ]

    def _due(self, place: str, now: float) -> List[_Item]:
        late = [item for item in self._at(place) if item.until <= now]
        return sorted(late, key=lambda item: (item.until, item.id))

    def _held(self, worker: str, id: str, attempt: int) -> Optional[_Item]:
        item = self._of(worker, id, attempt)
        return item if item is not None and item.place == "leased" else None

    def _of(self, worker: str, id: str, attempt: int) -> Optional[_Item]:
        """The item, if this is its latest attempt and that worker's."""
        item = self._items.get(id)
        return item if item is not None and (item.attempt, item.worker) == (attempt, worker) else None

    def _free(self, worker: str, now: float) -> None:
        if worker in self._workers:
            self._workers[worker].free = self._workers[worker].seen = now

    def _hand_out(self, item: _Item, worker: str, index: int, readied: float, config: QueueConfig, now: float) -> Lease:
        item.place, item.worker, item.index, item.started = "leased", worker, index, now
        item.attempt += 1
        item.until = now + config.lease
        self._taken += 1
        if config.stream:
            self._wait = observed(self._wait, max(0.0, now - readied))
        return Lease(item.id, item.payload, item.attempt, item.failures)

    def _take_expired(
        self, worker: str, index: int, n: int, leases: List[Lease], config: QueueConfig, now: float
    ) -> None:
        for item in self._due("leased", now):
            if len(leases) == n:
                return
            ended = item.until
            if not self._expire(item, config, now):
                leases.append(self._hand_out(item, worker, index, ended, config, now))

    def _expire(self, item: _Item, config: QueueConfig, now: float) -> bool:
        self._expired += 1
        error = f"lease expired: {item.worker} neither finished the item nor extended its lease in time"
        return self._charge(item, error, False, config, now)

    def _charge(self, item: _Item, error: str, permanent: bool, config: QueueConfig, now: float) -> bool:
        """Count a failure of the item; whether it is dead now."""
        item.failures += 1
        item.error = error = _shortened(error)
        final = permanent or item.failures > config.retries
        failure = ItemFailure(item.id, item.attempt, item.worker, now, error, final)
        self._failures = [failure, *self._failures[: KEPT_FAILURES - 1]]
        if final:
            item.place = "dead"
            self._dead.append(failure)
        return final

    def _to_front(self, items: Sequence[_Item], now: float) -> None:
        for item in items:
            item.place, item.readied = "ready", now
        self._ready[:0] = [item.id for item in items]

    def _finish(
        self, worker: str, info: _Worker, acks: Sequence[Ack], config: QueueConfig, now: float
    ) -> Tuple[bool, ...]:
        accepted, started, buried = [], [], False
        for ack in acks:
            item = self._held(worker, ack.id, ack.attempt)
            size = len(ack.result.encode()) if config.result_limit else 0
            if item is not None and size > config.result_limit:
                problem = (
                    f"result of {size} bytes is over the limit of {config.result_limit}: store it elsewhere (a file,"
                )
                self._charge(item, f"{problem} an object store) and return its address", True, config, now)
                self._failed += 1
                buried = True
            elif item is not None:
                item.place, item.error = "done", ""
                started.append(item.started)
                self._finished.append(ItemResult(item.id, item.attempt, item.worker, item.started, now, ack.result))
            else:
                item = self._of(worker, ack.id, ack.attempt)
            accepted.append(item is not None and item.place == "done")
        if started:
            # What a worker hands in together it has worked off one after the other since it was last free.
            busy = max(0.0, now - max(min(started), info.free))
            self._service = observed(self._service, busy / len(started), len(started))
            self._done += len(started)
            info.free = now
            while config.stream and config.retain and len(self._finished) > config.retain:
                del self._items[self._finished.pop(0).id]
        if buried:
            info.free = now
        return tuple(accepted)


def _shortened(error: str) -> str:
    """The last 16 KiB of it, whole characters."""
    whole = error.encode("utf-8")
    return error if len(whole) <= ERROR_BYTES else "..." + whole[3 - ERROR_BYTES :].decode("utf-8", "ignore")
