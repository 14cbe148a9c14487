"""Counted attempts in memory."""

from __future__ import annotations

import threading

from common.domain.errors import Unavailable
from common.ports import Clock


class MemoryAttempts:
    """Implements ports.Attempts. ``down`` makes each call raise Unavailable."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.kept: dict[str, tuple[int, float]] = {}
        self.down = False

    def count(self, name: str, window: float) -> tuple[int, float]:
        with self._lock:
            self._check()
            now = self._clock.monotonic()
            count, until = self.kept.get(name, (0, 0.0))
            if until <= now:
                count, until = 0, now + window
            self.kept[name] = (count + 1, until)
            return count + 1, until - now

    def forgive(self, name: str, attempts: int | None = None) -> None:
        with self._lock:
            self._check()
            if name not in self.kept:
                return
            count, until = self.kept[name]
            left = 0 if attempts is None else count - attempts
            if left <= 0:
                del self.kept[name]
            else:
                self.kept[name] = (left, until)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("Redis does not answer: the test says so")
