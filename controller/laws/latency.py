"""Enough replicas for a stream: Erlang C staffing for the load that arrives, plus what drains the backlog in time."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from common.domain.submission import MAX_REPLICAS
from common.domain.units import format_duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall
from controller.laws.estimate import item_time

_MOST_KEPT = 512
_LEAST_SPARE = 0.1
"""Share of the target that is left for waiting when the work itself takes all of it."""


class LatencySettings(LawSettings):
    """All have sensible defaults."""

    hold: Duration = Field(default=30.0, description="Replicas are given back when they were too many for so long.")
    idle: Duration = Field(default=60.0, description="Where min is 0: no replica after so long without an item.")


class _Memory(BaseModel):
    """``needs``: what was needed lately, as (Unix seconds, replicas)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    needs: tuple[tuple[float, int], ...] = ()


class Latency(Law[LatencySettings]):
    """The fewest replicas with which a long enough share of the items waits at most w, plus backlog * s / w.

    s is the mean service time, w the part of the target that may be spent waiting. The greatest need of the last
    ``hold`` seconds counts.
    """

    settings: ClassVar[type[LawSettings]] = LatencySettings
    summary: ClassVar[str] = "enough replicas to keep waiting plus service within the target (streams)"

    def decide(self, situation: Situation, settings: LatencySettings, memory: Memory) -> Proposal:
        seen = situation.observation
        latency = situation.target.latency if situation.target is not None else seen.target
        if latency is None:
            return Proposal(situation.current, "holds: without a target there is nothing to keep", memory=dict(memory))
        percentile = situation.target.percentile if situation.target is not None else 95.0
        time = item_time(seen.service, situation.expected_item_time, situation.item_timeout)
        service = time.mean if time is not None else latency / 2
        spare = max(latency - service, _LEAST_SPARE * latency)
        load = seen.arrival_rate * service
        # Waiting grows with the spread of the service times (Allen and Cunneen); one that is not known is taken as 1.
        variation = time.deviation / time.mean if time is not None else 1.0
        patience = spare / service * 2.0 / (1.0 + min(variation, 10.0) ** 2)
        backlog = seen.counts.ready + seen.counts.delayed
        draining = min(float(backlog), backlog * service / spare)
        need = math.ceil(staffing(load, patience, 1.0 - percentile / 100) + draining)
        if seen.counts.outstanding > 0:
            need = max(need, 1)
        keep = max(settings.hold, settings.idle)
        needs = tuple(past for past in recall(_Memory, memory).needs if seen.at - keep < past[0] < seen.at)
        greatest = max([need, *(count for at, count in needs if at > seen.at - settings.hold)])
        if greatest == 0 and any(count for at, count in needs if at > seen.at - settings.idle):
            # Scaling to zero costs the next item a start, so it takes longer to be sure.
            greatest = 1
        wanted = situation.clamp(greatest)
        feasible = service <= latency and greatest <= situation.maximum
        reason = (
            f"{seen.arrival_rate:.2f} items/s of {format_duration(service)} keep {load:.1f} busy, {backlog} waiting, "
            f"target {format_duration(latency)}: needs {need}"
        )
        if greatest != need:
            reason += f", {greatest} lately"
        if service > latency:
            reason += "; an item alone takes longer than the target"
        elif greatest > situation.maximum:
            reason += f"; max is {situation.maximum}"
        kept = _Memory(needs=(*needs, (seen.at, need))[-_MOST_KEPT:])
        return Proposal(wanted, reason, feasible, None, kept.model_dump(mode="json"))


def staffing(load: float, patience: float, late: float) -> int:
    """The fewest servers of an M/M/c queue of which at most the share ``late`` of the customers waits too long.

    ``load`` is the mean number of busy servers, ``patience`` how long one may wait, in mean service times.
    """
    if load <= 0:
        return 0
    if load >= MAX_REPLICAS:
        return math.ceil(min(load + NormalDist().inv_cdf(1.0 - late) * math.sqrt(load), 1e9))
    blocked = 1.0
    servers = 0
    while servers <= 2 * MAX_REPLICAS:
        servers += 1
        blocked = load * blocked / (servers + load * blocked)
        if servers <= load:
            continue
        waits = blocked / (1.0 - load / servers * (1.0 - blocked))
        if waits * math.exp(-(servers - load) * patience) <= late:
            break
    return servers
