"""Pod addresses: every pod has its own loopback address in 127.64.0.0/10, so that two pods may bind the same port."""

from __future__ import annotations

from ipaddress import IPv4Address

_FIRST = int(IPv4Address("127.64.0.1"))
_COUNT = 2**22 - 2


class AddressPool:
    """Hands out addresses round robin from a start that differs between clusters on one machine."""

    def __init__(self, seed: int) -> None:
        self._next = seed % _COUNT
        self._taken: dict[str, int] = {}

    def take(self, owner: str) -> str:
        """The owner's address; the same for each call until it is given back."""
        known = self._taken.get(owner)
        if known is None:
            used = set(self._taken.values())
            while self._next in used:
                self._next = (self._next + 1) % _COUNT
            known = self._taken[owner] = self._next
            self._next = (self._next + 1) % _COUNT
        return str(IPv4Address(_FIRST + known))

    def give_back(self, owner: str) -> None:
        """The owner needs its address no more."""
        self._taken.pop(owner, None)
