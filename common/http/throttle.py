"""How often a password may be tried: by user and address, by address, and by user from anywhere."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from common.domain.credentials import digest
from common.domain.errors import TooManyRequests
from common.ports import Attempts

_IPV6_SITE = 64
"""Whoever has one IPv6 address has all of its network."""


@dataclass(frozen=True)
class Limits:
    """Wrong passwords within ``window`` seconds after the first. ``user`` bounds guessing from many addresses; it is
    high, since by it a stranger can keep a user from logging in with a password (never with a token)."""

    window: float = 300.0
    pair: int = 10
    address: int = 50
    user: int = 100


class Throttle:
    """Counts an attempt before it is looked at, so that many at once are not more than one after another."""

    def __init__(self, attempts: Attempts, limits: Limits | None = None) -> None:
        self._attempts = attempts
        self._limits = limits or Limits()

    def begin(self, user: str, address: str) -> None:
        """Count an attempt. Raises TooManyRequests, and Unavailable."""
        # The address first: what is refused for it leaves no trace of the names it tries.
        for name, most in self._counters(user, address):
            count, left = self._attempts.count(name, self._limits.window)
            if count > most:
                raise TooManyRequests(f"too many failed logins: try again in {max(1, round(left))} s", left)

    def succeeded(self, user: str, address: str) -> None:
        """The attempt was none at guessing."""
        place, pair, everywhere = (name for name, _ in self._counters(user, address))
        self._attempts.forgive(pair)
        self._attempts.forgive(place, 1)
        self._attempts.forgive(everywhere, 1)

    def _counters(self, user: str, address: str) -> tuple[tuple[str, int], ...]:
        place, name = digest(site(address))[:32], digest(user)[:32]
        limits = self._limits
        return (f"at:{place}", limits.address), (f"as:{name}:{place}", limits.pair), (f"as:{name}", limits.user)


def site(address: str) -> str:
    """What one party has of addresses: an IPv4 address, an IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_SITE), strict=False))
    return str(found)
