"""What each cluster has for submissions: as configured, or as its nodes offer, looked at every half minute.

What nodes offer is a record all controllers share, so that they divide the same; whoever finds it old looks again, in a
step of its own: no decision waits for a cluster's answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from common.domain.capacity import Capacity
from common.domain.errors import ClusterError
from common.domain.fields import Strict
from common.domain.units import parse_quantity
from common.logging import get_logger
from common.loop import Steps
from common.ports import Clock, Clusters, Records

log = get_logger(__name__)
OFFERS = "cluster-offer"
"""Kind of the records of what nodes offer."""
LOOK = 30.0
"""Seconds between two looks at a cluster's nodes."""
_OLD = 600.0
"""An offer not renewed for so many seconds is not divided any more."""
_MARK = "@"
"""What the ids of these steps begin with; no id of a submission does."""

Amount = Annotated[float, BeforeValidator(lambda value: parse_quantity(value))]


class Limits(Strict):
    """A configured capacity; what is left out has no limit."""

    replicas: int | None = Field(default=None, ge=0)
    cpu: Amount | None = None
    memory: Amount | None = None
    gpus: int | None = Field(default=None, ge=0)


Rule = Annotated[int, Field(ge=0)] | Literal["nodes", "unlimited"] | Limits
"""Of one cluster: a number of replicas, limits, what its nodes offer, or none at all."""


class Offer(BaseModel):
    """What a cluster's nodes offered at a time (Unix seconds). None: it does not tell, so nothing is divided."""

    model_config = ConfigDict(frozen=True)

    at: float
    capacity: Capacity | None


@dataclass(frozen=True)
class CapacityRules:
    """Rules by cluster name; that of ``*`` holds for clusters without one. ``default`` names the default cluster."""

    by_cluster: Mapping[str, Rule]
    default: str = "default"

    def of(self, cluster: str) -> Rule:
        """The rule of that cluster."""
        return self.by_cluster.get(cluster, self.by_cluster.get("*", "nodes"))


class Capacities:
    """Tells capacities, and keeps the nodes' offers fresh."""

    def __init__(self, rules: CapacityRules, offers: Records[Offer], clusters: Clusters, clock: Clock) -> None:
        self._rules = rules
        self._offers = offers
        self._clusters = clusters
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_for: set[str] = set()
        """Clusters that decisions were made for: only a hint which ones to look at."""

    def of(self, cluster: str) -> Capacity | None:
        """What submissions on that cluster share, None for no limit known."""
        cluster = self.name(cluster)
        rule = self._rules.of(cluster)
        if isinstance(rule, int):
            return Capacity(replicas=rule)
        if isinstance(rule, Limits):
            return Capacity(replicas=rule.replicas, cpu=rule.cpu, memory=rule.memory, gpus=rule.gpus)
        if rule == "unlimited":
            return None
        with self._lock:
            self._asked_for.add(cluster)
        kept = self._offers.get(cluster)
        if kept is None or self._clock.now() - kept.value.at > _OLD:
            return None
        return kept.value.capacity

    def name(self, cluster: str) -> str:
        """The cluster's name, that of the default one for an empty one."""
        return cluster or self._rules.default

    def is_reserved(self, cluster: str) -> bool:
        """Whether the operator has said what submissions may use there: using it all then takes nothing from others,
        as it might where it is what the nodes happen to offer."""
        return isinstance(self._rules.of(self.name(cluster)), int | Limits)

    def asked_for(self) -> list[str]:
        """The clusters whose nodes are to be looked at."""
        with self._lock:
            return sorted(self._asked_for)

    def look(self, cluster: str) -> float:
        """Look at the cluster's nodes, unless somebody has just done so; returns the seconds to the next look. Raises
        Unavailable when it does not answer."""
        now = self._clock.now()
        kept = self._offers.get(cluster)
        if kept is not None and 0 <= now - kept.value.at < 0.9 * LOOK:
            return LOOK - (now - kept.value.at)
        capacity: Capacity | None
        try:
            capacity = self._clusters.at(cluster).offer()
        except ClusterError as error:
            # It does not let us see its nodes. That is no fault of any submission's: nothing is divided there.
            if kept is None or kept.value.capacity is not None:
                log.warning("capacity_not_told", cluster=cluster, error=error.message)
            capacity = None
        self._offers.put(cluster, Offer(at=now, capacity=capacity))
        return LOOK


class CapacitySteps:
    """Implements loop.Steps: the steps of submissions, and beside them the looks at clusters."""

    def __init__(self, submissions: Steps, capacities: Capacities) -> None:
        self._submissions = submissions
        self._capacities = capacities

    def active_ids(self) -> Iterable[str]:
        return [*self._submissions.active_ids(), *(f"{_MARK}{name}" for name in self._capacities.asked_for())]

    def step(self, id: str) -> float:
        return self._capacities.look(id.removeprefix(_MARK)) if id.startswith(_MARK) else self._submissions.step(id)
