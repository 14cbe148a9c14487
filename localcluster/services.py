"""Services: their addresses, and where connections to them go. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from localcluster.objects import Obj, dig, is_condition_true, is_deleting, labels_of, name_of, namespace_of

HEADLESS = "None"
NETWORK = IPv4Network("127.128.0.0/10")
"""Loopback addresses of Services; those of pods are 127.64.0.0/10."""
Address = tuple[str, int]
Routes = dict[Address, tuple[Address, ...]]


@dataclass(frozen=True)
class ServiceNetwork:
    """Gives Services their addresses, from a start that differs between clusters on one machine.

    Without a ``seed`` there are none: Services are headless, and their pods are found by other means.
    """

    seed: int | None = None

    def allot(self, taken: Iterable[str]) -> str:
        """An address that is not taken, or ``None`` as Kubernetes writes it."""
        if self.seed is None:
            return HEADLESS
        used = set(taken)
        hosts = NETWORK.num_addresses - 2
        offers = (str(NETWORK[1 + (self.seed + step) % hosts]) for step in range(hosts))
        # There are four million of them.
        return next(address for address in offers if address not in used)

    def problem(self, address: str, taken: Iterable[str]) -> str:
        """Why a Service cannot have the address it asks for; '' when it can."""
        if address == HEADLESS:
            return ""
        if self.seed is None:
            return "this cluster's Services have no addresses of their own: leave it out, or say None"
        try:
            known = IPv4Address(address) in NETWORK
        except AddressValueError:
            known = False
        if not known:
            return f"failed to allocate IP {address}: the provided network does not match the current range {NETWORK}"
        return f"failed to allocate IP {address}: provided IP is already allocated" if address in set(taken) else ""


def names_of(service: Obj) -> tuple[str, ...]:
    """The names under which pods would look for it, where names are resolved."""
    name, namespace = name_of(service), namespace_of(service)
    return name, f"{name}.{namespace}", f"{name}.{namespace}.svc"


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the pod is one of the Service's. A Service without a selector has none."""
    wanted = dig(service, "spec", "selector") or {}
    labels = labels_of(pod)
    return (
        bool(wanted)
        and namespace_of(service) == namespace_of(pod)
        and all(labels.get(key) == value for key, value in wanted.items())
    )


def routes(services: Iterable[Obj], pods: Iterable[Obj]) -> Routes:
    """Which pods' ports answer at which Service's; a port without a ready pod is left out."""
    ready = [pod for pod in pods if _is_ready(pod)]
    found: Routes = {}
    for service in services:
        address = str(dig(service, "spec", "clusterIP") or HEADLESS)
        if address == HEADLESS or is_deleting(service):
            continue
        chosen = [pod for pod in ready if selects(service, pod)]
        for port in dig(service, "spec", "ports") or []:
            if port.get("protocol", "TCP") != "TCP":
                continue
            targets = ((str(dig(pod, "status", "podIP")), _target(port, pod)) for pod in chosen)
            behind = tuple((ip, number) for ip, number in targets if number is not None)
            if behind:
                found[address, int(port["port"])] = behind
    return found


def _is_ready(pod: Obj) -> bool:
    return is_condition_true(pod, "Ready") and not is_deleting(pod) and bool(dig(pod, "status", "podIP"))


def _target(port: Obj, pod: Obj) -> int | None:
    """The number of a Service's target port, which may name a container's."""
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    for container in dig(pod, "spec", "containers") or []:
        for item in container.get("ports") or []:
            if item.get("name") == wanted:
                return int(item["containerPort"])
    return None
