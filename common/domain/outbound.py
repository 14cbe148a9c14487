"""Where addresses that users name may lead: to which hosts and networks. Pure.

A rule is ``loopback``, ``link-local``, ``private``, a network (``10.0.0.0/8``), an address, or a host's name
(``data.example.com``, ``*.example.com``). What is allowed is allowed though it is denied as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator

Address = IPv4Address | IPv6Address
_WORDS = frozenset({"loopback", "link-local", "private"})
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?|\*")
_METADATA = (ip_address("fd00:ec2::254"), ip_address("100.100.100.200"), ip_address("fd20:ce::254"))
"""Where clouds tell machines their secrets, beside 169.254.169.254."""
_NAT64 = IPv6Network("64:ff9b::/96")
ELSEWHERE_ONLY = ("loopback", "link-local")
"""What is denied unless told otherwise, where users log in: this machine, and what clouds tell machines."""


def checked_rule(rule: str) -> str:
    """A rule as it is kept. Raises ValueError."""
    rule = rule.strip().lower()
    if rule in _WORDS or _NAME.fullmatch(rule):
        return rule
    try:
        ip_network(rule, strict=False)
    except ValueError as error:
        raise ValueError(
            f"{rule!r} must be loopback, link-local, private, a network, an address or a host's name (* at its start)"
        ) from error
    return rule


Rule = Annotated[str, AfterValidator(checked_rule)]


@dataclass(frozen=True)
class Outbound:
    """What is allowed and denied; everything else is allowed."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()

    def refuses_name(self, host: str) -> bool:
        """Whether that is plain from the host as it is written: its name or address."""
        address = _address(host)
        if address is not None:
            return self.refuses(host, address)
        return not _names(host, self.allow) and _names(host, self.deny)

    def refuses(self, host: str, address: Address) -> bool:
        """Whether nobody may be led to this address, which the host has."""
        forms = _forms(address)
        if _names(host, self.allow) or _holds(forms, self.allow):
            return False
        return _names(host, self.deny) or _holds(forms, self.deny)


def without_credentials(url: str) -> str:
    """The URL as it may be shown: no user, password or query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "(not a URL)"
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


def _address(host: str) -> Address | None:
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _names(host: str, rules: Iterable[str]) -> bool:
    name = host.rstrip(".").lower()
    return any(fnmatchcase(name, rule) for rule in rules if rule not in _WORDS and "/" not in rule)


def _forms(address: Address) -> list[Address]:
    """The address, and the IPv4 address that it is another way to write, or leads to."""
    forms = [address]
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and (address in _NAT64 or int(address) < 2**32):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not address.is_loopback:
            forms.append(inner)
    return forms


def _holds(forms: Iterable[Address], rules: Iterable[str]) -> bool:
    return any(_is_in(address, rule) for address in forms for rule in rules)


def _is_in(address: Address, rule: str) -> bool:
    if rule == "loopback":
        # Whoever connects to the unspecified address reaches this machine.
        return address.is_loopback or address.is_unspecified
    if rule == "link-local":
        return address.is_link_local or address.is_multicast or address in _METADATA
    if rule == "private":
        return address.is_private
    try:
        return address in ip_network(rule, strict=False)
    except ValueError:
        return False
