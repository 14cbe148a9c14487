"""Distributions of durations, in seconds, and how users name them: ``lognormal:30s,cv=1.2``. Pure; luck is injected."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

_LEAST = 1e-6
"""Seconds: no duration is shorter."""


class Distribution(ABC):
    """Of durations in seconds."""

    @abstractmethod
    def sample(self, chance: random.Random) -> float:
        """One duration."""

    def samples(self, chance: random.Random, number: int) -> tuple[float, ...]:
        """So many, independent of each other."""
        return tuple(self.sample(chance) for _ in range(number))


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same."""

    mean: float

    def sample(self, chance: random.Random) -> float:  # noqa: ARG002
        return self.mean


@dataclass(frozen=True)
class Uniform(Distribution):
    """Evenly spread around the mean; cv (deviation over mean) at most 1/sqrt(3)."""

    mean: float
    cv: float = 0.5

    def sample(self, chance: random.Random) -> float:
        reach = self.mean * self.cv * math.sqrt(3.0)
        return max(_LEAST, chance.uniform(self.mean - reach, self.mean + reach))


@dataclass(frozen=True)
class Exponential(Distribution):
    """Without memory; cv is 1."""

    mean: float

    def sample(self, chance: random.Random) -> float:
        return max(_LEAST, chance.expovariate(1.0 / self.mean))


@dataclass(frozen=True)
class LogNormal(Distribution):
    """Its logarithm is normal with variance ln(1 + cv^2)."""

    mean: float
    cv: float = 1.0

    def sample(self, chance: random.Random) -> float:
        variance = math.log1p(self.cv**2)
        return max(_LEAST, chance.lognormvariate(math.log(self.mean) - variance / 2, math.sqrt(variance)))


@dataclass(frozen=True)
class Gamma(Distribution):
    """Of shape 1/cv^2."""

    mean: float
    cv: float = 1.0

    def sample(self, chance: random.Random) -> float:
        shape = 1.0 / max(self.cv, 1e-3) ** 2
        return max(_LEAST, chance.gammavariate(shape, self.mean / shape))


@dataclass(frozen=True)
class Weibull(Distribution):
    """Its shape is the one that gives the cv."""

    mean: float
    cv: float = 1.0

    @cached_property
    def _shape(self) -> float:
        low, high = 0.1, 50.0
        for _ in range(60):
            middle = math.sqrt(low * high)
            if _weibull_cv(middle) > self.cv:
                low = middle
            else:
                high = middle
        return low

    def sample(self, chance: random.Random) -> float:
        shape = self._shape
        return max(_LEAST, chance.weibullvariate(self.mean / math.gamma(1.0 + 1.0 / shape), shape))


@dataclass(frozen=True)
class Pareto(Distribution):
    """With a tail like t**-alpha (Lomax, or Pareto of type II); alpha above 1, the variance is infinite up to 2."""

    mean: float
    alpha: float = 2.5

    def sample(self, chance: random.Random) -> float:
        scale = self.mean * (self.alpha - 1.0)
        return max(_LEAST, scale * (math.pow(1.0 - chance.random(), -1.0 / self.alpha) - 1.0))


@dataclass(frozen=True)
class Bimodal(Distribution):
    """Short items, and a ``share`` of long ones that take ``ratio`` times as long; each mode spreads by ``cv``."""

    mean: float
    ratio: float = 10.0
    share: float = 0.1
    cv: float = 0.1

    def sample(self, chance: random.Random) -> float:
        short = self.mean / (1.0 - self.share + self.share * self.ratio)
        mode = short * self.ratio if chance.random() < self.share else short
        return LogNormal(mode, self.cv).sample(chance) if self.cv > 0 else mode


@dataclass(frozen=True)
class Empirical(Distribution):
    """Draws from measured durations, with replacement."""

    values: tuple[float, ...]

    def sample(self, chance: random.Random) -> float:
        return chance.choice(self.values)


@dataclass(frozen=True)
class Cut(Distribution):
    """What a distribution gives, but at most ``longest``."""

    inner: Distribution
    longest: float

    def sample(self, chance: random.Random) -> float:
        return min(self.longest, self.inner.sample(chance))


@dataclass(frozen=True)
class Mixture(Distribution):
    """One of several, each with its weight."""

    parts: tuple[Distribution, ...]
    weights: tuple[float, ...] = field(default=())

    def sample(self, chance: random.Random) -> float:
        return chance.choices(self.parts, self.weights or None)[0].sample(chance)


def scaled(values: Sequence[float], mean: float) -> tuple[float, ...]:
    """The values multiplied such that their mean is ``mean``."""
    factor = mean * len(values) / math.fsum(values)
    return tuple(value * factor for value in values)


def _weibull_cv(shape: float) -> float:
    first = math.lgamma(1.0 + 1.0 / shape)
    second = math.lgamma(1.0 + 2.0 / shape)
    return math.sqrt(math.expm1(min(second - 2.0 * first, 200.0)))
