"""Time, injected. Wall time stamps objects; monotonic time drives timers."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the local cluster reads the time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never steps back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never steps back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; for tests."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """The same line as ``now``."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both lines forward."""
        self._now += seconds
