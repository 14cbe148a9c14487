"""Which addresses of a Docker network the pods get. Pure.

The engine gives addresses from the network's range to everybody else. Pods get fixed ones from the rest, since a pod's
address has to be known before its first container starts (``status.podIP`` in its environment) and has to stay when
that is started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from localcluster.errors import ConfigError

_LEAST = 6


@dataclass(frozen=True)
class NetworkFacts:
    """What the engine says of a network. ``range`` is where it takes dynamic addresses from; '' for anywhere."""

    name: str
    subnet: str
    range: str = ""
    gateway: str = ""
    used: tuple[str, ...] = ()


def pod_networks(network: NetworkFacts) -> tuple[tuple[IPv4Network, ...], tuple[str, ...]]:
    """The networks to take pods' addresses from, and addresses in them that are not free. Raises ConfigError."""
    try:
        subnet = ip_network(network.subnet)
    except ValueError as error:
        raise ConfigError(f"the Docker network {network.name} has no subnet: {network.subnet!r}") from error
    if not isinstance(subnet, IPv4Network):
        raise ConfigError(f"the Docker network {network.name} has no IPv4 subnet: {network.subnet}")
    rest: tuple[IPv4Network, ...] = (subnet,)
    if network.range and network.range != network.subnet:
        rest = tuple(subnet.address_exclude(IPv4Network(network.range)))
    if sum(part.num_addresses for part in rest) < _LEAST:
        raise ConfigError(
            f"the Docker network {network.name} leaves no addresses to pods: its ip-range {network.range} should be a "
            f"part of its subnet {network.subnet}"
        )
    edges = (str(subnet.network_address), str(subnet.broadcast_address), network.gateway, *network.used)
    return rest, tuple(address for address in edges if address)
