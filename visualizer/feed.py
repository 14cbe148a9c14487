"""One look at another service for all who watch: cached for a moment, and the last answer kept through an outage."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.domain.errors import Unavailable
from common.ports import Clock

T = TypeVar("T")


@dataclass(frozen=True)
class Reading(Generic[T]):
    """``value`` as known at ``at`` (Unix seconds); ``problem`` says why it is not fresh, or is missing."""

    value: T | None
    at: float
    problem: str = ""


class _Slot(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reading: Reading[T] | None = None
        self.due = 0.0


class Feed(Generic[T]):
    """Answers by key. One thread asks at a time; the others get what is known instead of waiting.

    ``keys`` bounds how many answers are kept; the ones not asked for longest go first.
    """

    def __init__(self, clock: Clock, ttl: float, keys: int = 256) -> None:
        self._clock = clock
        self._ttl = ttl
        self._keys = keys
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot[T]] = OrderedDict()

    def get(self, key: str, ask: Callable[[], T]) -> Reading[T]:
        """What ``ask`` answers now or answered at most ttl seconds ago.

        When it raises Unavailable the last answer comes with its problem. Other errors pass through.
        """
        slot = self._slot(key)
        known = slot.reading
        if known is not None and self._clock.monotonic() < slot.due:
            return known
        if not slot.lock.acquire(blocking=known is None):
            return known if known is not None else Reading(None, self._clock.now())
        try:
            if slot.reading is not None and self._clock.monotonic() < slot.due:
                return slot.reading
            slot.reading = self._asked(slot.reading, ask)
            slot.due = self._clock.monotonic() + self._ttl
            return slot.reading
        finally:
            slot.lock.release()

    def _asked(self, known: Reading[T] | None, ask: Callable[[], T]) -> Reading[T]:
        try:
            return Reading(ask(), self._clock.now())
        except Unavailable as error:
            if known is None:
                return Reading(None, self._clock.now(), error.message)
            return Reading(known.value, known.at, error.message)

    def _slot(self, key: str) -> _Slot[T]:
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = _Slot()
            self._slots.move_to_end(key)
            while len(self._slots) > self._keys:
                self._slots.popitem(last=False)
            return slot
