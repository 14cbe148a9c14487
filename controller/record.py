"""The controller's record of one submission, and how a POST changes it. Times are Unix seconds of our clock."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from common.domain.forecast import Forecast
from common.http.contracts import ScalingRequest

RECORDS = "scaling"
"""Kind of these records."""
CAPS = "scaling-cap"
"""Kind of the records of POST /setup."""


class Cap(BaseModel):
    """An upper bound of a submission's replicas, set from outside."""

    model_config = ConfigDict(frozen=True)

    replicas: int = Field(ge=0)


class Scaling(BaseModel):
    """What is wanted, what was asked of the cluster, and what is remembered.

    ``desired``: the last decision. ``early``: how many of these the arbiter lent beyond what was asked for.
    ``requested``: the Job's parallelism, as we last set or saw it. ``extra``: indexes asked for beyond desired, because
    others wait in their back-off. ``announced``: the count last told to the user.
    """

    model_config = ConfigDict(frozen=True)

    request: ScalingRequest
    active: bool = True
    desired: int
    early: int = 0
    requested: int
    extra: int = 0
    announced: int
    job_ended: bool = False
    """The Job is gone or over: it is not touched any more."""
    limit: int | None = None
    """The index limit the queue was told last."""
    drain_since: float | None = None
    memory: dict[str, Any] = Field(default_factory=dict)
    reason: str = "waits for the first observation"
    problem: str = ""
    """Why the cluster refused the last patch, empty when it did not."""
    decided_at: float | None = None
    raised_at: float | None = None
    changed_at: float | None = None
    patched_at: float | None = None
    observed_at: float | None = None
    """The newest observation's own time, to tell a newer one."""
    seen_at: float | None = None
    """When that observation was first seen, by our clock."""
    uneven_since: float | None = None
    """Since when other than the desired number of pods exist."""
    waiting_since: float | None = None
    """Since when the arbiter has kept it below its least count."""
    turn_until: float | None = None
    """Until when the arbiter serves it first, because it waited for long."""
    forecast: Forecast | None = None
    """The latest, which may be older than the last decision."""
    scalings: int = 0
    peak: int = 0

    @property
    def own(self) -> int:
        """The last decision without what was lent: what law and guard go on from. What is lent for a while must not
        become a wish, for which others would have to make room."""
        return max(0, self.desired - self.early)


def begin(request: ScalingRequest, now: float) -> Scaling:
    """The record of a submission that was not scaled before."""
    return Scaling(
        request=request,
        desired=request.initial,
        requested=request.initial,
        announced=request.initial,
        peak=request.initial,
        patched_at=now,
    )


def renew(record: Scaling, request: ScalingRequest, now: float) -> Scaling:
    """The record after another POST. The same request changes nothing, and one of an earlier revision neither; a new
    Job keeps what was learned and wanted, and so do new settings: only another law begins without memory. What changed
    is decided on at once."""
    if record.active and (record.request == request or request.revision < record.request.revision):
        return record
    changes: dict[str, Any] = {"request": request, "active": True}
    if not record.active:
        changes["drain_since"] = None
    if record.request.job != request.job or record.request.namespace != request.namespace:
        changes |= {
            "requested": request.initial,
            "announced": request.initial,
            "peak": max(record.peak, request.initial),
            "job_ended": False,
            "extra": 0,
            "drain_since": None,
            "uneven_since": None,
            "problem": "",
            "patched_at": now,
        }
    if record.request.law != request.law:
        changes |= {"memory": {}, "early": 0}
    if record.request.revision != request.revision:
        changes |= {"decided_at": None, "forecast": None}
    return record.model_copy(update=changes)
