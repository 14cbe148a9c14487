"""The cluster's capacity: replicas that find no room wait for it in order of their request, as pods do."""

from __future__ import annotations

from collections.abc import Callable


class Room:
    """Room for ``capacity`` replicas of all submissions together; None: without limit."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.used = 0
        self.most_used = 0
        self._waiting: dict[int, Callable[[], None]] = {}
        self._number = 0

    def ask(self, place: Callable[[], None]) -> int:
        """Call ``place`` as soon as there is room. The answer is a ticket to withdraw with."""
        self._number += 1
        self._waiting[self._number] = place
        self._fill()
        return self._number

    def withdraw(self, ticket: int) -> bool:
        """Stop waiting; False when the room was given already."""
        return self._waiting.pop(ticket, None) is not None

    def leave(self) -> None:
        """Give a place back."""
        self.used -= 1
        self._fill()

    def _fill(self) -> None:
        while self._waiting and (self.capacity is None or self.used < self.capacity):
            place = self._waiting.pop(next(iter(self._waiting)))
            self.used += 1
            self.most_used = max(self.most_used, self.used)
            place()
