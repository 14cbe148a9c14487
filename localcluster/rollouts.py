"""What a Deployment makes of its ReplicaSets, and a ReplicaSet of its pods. Pure: counts in, counts and names out.

The rules are those of Kubernetes' controllers: ``Recreate`` ends every old pod before a new one starts,
``RollingUpdate`` keeps ``maxUnavailable`` and ``maxSurge``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RECREATE = "Recreate"
_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10


@dataclass(frozen=True)
class SetView:
    """A ReplicaSet of a Deployment: wanted, existing and available pods; ``current``: of the Deployment's template."""

    name: str
    wanted: int
    existing: int
    available: int
    current: bool


@dataclass(frozen=True)
class Strategy:
    """``kind`` is Recreate or RollingUpdate; the bounds are numbers of pods."""

    kind: str
    max_unavailable: int
    max_surge: int


@dataclass(frozen=True)
class PodView:
    """A pod of a ReplicaSet. ``active``: neither ended nor being deleted."""

    name: str
    active: bool
    ready: bool
    created_at: float


@dataclass(frozen=True)
class PodPlan:
    """How many pods to make, and which to delete."""

    create: int = 0
    delete: tuple[str, ...] = ()


def strategy_of(replicas: int, given: Mapping[str, Any]) -> Strategy:
    """The strategy in a Deployment's spec; percentages of ``replicas`` are rounded in favour of progress."""
    if given.get("type") == RECREATE:
        return Strategy(RECREATE, replicas, 0)
    bounds = given.get("rollingUpdate") or {}
    unavailable = _pods(bounds.get("maxUnavailable", "25%"), replicas, math.floor)
    surge = _pods(bounds.get("maxSurge", "25%"), replicas, math.ceil)
    # Both zero would never get anywhere.
    return Strategy("RollingUpdate", unavailable or (0 if surge else 1), surge)


def sizes(replicas: int, strategy: Strategy, sets: Iterable[SetView]) -> dict[str, int]:
    """The size each ReplicaSet should have now, by name; the one of the current template must be among them."""
    known = list(sets)
    (current,) = [item for item in known if item.current]
    old = [item for item in known if not item.current]
    if strategy.kind == RECREATE:
        waiting = any(item.existing or item.wanted for item in old)
        return {**{item.name: 0 for item in old}, current.name: current.wanted if waiting else replicas}
    total = sum(item.wanted for item in known)
    room = max(0, replicas + strategy.max_surge - total)
    grown = min(replicas, current.wanted + room) if current.wanted < replicas else replicas
    return {**_shrunk(replicas, strategy, current, old, total), current.name: grown}


def pod_plan(wanted: int, pods: Iterable[PodView]) -> PodPlan:
    """Make the active pods as many as wanted; those that are not ready go first, then the youngest."""
    active = [pod for pod in pods if pod.active]
    if len(active) <= wanted:
        return PodPlan(create=wanted - len(active))
    order = sorted(active, key=lambda pod: (pod.ready, -pod.created_at, pod.name))
    return PodPlan(delete=tuple(pod.name for pod in order[: len(active) - wanted]))


def template_hash(template: Mapping[str, Any]) -> str:
    """The ``pod-template-hash`` of a pod template: the same template, the same hash."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_HASH_ALPHABET[byte % len(_HASH_ALPHABET)] for byte in digest[:_HASH_LENGTH])


def _shrunk(replicas: int, strategy: Strategy, current: SetView, old: list[SetView], total: int) -> dict[str, int]:
    """Old sets give up what is not needed to keep enough pods available: first pods that are not available."""
    least = max(0, replicas - strategy.max_unavailable)
    new_unavailable = max(0, current.wanted - current.available)
    spare = max(0, total - least - new_unavailable)
    left = {item.name: item.wanted for item in old}
    for item in old:
        gone = min(spare, max(0, item.wanted - item.available))
        left[item.name] -= gone
        spare -= gone
    healthy = max(0, sum(item.available for item in (current, *old)) - least)
    spare = min(spare, healthy)
    for item in old:
        gone = min(spare, left[item.name])
        left[item.name] -= gone
        spare -= gone
    return left


def _pods(value: object, replicas: int, rounded: Any) -> int:
    text = str(value)
    if text.endswith("%"):
        return int(rounded(replicas * int(text[:-1]) / 100))
    return int(text)
