"""The only place of this package that reads a clock or draws random numbers."""

from __future__ import annotations

import random
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the worker sees it: a monotonic reading, and waits that an event ends early. All in seconds."""

    def now(self) -> float:
        """A monotonic reading, good for differences only."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set (True) or the time is over (False)."""

    def jitter(self) -> float:
        """A random number in [0.5, 1), to keep workers from asking in step."""


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    def jitter(self) -> float:
        return 0.5 + random.random() / 2


class ManualClock:
    """A clock that moves only when told to, or when somebody waits on it. For tests and in-memory runs."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        self._now += seconds
        return False

    def jitter(self) -> float:
        return 1.0


def timestamp() -> str:
    """The time of day in UTC, to the millisecond, as in 2026-01-31T12:00:00.000Z."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
