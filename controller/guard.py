"""The guard: bounds whatever a law proposes, once, the same for every law. Pure; times are Unix seconds.

Order of its rules: a proposal that is no count is refused; steps are limited; cooldowns hold; the bounds win over all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.domain.submission import Control
from controller.laws import Proposal

_STALE_INTERVALS = 3.0
_LEAST_STALE = 15.0
"""An observation is stale when no newer one came for so many control intervals, but at least so many seconds."""


@dataclass(frozen=True)
class Bounds:
    """Fewest and most replicas; a cap set through POST /setup lowers both."""

    minimum: int
    maximum: int

    @classmethod
    def of(cls, minimum: int, maximum: int, cap: int | None) -> Bounds:
        """The user's bounds under a cap (None: no cap)."""
        most = maximum if cap is None else min(maximum, max(0, cap))
        return cls(min(minimum, most), most)


@dataclass(frozen=True)
class Past:
    """What the guard must know of earlier decisions: the last count and when it last rose or changed."""

    current: int
    raised_at: float | None = None
    changed_at: float | None = None


@dataclass(frozen=True)
class Granted:
    """The guard's word. ``reason`` says what it changed, empty when nothing."""

    replicas: int
    reason: str = ""


def staleness_limit(interval: float) -> float:
    """Seconds without a newer observation after which nothing is decided any more."""
    return max(_STALE_INTERVALS * interval, _LEAST_STALE)


def hold(bounds: Bounds, past: Past, reason: str) -> Granted:
    """Keep the count, since nothing is known well enough to change it; only the bounds are kept to."""
    return _bounded(past.current, bounds, [reason])


def grant(proposal: Proposal, bounds: Bounds, control: Control, past: Past, now: float) -> Granted:
    """The count that is granted for the proposal."""
    current = past.current
    if not _is_count(proposal.wanted):
        return hold(bounds, past, f"guard: {proposal.wanted!r} is no number of replicas, holds")
    # What lies outside the bounds was never to be had: limiting steps towards it would only blur the reason.
    wanted = min(max(int(proposal.wanted), bounds.minimum), bounds.maximum)
    said = [] if wanted == proposal.wanted else [_out_of_bounds(int(proposal.wanted), bounds)]
    if control.max_step_up is not None and wanted > current + control.max_step_up:
        wanted = current + control.max_step_up
        said.append(f"guard: at most {control.max_step_up} up at once")
    if control.max_step_down is not None and wanted < current - control.max_step_down:
        wanted = current - control.max_step_down
        said.append(f"guard: at most {control.max_step_down} down at once")
    if wanted > current and _within(past.raised_at, control.cooldown_up, now):
        wanted = current
        said.append(f"guard: cools down for {control.cooldown_up:g} s after an increase")
    if wanted < current and _within(past.changed_at, control.cooldown_down, now):
        wanted = current
        said.append(f"guard: cools down for {control.cooldown_down:g} s after a change")
    return _bounded(wanted, bounds, said)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(since: float | None, cooldown: float, now: float) -> bool:
    """Whether the cooldown still holds. A clock that stepped back must not prolong it without end."""
    return since is not None and 0 <= now - since < cooldown


def _bounded(wanted: int, bounds: Bounds, said: list[str]) -> Granted:
    bounded = min(max(wanted, bounds.minimum), bounds.maximum)
    if bounded != wanted:
        said = [*said, _out_of_bounds(wanted, bounds)]
    return Granted(bounded, "; ".join(said))


def _out_of_bounds(wanted: int, bounds: Bounds) -> str:
    if wanted > bounds.maximum:
        return f"guard: {wanted} is above the most, {bounds.maximum}"
    return f"guard: {wanted} is below the least, {bounds.minimum}"
