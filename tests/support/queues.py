"""Work queues whose clock a test moves: the in-memory fake, and the real one over both of its transports."""

from __future__ import annotations

import itertools
from typing import Protocol

import redis
from asperathos_worker.queue.api import ServiceQueue, WorkerQueue
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.redis_queue import RedisQueue
from asperathos_worker.queue.scripts import prefix_of

_numbers = itertools.count()


class Queue(ServiceQueue, WorkerQueue, Protocol):
    """Both sides."""


class MemoryWorld:
    """A MemoryQueue and its clock, which goes on by a microsecond with each look at it, as a real one does."""

    def __init__(self) -> None:
        self._microseconds = 1_700_000_000_000_000
        self.queue: Queue = MemoryQueue(self._look)

    def _look(self) -> float:
        self._microseconds += 1
        return self._microseconds / 1e6

    def advance(self, seconds: float) -> None:
        self._microseconds += round(seconds * 1e6)

    def close(self) -> None:
        pass


class RedisWorld:
    """A RedisQueue under a name of its own; time is moved through the config field that only tests write."""

    def __init__(self, url: str, kind: str = "wire") -> None:
        self.submission = f"world-{next(_numbers)}"
        self._client = redis.Redis.from_url(url, decode_responses=kind == "decoding-client")
        self._own = RedisQueue.connect(url, self.submission) if kind == "wire" else None
        self.queue: Queue = self._own or RedisQueue(self._client, self.submission)

    def advance(self, seconds: float) -> None:
        config = prefix_of(self.submission) + "config"
        self._client.hincrby(config, "clock_shift_for_tests", round(seconds * 1_000_000))

    def keys(self) -> set[str]:
        pattern = prefix_of(self.submission) + "*"
        return {key.decode() if isinstance(key, bytes) else key for key in self._client.scan_iter(pattern)}

    def close(self) -> None:
        self.queue.purge()
        if self._own is not None:
            self._own.disconnect()
        self._client.close()
