"""What earlier submissions of the same name and image taught, and how one more is added. Pure; durations in seconds."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from common.domain.progress import Observation, ServiceTimes

_MOST = 1000
"""Earlier items count as at most so many, or as many as the newest submission has: what is old fades."""


class History(BaseModel):
    """A summary of earlier submissions. ``service`` holds no running items.

    ``attempts`` and ``failures`` count as in an observation; ``startup`` is the seconds from a pod's creation to its
    running, None while unknown. A document of another ``version`` is not understood and to be forgotten.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    submissions: int = 0
    service: ServiceTimes = ServiceTimes()
    attempts: int = 0
    failures: int = 0
    startup: float | None = None


def learned(history: History | None, last: Observation) -> History:
    """The history after a submission whose last observation this is. One that finished nothing teaches nothing."""
    before = history if history is not None else History()
    if last.service.count <= 0:
        return before
    most = max(_MOST, last.service.count)
    share = min(1.0, most / before.service.count) if before.service.count else 0.0
    return History(
        submissions=before.submissions + 1,
        service=_merged(before.service, share, last.service),
        attempts=round(before.attempts * share) + last.attempts,
        failures=round(before.failures * share) + last.failures,
        startup=last.startup if last.startup is not None else before.startup,
    )


def _merged(old: ServiceTimes, share: float, new: ServiceTimes) -> ServiceTimes:
    buckets = dict(new.buckets)
    for bucket, number in old.buckets.items():
        buckets[bucket] = buckets.get(bucket, 0) + round(number * share)
    weight = old.count * share
    count = weight + new.count
    mean = (weight * old.mean + new.count * new.mean) / count
    squares = weight * (old.deviation**2 + old.mean**2) + new.count * (new.deviation**2 + new.mean**2)
    return ServiceTimes(
        count=round(count),
        mean=mean,
        deviation=math.sqrt(max(0.0, squares / count - mean * mean)),
        longest=max(old.longest, new.longest) if weight else new.longest,
        buckets={bucket: number for bucket, number in sorted(buckets.items()) if number > 0},
    )
