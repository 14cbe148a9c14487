"""A clock that stands still until told."""

from __future__ import annotations


class FakeClock:
    """Implements ports.Clock. Sleeping advances it; ``now`` and ``monotonic`` move together."""

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """The wall clock is set forwards or back; the monotonic one does not notice."""
        self._now += seconds
