"""What becomes of a queue in one step: a fluid model of items and replicas, with a random disturbance.

With a items arriving per second, mean service time s and c replicas, n items in the system leave at min(n, c) / s a
second: dn/dt = a - min(n, c) / s, solved exactly for constant a. Who arrives at n > c waits (n - c) s / c. The random
part has the variance of the services that end in the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from controller.laws.streams.lateness import Lateness

_CLUMPED = 0.5
"""Arrivals within a step come in a shorter time than the step: so many allowed waits. The step does not show it."""
_MOST = 1e9


@dataclass(frozen=True)
class Step:
    """``arrived`` items in ``seconds``; service times of mean ``service`` (s) and that coefficient of ``variation``;
    ``chance`` is a standard normal random number."""

    seconds: float
    arrived: float
    service: float
    variation: float
    chance: float
    allowed: float
    lateness: Lateness

    offered: float = field(init=False)
    """The replicas that these arrivals keep busy."""
    kept: float = field(init=False)
    """The share of the items in work that is still in work after the step."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "offered", self.arrived * self.service / self.seconds)
        object.__setattr__(self, "kept", math.exp(-self.seconds / self.service))


def advance(queue: float, capacity: float, step: Step) -> tuple[float, float]:
    """The items in the system after the step, and the share of the arrivals that were late.

    ``queue`` items are in the system before, ``capacity`` replicas run throughout.
    """
    after, saturated = _flow(queue, capacity, step)
    left = queue + step.arrived - after
    ends = saturated * capacity * step.seconds / step.service * step.variation**2
    # Unsaturated, half of the Poisson variance of the number in work comes from the services.
    ends += (1.0 - saturated) * min(step.offered, capacity) * (1.0 - step.kept**2) * (1.0 + step.variation**2) / 4.0
    after = min(max(0.0, after + step.chance * math.sqrt(ends)), _MOST)
    if capacity <= 0:
        return after, 1.0
    spread = max(0.0, 1.0 - _CLUMPED * step.allowed / step.seconds)
    most = max(queue, after, queue + step.arrived - left * spread)
    wait = step.service / capacity
    longest = (most - capacity) * wait
    if longest <= 0:
        return after, step.lateness.unavoidable
    shortest = (min(queue, after) - capacity) * wait
    if shortest >= 0:
        return after, step.lateness.mean(shortest, longest)
    # Those who find a free replica do not wait at all.
    waiting = longest / (longest - shortest)
    return after, waiting * step.lateness.mean(0.0, longest) + (1.0 - waiting) * step.lateness.unavoidable


def _flow(queue: float, capacity: float, step: Step) -> tuple[float, float]:
    """The items after the step without chance, and the share of the step in which all replicas are busy."""
    seconds, service, offered = step.seconds, step.service, step.offered
    drift = (offered - capacity) / service
    if queue >= capacity:
        if drift >= 0 or queue - capacity >= -drift * seconds:
            return queue + drift * seconds, 1.0
        busy = (queue - capacity) / -drift
        return offered + (capacity - offered) * math.exp(-(seconds - busy) / service), busy / seconds
    after = offered + (queue - offered) * step.kept
    if after <= capacity or offered <= capacity:
        return min(after, capacity), 0.0
    free = min(service * math.log((offered - queue) / (offered - capacity)), seconds)
    return capacity + drift * (seconds - free), 1.0 - free / seconds
