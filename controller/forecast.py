"""When a submission is expected to end, how probably in time, and what it will cost. Pure, no clock."""

from __future__ import annotations

from common.domain.forecast import Forecast
from controller.laws import Memory, Situation
from controller.laws.deadline import Deadline, DeadlineSettings


def forecast(
    situation: Situation,
    replicas: int,
    *,
    reason: str = "",
    memory: Memory | None = None,
    settings: DeadlineSettings | None = None,
    steered: bool = True,
) -> Forecast:
    """The forecast for a batch that is to have ``replicas`` from now on, for ``reason``.

    ``steered``: the deadline law is at work (with ``settings`` and ``memory``) and will use the time that is left;
    otherwise the replicas are taken to stay as they are. Before anything runs, give a situation whose observation
    holds but ``counts`` and ``deadline``: the expected item time or the history then tell.
    """
    del steered
    proposal = Deadline().decide(situation, settings or DeadlineSettings(), memory or {})
    seen = situation.observation
    end = None if proposal.eta is None else seen.elapsed + proposal.eta
    late = 0.0 if end is None or seen.deadline is None or proposal.feasible else max(0.0, end - seen.deadline)
    return Forecast(
        at=seen.at,
        p50=end,
        wanted=replicas,
        reason=reason or proposal.reason,
        feasible=proposal.feasible,
        late_by=late,
        replica_seconds=None if proposal.eta is None else proposal.eta * replicas,
    )
