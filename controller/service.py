"""Records what is to be scaled and answers what was decided. What it records, the loop carries out."""

from __future__ import annotations

import difflib
import math
from typing import Any

from common.domain.errors import BadRequest, Conflict, Fault, NotFound
from common.domain.events import DECISIONS
from common.domain.progress import Decision
from common.http.contracts import (
    ForecastAnswer,
    ForecastRequest,
    LawRequest,
    ScalingRequest,
    ScalingView,
    SetupRequest,
    SharesView,
    ShareView,
)
from common.ports import Clock, Journal, Records, Versioned, Wakeups
from controller.arbitration import Arbitration
from controller.foresight import plan
from controller.lawbook import LawBook
from controller.record import Cap, Scaling, begin, renew

SERVICE = "controller"
_ATTEMPTS = 10
_CAP_KEEP = 30 * 86400.0
_REVIVED = 2 * 366 * 86400.0
"""How long the decisions of a submission that is scaled again are kept: as long as one can last, until it stops."""


class ScalingService:
    """The controller's answers to requests. All methods may raise Unavailable. ``keep`` in seconds."""

    def __init__(
        self,
        records: Records[Scaling],
        caps: Records[Cap],
        journal: Journal,
        wakeups: Wakeups,
        clock: Clock,
        laws: LawBook,
        arbitration: Arbitration,
        keep: float,
    ) -> None:
        self._records = records
        self._caps = caps
        self._journal = journal
        self._wakeups = wakeups
        self._clock = clock
        self._laws = laws
        self._arbitration = arbitration
        self._keep = keep

    def start(self, id: str, request: ScalingRequest) -> None:
        """Scale the submission as the request says. The same request again changes nothing; one with a new Job keeps
        what was learned. Raises BadRequest naming every fault."""
        self._laws.settings(request.law, request.control.settings)
        _check_queue(id, request)
        for _ in range(_ATTEMPTS):
            kept = self._records.get(id)
            now = self._clock.now()
            try:
                if kept is None:
                    self._records.create(id, begin(request, now))
                else:
                    renewed = renew(kept.value, request, now)
                    if renewed != kept.value:
                        self._records.update(id, renewed, kept.version)
                    if not kept.value.active:
                        self._journal.expire(DECISIONS, id, _REVIVED)
            except Conflict:
                continue
            self._wakeups.notify(SERVICE, id)
            return
        raise Conflict(f"scaling of {id} is being changed by others; try again")

    def stop(self, id: str) -> None:
        """Decide no more for it and leave its Job alone. Idempotent. Raises NotFound."""
        for _ in range(_ATTEMPTS):
            kept = self._get(id)
            if not kept.value.active:
                return
            try:
                stopped = kept.value.model_copy(update={"active": False, "drain_since": None, "reason": "stopped"})
                self._records.update(id, stopped, kept.version, ttl=self._keep)
            except Conflict:
                continue
            self._caps.delete(id)
            self._arbitration.withdraw(id, kept.value.request.cluster)
            self._journal.expire(DECISIONS, id, self._keep)
            return
        raise Conflict(f"scaling of {id} is being changed by others; try again")

    def delete(self, id: str) -> None:
        """Forget its record and its decisions. Idempotent. Raises Conflict while it is being scaled."""
        kept = self._records.get(id)
        if kept is not None and kept.value.active:
            raise Conflict(f"{id} is being scaled: stop that first")
        self._journal.expire(DECISIONS, id, 0.0)
        self._caps.delete(id)
        self._records.delete(id)

    def setup(self, request: SetupRequest) -> None:
        """Cap the replicas of submissions, from the next decision on until they are stopped."""
        for id, most in request.instances_cap.items():
            version = self._caps.put(id, Cap(replicas=math.floor(most)))
            self._caps.update(id, Cap(replicas=math.floor(most)), version, ttl=_CAP_KEEP)
            self._wakeups.notify(SERVICE, id)

    def validate(self, request: LawRequest) -> None:
        """Whether a submission may ask for this. Raises BadRequest with the fields of its ``control``."""
        self._laws.settings(request.law, request.settings)

    def forecast(self, request: ForecastRequest) -> ForecastAnswer:
        """What would become of such a submission. Raises BadRequest as ``validate`` does."""
        settings = self._laws.settings(request.law, request.control.settings)
        now = self._clock.now()
        demands, capacity = self._arbitration.standing(request.cluster, now)
        return plan(request, self._laws.law(request.law), settings, demands, capacity, now)

    def shares(self, cluster: str) -> SharesView:
        """How that cluster (empty: the default one) is divided among its submissions."""
        demands, capacity = self._arbitration.standing(cluster, self._clock.now())
        shares = {
            id: ShareView(
                wanted=demand.wanted,
                granted=demand.holding,
                minimum=demand.minimum,
                priority=demand.priority,
                requests=demand.requests,
                deadline_at=demand.deadline_at,
                waiting_since=demand.waiting_since,
            )
            for id, demand in demands.items()
        }
        return SharesView(cluster=cluster, capacity=capacity, shares=shares)

    def laws(self) -> dict[str, dict[str, Any]]:
        """Every installed law as plain data."""
        return self._laws.describe()

    def views(self) -> dict[str, ScalingView]:
        """All submissions known, oldest first, without their decisions."""
        return {id: _view(record, ()) for id, record in self._records.all().items()}

    def view(self, id: str, count: int) -> ScalingView:
        """One submission with its last ``count`` decisions, oldest first. Raises NotFound."""
        record = self._get(id).value
        decisions = self._journal.read(DECISIONS, id, Decision, count) if count else []
        return _view(record, tuple(decisions))

    def _get(self, id: str) -> Versioned[Scaling]:
        kept = self._records.get(id)
        if kept is None:
            near = difflib.get_close_matches(id, self._records.ids(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise NotFound(f"nothing is scaled by the id {id}{hint}")
        return kept


def _check_queue(id: str, request: ScalingRequest) -> None:
    if request.queue.submission != id:
        problem = f"must be the id in the path, {id}"
        raise BadRequest(f"queue.submission: {problem}", [Fault("queue.submission", problem)])


def _view(record: Scaling, decisions: tuple[Decision, ...]) -> ScalingView:
    return ScalingView(
        active=record.active,
        law=record.request.law,
        desired=record.desired,
        requested=record.requested,
        reason=record.reason,
        scalings=record.scalings,
        peak=record.peak,
        job=record.request.job,
        draining=record.drain_since is not None,
        problem=record.problem,
        decisions=decisions,
    )
