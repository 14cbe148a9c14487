"""The injected clock: what happens next, in order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any


class Order(IntEnum):
    """Who comes first among events of the same moment: the world, then who looks at it, then who decides."""

    WORLD = 0
    MEASURE = 1
    DECIDE = 2


class Timeline:
    """Events by time (s). ``now`` moves only by running them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, time: float, order: Order, action: Callable[..., None], *arguments: Any) -> None:
        """Have ``action`` called at ``time``, or now when that is past."""
        self._number += 1
        heapq.heappush(self._events, (max(time, self.now), order, self._number, action, arguments))

    def run(self, until: float = math.inf) -> None:
        """Run events until there is none or the next lies beyond ``until``."""
        events = self._events
        while events:
            if events[0][0] > until:
                self.now = until
                return
            self.now, _, _, action, arguments = heapq.heappop(events)
            action(*arguments)
