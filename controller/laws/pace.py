"""What an item costs in replica seconds beside its service time, and how that grows with the replicas. Pure.

Cost per item c(k) = c0 * (1 + s * (k - 1)) is the contention part of Gunther's universal scalability law: k replicas
settle k / c(k) items per second. It is fitted by least squares to what was spent and settled between looks; a slope
counts only as far as it is beyond doubt, so that chance does not pass for contention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from controller.laws.base import Situation

_WEIGHT = 5.0
"""The measured pace is trusted fully only after several items a replica more than these."""
_SECONDS = 10.0
"""... and after these seconds of work a replica: until then its own start-up would pass for slowness."""
_MEMORY, _LEAST_MEMORY = 20.0, 60.0
"""The pace forgets with a half-life of so many item times, at least so many seconds: contention changes."""
_DOUBT = 2.0
"""Standard errors by which a slope must differ from none."""
_LEAST_SPREAD = 0.05
"""Share of the squared replicas that their variance must be for a slope to be told."""
_LEAST_SHARE = 0.2
"""An item costs at least this share of what it costs now, however few replicas there are."""
_MOST = 1e12


@dataclass(frozen=True)
class Cost:
    """Replica seconds an item takes: ``level`` at ``center`` replicas, ``slope`` more for each one more.

    The slope is at most ``level / center``: so more replicas never settle fewer items per second.
    """

    level: float
    slope: float
    center: float

    def at(self, replicas: int) -> float:
        """With so many replicas."""
        return max(self.level + self.slope * (replicas - self.center), _LEAST_SHARE * self.level)


class Pace(BaseModel):
    """Fading sums over looks: ``busy`` replica seconds spent, ``done`` items settled, and moments with replicas."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: float | None = None
    settled: int = 0
    invested: float = 0.0
    busy: float = 0.0
    done: float = 0.0
    by_replicas: float = 0.0
    by_squares: float = 0.0
    busy_by_replicas: float = 0.0

    def looked(self, situation: Situation, mean: float | None) -> Pace:
        """After one more look; ``mean`` is the mean service time, None while unknown."""
        seen = situation.observation
        settled = seen.counts.done + seen.counts.dead
        ages, replicas = seen.service.running, seen.replicas.observed
        in_work = min(len(ages), replicas)
        invested = min(sum(ages) / len(ages) * in_work, _MOST) if ages else 0.0
        step = 0.0 if self.at is None else seen.at - self.at
        fresh = {"at": seen.at, "settled": settled, "invested": invested}
        if step <= 0 or settled < self.settled or seen.counts.ready == 0 or mean is None:
            return self.model_copy(update=fresh)
        step = min(step, 5.0 * situation.interval)
        keep = 0.5 ** (step / max(_LEAST_MEMORY, _MEMORY * mean))
        spent = replicas * step - (invested - self.invested)
        done = float(settled - self.settled)
        sums = {
            "busy": max(0.0, self.busy * keep + spent),
            "done": self.done * keep + done,
            "by_replicas": self.by_replicas * keep + done * replicas,
            "by_squares": self.by_squares * keep + done * replicas * replicas,
            "busy_by_replicas": max(0.0, self.busy_by_replicas * keep + spent * replicas),
        }
        return self.model_copy(update={**fresh, **{name: min(value, _MOST) for name, value in sums.items()}})

    def cost(self, mean: float, deviation: float, observed: int) -> Cost:
        """What an item costs with how many replicas, given the service time's mean and deviation."""
        weight = max(_WEIGHT + 2.0 * observed, _SECONDS * observed / mean)
        level = max(mean, (self.busy + weight * mean) / (self.done + weight))
        if self.done < weight:
            return Cost(level, 0.0, float(observed))
        center = self.by_replicas / self.done
        spread = self.by_squares - self.by_replicas * center
        if spread <= _LEAST_SPREAD * self.by_squares:
            return Cost(level, 0.0, center)
        slope = (self.busy_by_replicas - self.busy * center) / spread
        sure = slope - _DOUBT * deviation / math.sqrt(spread)
        return Cost(level, max(0.0, min(sure, level / max(center, 1.0))), center)
