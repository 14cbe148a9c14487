"""Records, journals, texts, leases, nudges and metrics in memory. ``down`` makes each raise Unavailable."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel

from common.domain.errors import Conflict, Unavailable
from common.domain.metrics import Measurement, Point
from common.ports import Clock, Versioned
from tests.fakes.clock import FakeClock

M = TypeVar("M", bound=BaseModel)


class _Store:
    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or FakeClock()
        self.down = False
        self._lock = threading.RLock()

    def _check(self) -> None:
        if self.down:
            raise Unavailable("Redis does not answer: the test says so")


class MemoryRecords(_Store, Generic[M]):
    """Implements ports.Records; ``ttls`` tells which records were given a time to live (seconds)."""

    def __init__(self, active: Callable[[M], bool] = lambda _: False, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._active = active
        self._kept: dict[str, Versioned[M]] = {}
        self._attachments: dict[str, str] = {}
        self._expiry: dict[str, float] = {}
        self.ttls: dict[str, float] = {}
        self.writes = 0

    def get(self, id: str) -> Versioned[M] | None:
        with self._lock:
            self._check()
            self._expire()
            return self._kept.get(id)

    def create(self, id: str, value: M, attachment: str = "") -> int:
        with self._lock:
            if self.get(id) is not None:
                raise Conflict(f"{id} is taken")
            self._attachments[id] = attachment
            return self._store(id, value, 0, None)

    def attachment(self, id: str) -> str:
        with self._lock:
            return self._attachments.get(id, "") if self.get(id) is not None else ""

    def update(self, id: str, value: M, version: int, ttl: float | None = None) -> int:
        with self._lock:
            present = self.get(id)
            if present is None or present.version != version:
                raise Conflict(f"{id} was changed meanwhile")
            return self._store(id, value, version, ttl)

    def put(self, id: str, value: M) -> int:
        with self._lock:
            present = self.get(id)
            return self._store(id, value, present.version if present else 0, None)

    def delete(self, id: str) -> bool:
        with self._lock:
            self._check()
            self._expire()
            self._expiry.pop(id, None)
            self._attachments.pop(id, None)
            return self._kept.pop(id, None) is not None

    def ids(self) -> list[str]:
        with self._lock:
            self._check()
            self._expire()
            return list(self._kept)

    def active_ids(self) -> list[str]:
        with self._lock:
            return sorted(id for id in self.ids() if self._active(self._kept[id].value))

    def all(self, ids: Sequence[str] | None = None) -> dict[str, M]:
        with self._lock:
            wanted = self.ids() if ids is None else ids
            return {id: self._kept[id].value for id in wanted if id in self._kept}

    def _store(self, id: str, value: M, version: int, ttl: float | None) -> int:
        self._check()
        # Through JSON as in the real store, so that a value that does not survive it fails here too.
        copy = type(value).model_validate_json(value.model_dump_json())
        self._kept[id] = Versioned(copy, version + 1)
        self._expiry.pop(id, None)
        self.ttls.pop(id, None)
        if ttl is not None:
            self._expiry[id] = self.clock.now() + ttl
            self.ttls[id] = ttl
        self.writes += 1
        return version + 1

    def _expire(self) -> None:
        now = self.clock.now()
        for id in [id for id, at in self._expiry.items() if at <= now]:
            del self._expiry[id]
            self._kept.pop(id, None)


class MemoryBoard(_Store, Generic[M]):
    """Implements ports.Board."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._boards: dict[str, dict[str, M]] = defaultdict(dict)

    def exchange(self, name: str, id: str, entry: M) -> dict[str, M]:
        with self._lock:
            self.put(name, id, entry)
            return self.entries(name)

    def put(self, name: str, id: str, entry: M) -> None:
        with self._lock:
            self._check()
            self._boards[name][id] = type(entry).model_validate_json(entry.model_dump_json())

    def entries(self, name: str) -> dict[str, M]:
        with self._lock:
            self._check()
            return dict(self._boards[name])

    def drop(self, name: str, id: str) -> None:
        with self._lock:
            self._check()
            self._boards[name].pop(id, None)


class MemoryJournal(_Store):
    """Implements ports.Journal."""

    def __init__(self, bound: int = 5000, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._bound = bound
        self._entries: dict[tuple[str, str], deque[str]] = defaultdict(lambda: deque(maxlen=self._bound))
        self.ttls: dict[tuple[str, str], float] = {}

    def append(self, stream: str, id: str, entry: BaseModel) -> None:
        with self._lock:
            self._check()
            self._entries[stream, id].append(entry.model_dump_json())

    def read(self, stream: str, id: str, model: type[M], count: int = 1000) -> list[M]:
        with self._lock:
            self._check()
            return [model.model_validate_json(entry) for entry in list(self._entries[stream, id])[-count:]]

    def expire(self, stream: str, id: str, ttl: float) -> None:
        with self._lock:
            self._check()
            self.ttls[stream, id] = ttl


class MemoryTexts(_Store):
    """Implements ports.Texts."""

    def __init__(self, limit: int = 262_144, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._limit = limit
        self._kept: dict[str, dict[str, str]] = defaultdict(dict)
        self.ttls: dict[str, float] = {}

    def put(self, id: str, name: str, text: str) -> None:
        with self._lock:
            self._check()
            self._kept[id][name] = text[-self._limit :]

    def get(self, id: str) -> dict[str, str]:
        with self._lock:
            self._check()
            return dict(self._kept.get(id, {}))

    def names(self, id: str) -> list[str]:
        with self._lock:
            self._check()
            return sorted(self._kept.get(id, {}))

    def expire(self, id: str, ttl: float) -> None:
        with self._lock:
            self._check()
            self.ttls[id] = ttl

    def delete(self, id: str) -> None:
        with self._lock:
            self._check()
            self._kept.pop(id, None)


class MemoryLeases(_Store):
    """Implements ports.Leases."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._held: dict[str, tuple[str, float]] = {}
        self._fences: dict[str, int] = defaultdict(int)

    def hold(self, name: str, owner: str, ttl: float) -> int | None:
        with self._lock:
            self._check()
            now = self.clock.monotonic()
            holder, until = self._held.get(name, ("", 0.0))
            held = until > now
            if held and holder != owner:
                return None
            if not held:
                self._fences[name] += 1
            self._held[name] = (owner, now + ttl)
            return self._fences[name]

    def release(self, name: str, owner: str) -> None:
        with self._lock:
            self._check()
            if self._held.get(name, ("", 0.0))[0] == owner:
                del self._held[name]


class MemoryWakeups(_Store):
    """Implements ports.Wakeups; ``sent`` keeps what was notified. Waiting advances a fake clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.sent: list[tuple[str, str]] = []
        self._waiting: dict[str, deque[str]] = defaultdict(deque)

    def notify(self, service: str, id: str) -> None:
        with self._lock:
            self.sent.append((service, id))
            self._waiting[service].append(id)

    def wait(self, service: str, timeout: float) -> str | None:
        with self._lock:
            self._check()
            if self._waiting[service]:
                return self._waiting[service].popleft()
        self.clock.sleep(timeout)
        return None


class MemoryMetrics(_Store):
    """Implements ports.MetricStore."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.points: list[Point] = []
        self.ttls: dict[str, float] = {}

    def write(self, points: Sequence[Point]) -> None:
        with self._lock:
            if not self.down:
                self.points.extend(points)

    def read(self, submission: str, measurement: Measurement, since: float = 0.0) -> list[Point]:
        with self._lock:
            self._check()
            return [
                point
                for point in self.points
                if (point.submission, point.measurement) == (submission, measurement.name) and point.at > since
            ]

    def read_several(
        self, submission: str, measurements: Sequence[Measurement], since: float = 0.0
    ) -> dict[str, list[Point]]:
        return {measurement.name: self.read(submission, measurement, since) for measurement in measurements}

    def expire(self, submission: str, ttl: float) -> None:
        with self._lock:
            self._check()
            self.ttls[submission] = ttl

    def flush(self, timeout: float) -> bool:
        return not self.down

    def close(self, timeout: float) -> None:
        self.flush(timeout)
