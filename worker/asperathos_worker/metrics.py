"""Application metrics on their way to the queue: the last value of each name, sent at most once a second."""

from __future__ import annotations

import math
import threading
from typing import Callable, Dict, Optional

from .clock import Clock

INTERVAL = 1.0
"""Seconds between two reports to the queue, however often the handler reports."""

NAMES = 64
"""Most different names one worker may report."""


class Metrics:
    """Collects what handlers report. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self.woken: Callable[[], None] = lambda: None
        """Called when there is something to send again."""
        self._clock = clock
        self._lock = threading.Lock()
        self._values: Dict[str, float] = {}
        self._names: Dict[str, None] = {}
        self._sent = -math.inf

    def put(self, name: str, value: float) -> None:
        """Keep the value. Raises ValueError for a name or value that cannot be kept, naming what is wrong."""
        if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
            raise ValueError(f"metric name must be 1 to 100 printable characters, not {name!r}")
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"metric {name} must be a number, not {value!r}") from error
        if not math.isfinite(number):
            # A loss that diverged is news, not an error of the item; but it cannot be controlled or drawn.
            return
        with self._lock:
            if name not in self._names and len(self._names) >= NAMES:
                raise ValueError(f"more than {NAMES} different metrics: {name!r} is one too many")
            self._names[name] = None
            first = not self._values
            self._values[name] = number
        if first:
            self.woken()

    def due(self) -> Optional[float]:
        """When the values should be sent; None when there are none."""
        with self._lock:
            return self._sent + INTERVAL if self._values else None

    def take(self) -> Dict[str, float]:
        """The values to be sent now."""
        with self._lock:
            values, self._values = self._values, {}
            self._sent = self._clock.now()
            return values

    def give_back(self, values: Dict[str, float]) -> None:
        """They did not get through: keep them unless there are newer ones."""
        with self._lock:
            self._values = {**values, **self._values}
