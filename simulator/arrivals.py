"""Arrival processes: when the items of a stream are put, in seconds. Pure; luck is injected."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass


class Arrivals(ABC):
    """Times at which items come."""

    @abstractmethod
    def times(self, chance: random.Random, seconds: float) -> tuple[float, ...]:
        """Those of the first so many seconds, in order."""


@dataclass(frozen=True)
class Poisson(Arrivals):
    """Independent arrivals at a steady rate (items/s)."""

    rate: float

    def times(self, chance: random.Random, seconds: float) -> tuple[float, ...]:
        return _thinned(chance, seconds, self.rate, lambda _: self.rate)


@dataclass(frozen=True)
class Diurnal(Arrivals):
    """A day of web traffic that lasts ``day`` seconds: a night, two humps, and noise from minute to minute.

    ``rate`` is the mean (items/s), ``swing`` how much of it comes and goes with the day, ``noise`` the coefficient of
    variation of a minute's rate, whose correlation falls to 1/e within five minutes.
    """

    rate: float
    day: float = 14400.0
    swing: float = 0.7
    noise: float = 0.2

    def times(self, chance: random.Random, seconds: float) -> tuple[float, ...]:
        minutes = math.ceil(seconds / 60.0) + 1
        memory = math.exp(-1.0 / 5.0)
        deviation = math.sqrt(math.log1p(self.noise**2))
        level = chance.gauss(0.0, 1.0)
        levels = []
        for _ in range(minutes):
            levels.append(math.exp(deviation * level - deviation**2 / 2))
            level = memory * level + math.sqrt(1.0 - memory**2) * chance.gauss(0.0, 1.0)

        def rate(at: float) -> float:
            turn = 2.0 * math.pi * at / self.day
            shape = 1.0 - self.swing * (0.8 * math.cos(turn) + 0.2 * math.cos(2.0 * turn))
            return self.rate * max(0.02, shape) * levels[int(at // 60.0)]

        return _thinned(chance, seconds, self.rate * (1.0 + self.swing) * max(levels), rate)


@dataclass(frozen=True)
class Bursty(Arrivals):
    """A Markov-modulated Poisson process: calm, and bursts of ``ratio`` times its rate.

    ``rate`` is the mean over both (items/s); ``calm`` and ``burst`` are the mean lengths (s) of either.
    """

    rate: float
    ratio: float = 4.0
    calm: float = 240.0
    burst: float = 60.0

    def times(self, chance: random.Random, seconds: float) -> tuple[float, ...]:
        slow = self.rate * (self.calm + self.burst) / (self.calm + self.ratio * self.burst)
        at, is_burst, times = 0.0, False, []
        until = chance.expovariate(1.0 / self.calm)
        while at < seconds:
            step = chance.expovariate(slow * (self.ratio if is_burst else 1.0))
            if at + step < until:
                at += step
                times.append(at)
            else:
                # The process has no memory, so it may begin anew where the rate changes.
                at, is_burst = until, not is_burst
                until = at + chance.expovariate(1.0 / (self.burst if is_burst else self.calm))
        return tuple(time for time in times if time < seconds)


@dataclass(frozen=True)
class Batches(Arrivals):
    """Poisson arrivals of batches, whose sizes are geometric with this mean; ``rate`` in items/s."""

    rate: float
    size: float = 10.0

    def times(self, chance: random.Random, seconds: float) -> tuple[float, ...]:
        times: list[float] = []
        for at in Poisson(self.rate / self.size).times(chance, seconds):
            more = 1
            while chance.random() > 1.0 / self.size:
                more += 1
            times.extend([at] * more)
        return tuple(times)


def _thinned(chance: random.Random, seconds: float, most: float, rate: Callable[[float], float]) -> tuple[float, ...]:
    """Of a Poisson process at the highest rate, so many are kept as the rate is lower (Lewis and Shedler, 1979)."""
    if most <= 0:
        return ()
    times: list[float] = []
    at = chance.expovariate(most)
    while at < seconds:
        if chance.random() * most <= rate(at):
            times.append(at)
        at += chance.expovariate(most)
    return tuple(times)
