"""The candidate rules: how many replicas each would ask for.

A rule has an opinion on three questions, and no opinion is right for every stream: over what time the arrival rate is
to be averaged, how many replicas to keep to spare beyond the load, and how long to remember a peak.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SPANS = (8.0, 30.0, 120.0, 1800.0)
"""Time constants (s) of the averages of the arrival rate; the last one tells the long-run load."""
_LONG = len(SPANS) - 1
_SPARES = (0.0, 0.5, 1.0, 2.0, 4.0)
_HOLDS = (0.0, 120.0, 900.0)
_STEP = 1.25
_LEVELS = 11


@dataclass(frozen=True)
class Rule:
    """``span``: which average is the load; ``spare``: replicas beyond it, times its square root (square-root
    staffing); ``hold``: time constant (s) with which a peak is forgotten, 0 at once; ``floor``: at least so many times
    the long-run load.
    """

    span: int
    spare: float
    hold: float = 0.0
    floor: float = 0.0

    def need(self, loads: Sequence[float], peak: float, seconds: float) -> tuple[float, float]:
        """The replicas needed at these loads, and the peak to remember; ``seconds`` have passed since the last call.
        Grows with each of the loads."""
        load = loads[self.span]
        need = load + self.spare * math.sqrt(load)
        if self.hold:
            need = peak = max(need, peak * math.exp(-seconds / self.hold))
        return max(need, self.floor * loads[_LONG]), peak

    def caution(self, load: float) -> float:
        """How far above the load the rule stays, in square roots of the load: what a prior opinion of it goes by."""
        spare = self.spare + (0.3 if self.hold else 0.0)
        return spare + math.sqrt(max(load, 1.0)) * max(0.0, self.floor - 1.0)

    def __str__(self) -> str:
        told = f"load of {SPANS[self.span]:g} s"
        if self.spare:
            told += f" + {self.spare:g} roots"
        if self.hold:
            told += f", peaks kept {self.hold:g} s"
        if self.floor:
            told += f", at least {self.floor:.1f} x the long-run load"
        return told


RULES = tuple(Rule(span, spare, hold) for span in range(_LONG) for spare in _SPARES for hold in _HOLDS) + tuple(
    Rule(0, spare, 0.0, _STEP**level) for level in range(1, _LEVELS + 1) for spare in (1.0, 2.0)
)
"""Reactive ones, and ones that keep a reserve for the next burst whatever the present load."""
FIRST = RULES.index(Rule(1, 1.0, 120.0))
"""The rule that is followed until something has been learned."""


def with_backlog(need: float, queue: float, capacity: float, coming: float, load: float, times: Times) -> float:
    """The need raised by what has to be caught up.

    ``queue`` items in all, ``capacity`` replicas that run and ``coming`` ones that start, which will work for half of
    the start-up time on average. What is left when new replicas have started is to be gone after another start-up
    time and the time an item may wait: faster costs starts, slower lets newcomers wait.
    """
    waiting = queue - capacity
    if waiting <= 0:
        return need
    waiting -= max(0.0, capacity + 0.5 * coming - load) / times.service * times.startup
    return need if waiting <= 0 else max(need, load + waiting * times.service / (times.startup + times.allowed))


@dataclass(frozen=True)
class Times:
    """Seconds: the mean service time, the start-up of a replica, and how long an item may wait."""

    service: float
    startup: float
    allowed: float
