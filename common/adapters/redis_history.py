"""Bounded histories (decisions, events), kept texts (pod logs) and metric series in Redis."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import redis
from pydantic import BaseModel

from common.adapters import redis_keys
from common.adapters.redis_client import translated
from common.domain.errors import Unavailable
from common.domain.metrics import Measurement, Point
from common.logging import get_logger

M = TypeVar("M", bound=BaseModel)
log = get_logger(__name__)
_PAGE = 2000
_CLOCKS_APART = 60.0
"""Most seconds that the clocks of who measures and of Redis may differ."""


class RedisJournal:
    """Implements ports.Journal on Redis streams of about ``bound`` entries."""

    def __init__(self, client: redis.Redis, bound: int = 5000) -> None:
        self._client = client
        self._bound = bound

    def append(self, stream: str, id: str, entry: BaseModel) -> None:
        with translated():
            self._client.xadd(
                redis_keys.journal(stream, id), {"d": entry.model_dump_json()}, maxlen=self._bound, approximate=True
            )

    def read(self, stream: str, id: str, model: type[M], count: int = 1000) -> list[M]:
        with translated():
            entries: Any = self._client.xrevrange(redis_keys.journal(stream, id), count=count)
        return [model.model_validate_json(fields["d"]) for _, fields in reversed(entries)]

    def expire(self, stream: str, id: str, ttl: float) -> None:
        with translated():
            self._client.pexpire(redis_keys.journal(stream, id), max(1, int(ttl * 1000)))


class RedisTexts:
    """Implements ports.Texts: at most ``names`` texts of ``limit`` characters a submission."""

    def __init__(self, client: redis.Redis, limit: int = 262_144, names: int = 500) -> None:
        self._client = client
        self._limit = limit
        self._names = names

    def put(self, id: str, name: str, text: str) -> None:
        key = redis_keys.text(id)
        with translated():
            if self._client.hlen(key) < self._names or self._client.hexists(key, name):
                self._client.hset(key, name, text[-self._limit :])

    def get(self, id: str) -> dict[str, str]:
        with translated():
            kept: Any = self._client.hgetall(redis_keys.text(id))
        return dict(kept)

    def names(self, id: str) -> list[str]:
        with translated():
            return sorted(str(name) for name in self._client.hkeys(redis_keys.text(id)))

    def expire(self, id: str, ttl: float) -> None:
        with translated():
            self._client.pexpire(redis_keys.text(id), max(1, int(ttl * 1000)))

    def delete(self, id: str) -> None:
        with translated():
            self._client.delete(redis_keys.text(id))


class RedisMetrics:
    """Implements ports.MetricStore on one stream a submission, of about ``bound`` moments, for ``keep`` seconds.

    Points of one moment share an entry: ``t`` Unix seconds, ``d`` JSON of measurement -> field -> value. While Redis is
    away up to ``buffer`` points wait in memory for the next write; the oldest are lost beyond that.
    """

    def __init__(
        self, client: redis.Redis, bound: int = 100_000, keep: float = 30 * 86400.0, buffer: int = 20_000
    ) -> None:
        self._client = client
        self._bound = bound
        self._keep = keep
        self._waiting: deque[Point] = deque(maxlen=buffer)
        self._lock = threading.Lock()

    def write(self, points: Sequence[Point]) -> None:
        with self._lock:
            points = [*self._waiting, *points]
            self._waiting.clear()
        if not points:
            return
        try:
            self._write(points)
        except Unavailable as error:
            with self._lock:
                kept = [*points, *self._waiting]
                self._waiting.clear()
                self._waiting.extend(kept)
                lost = len(kept) - len(self._waiting)
            log.warning("metrics_delayed", points=len(points), lost=lost, error=error.message)

    def read(self, submission: str, measurement: Measurement, since: float = 0.0) -> list[Point]:
        return self.read_several(submission, (measurement,), since)[measurement.name]

    def read_several(
        self, submission: str, measurements: Sequence[Measurement], since: float = 0.0
    ) -> dict[str, list[Point]]:
        names = [measurement.name for measurement in measurements]
        # By time, so that an entry whose writing was repeated is one, and one that was written in parts.
        moments: dict[float, dict[str, dict[str, float]]] = {}
        for entry in self._entries(submission, since):
            at, measured = float(entry["t"]), json.loads(entry["d"])
            if at > since:
                moments.setdefault(at, {}).update((name, measured[name]) for name in names if name in measured)
        ordered = sorted(moments.items())
        return {
            name: [Point(name, submission, at, measured[name]) for at, measured in ordered if name in measured]
            for name in names
        }

    def _entries(self, submission: str, since: float) -> Iterator[dict[str, str]]:
        """Page by page: Redis serves nobody else meanwhile."""
        # An entry's own time is that of its writing, not before that of its measurement but for the clocks' difference.
        first = "-" if since <= _CLOCKS_APART else str(int((since - _CLOCKS_APART) * 1000))
        while True:
            with translated():
                page: Any = self._client.xrange(redis_keys.metrics(submission), min=first, count=_PAGE)
            for _, entry in page:
                yield entry
            if len(page) < _PAGE:
                return
            first = f"({page[-1][0]}"

    def expire(self, submission: str, ttl: float) -> None:
        with translated():
            self._client.pexpire(redis_keys.metrics(submission), max(1, int(ttl * 1000)))

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - the client has a timeout of its own
        self.write([])
        with self._lock:
            return not self._waiting

    def close(self, timeout: float) -> None:
        self.flush(timeout)

    def _write(self, points: Sequence[Point]) -> None:
        moments: dict[tuple[str, float], dict[str, dict[str, float]]] = {}
        for point in points:
            moments.setdefault((point.submission, point.at), {})[point.measurement] = point.fields
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for (submission, at), measured in moments.items():
                key = redis_keys.metrics(submission)
                entry: Any = {"t": repr(at), "d": json.dumps(measured, separators=(",", ":"))}
                pipeline.xadd(key, entry, maxlen=self._bound, approximate=True)
                pipeline.pexpire(key, int(self._keep * 1000))
            pipeline.execute()
