"""What a modelled replica holds. As a real worker it takes short items by the handful: all of them are leased, but one
at a time is in work. How many it takes is told by the worker's own pace. Times in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from asperathos_worker.pace import Pace


class Hand:
    """Leases that were taken together: ``unstarted`` (item, since when it could have been taken), ``current`` and
    ``finished``, whose results the queue does not know yet."""

    __slots__ = ("_begun", "_most", "_pace", "current", "finished", "finished_at", "free_at", "taken_at", "unstarted")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pace = Pace()
        self._begun = 0
        self.unstarted: deque[tuple[int, float]] = deque()
        self.current: int | None = None
        self.finished: list[int] = []
        self.taken_at = -math.inf
        self.finished_at = -math.inf
        """When the first of ``finished`` was."""
        self.free_at = -math.inf
        """When the queue last heard that an item of these has ended."""

    @property
    def quantity(self) -> int:
        """How many to take next."""
        return self._pace.quantity

    @property
    def leases(self) -> int:
        """How many items are leased to it."""
        return len(self.unstarted) + (self.current is not None) + len(self.finished)

    def take(self, items: Iterable[tuple[int, float]], now: float) -> None:
        """A new handful; the old one has ended."""
        self.unstarted.extend(items)
        self.taken_at, self._begun = now, 0

    def start(self) -> tuple[int, float]:
        """The next item goes into work: the item, and since when it could have been taken."""
        item, since = self.unstarted.popleft()
        self.current = item
        self._begun += 1
        return item, since

    def finish(self, now: float) -> bool:
        """The current item is done; whether it is the first that the queue does not know of."""
        assert self.current is not None
        self.finished.append(self.current)
        self.current = None
        if len(self.finished) == 1:
            self.finished_at = now
        return len(self.finished) == 1

    def acknowledge(self, now: float) -> tuple[float, int]:
        """The queue learns of what is finished: what it makes of an item's time, and of how many."""
        number = len(self.finished)
        each = (now - max(self.taken_at, self.free_at)) / max(1, number)
        self.finished.clear()
        self.free_at = now
        return each, number

    def ended(self, now: float) -> None:
        """The handful has ended: learn how many to take next."""
        if self._begun:
            self._pace = self._pace.observed(now - self.taken_at, self._begun, self._most)
            self._begun = 0

    def drop_unstarted(self, now: float) -> list[int]:
        """The items not begun yet, to be handed back."""
        dropped = [item for item, _ in self.unstarted]
        self.unstarted.clear()
        self.free_at = now
        return dropped

    def drop(self) -> list[int]:
        """All that is leased, to be handed back or lost: what is finished, in work, not begun."""
        dropped = [*self.finished, *([] if self.current is None else [self.current]), *(i for i, _ in self.unstarted)]
        self.finished.clear()
        self.unstarted.clear()
        self.current = None
        return dropped
