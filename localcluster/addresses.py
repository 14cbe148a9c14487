"""Pod addresses: every pod has its own, so that two pods may bind the same port."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, ip_address

from localcluster.errors import LocalClusterError

LOOPBACK = (IPv4Network("127.64.0.0/10"),)
"""For pods that are processes of this machine. (Linux: all of 127/8 is local.)"""


class NoAddress(LocalClusterError):
    """Every address of the pods' networks is taken."""


class AddressPool:
    """Hands out addresses of some networks round robin, from a start that differs between clusters on one machine.

    The first and last address of each network and those ``reserved`` are never handed out.
    """

    def __init__(self, seed: int, networks: Sequence[IPv4Network] = LOOPBACK, reserved: Collection[str] = ()) -> None:
        self._networks = tuple(network for network in networks if network.num_addresses > 2)
        self._count = sum(network.num_addresses - 2 for network in self._networks)
        self._next = seed % max(self._count, 1)
        self._reserved = frozenset(reserved)
        self._taken: dict[str, str] = {}

    def take(self, owner: str) -> str:
        """The owner's address; the same for each call until it is given back. Raises NoAddress."""
        known = self._taken.get(owner)
        if known is None:
            used = self._reserved.union(self._taken.values())
            for _ in range(min(self._count, len(used) + 1)):
                known = self._address(self._next)
                self._next = (self._next + 1) % self._count
                if known not in used:
                    self._taken[owner] = known
                    return known
            raise NoAddress("the pods' network has no free address left")
        return known

    def give_back(self, owner: str) -> None:
        """The owner needs its address no more."""
        self._taken.pop(owner, None)

    def _address(self, number: int) -> str:
        for network in self._networks:
            if number < network.num_addresses - 2:
                return str(ip_address(int(network.network_address) + 1 + number))
            number -= network.num_addresses - 2
        raise IndexError(number)
