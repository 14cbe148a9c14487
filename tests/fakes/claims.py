"""Claims in memory."""

from __future__ import annotations

import threading

from common.domain.errors import Unavailable
from common.ports import Clock
from tests.fakes.clock import FakeClock


class MemoryClaims:
    """Implements ports.Claims. ``down`` makes each call raise Unavailable; ``taken`` counts the claims made."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or FakeClock()
        self.down = False
        self.taken = 0
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}

    def claim(self, name: str, value: str, ttl: float) -> str:
        with self._lock:
            held = self._held(name)
            if held is None:
                self._kept[name] = (value, self.clock.now() + ttl)
                self.taken += 1
                return value
            return held

    def held(self, name: str) -> str | None:
        with self._lock:
            return self._held(name)

    def drop(self, name: str) -> None:
        with self._lock:
            self._held(name)
            self._kept.pop(name, None)

    def _held(self, name: str) -> str | None:
        if self.down:
            raise Unavailable("Redis does not answer: the test says so")
        value, until = self._kept.get(name, ("", 0.0))
        return value if until > self.clock.now() else None
