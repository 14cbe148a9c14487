"""The fewest replicas that keep the asked share of a stream's items within the target.

No single rule of thumb does that for smooth, daily and bursty arrivals alike. So candidate rules are rehearsed on the
arrivals that come in, each with imagined replicas that start as late as real ones; the cheapest that would have kept
the target is followed (see ``controller.laws.streams``). The lateness that is really measured corrects what is
imagined, so that no constant of the rules need be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from asperathos_worker.queue.histogram import GROWTH, SMALLEST
from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration, PositiveDuration
from common.domain.progress import Observation
from common.domain.units import format_duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall
from controller.laws.streams.lateness import Lateness, of_latency, of_wait
from controller.laws.streams.plant import Step
from controller.laws.streams.rehearsal import (
    Accounts,
    Goal,
    Present,
    chance_of,
    chosen,
    demand,
    loads,
    rehearsed,
    whole,
)
from controller.laws.streams.rules import RULES, Times

_USUAL_STARTUP = 10.0
"""Seconds from asking for a replica to its first item, until one was measured."""
_LEAST_ALLOWED = 0.1
"""Share of the target that an item may wait at least, when the work itself takes all of it."""
_LEFT_TO_WAITING = 0.25
"""Where the work alone makes nearly as many late as may be, or more, so much of that may be late by waiting too:
to hunt for the last of them would cost without end."""
_LONG_IDLE = 20.0
"""Idle for so many times ``idle``: then no replica is kept, whatever the next item will wait."""
_HINT_WEIGHT = 3.0
"""The user's hint of an item's time counts as so many finished items."""
_UNKNOWN = 1.0
"""Seconds that an item is taken to last while nothing at all is known."""
_STILL_RUNNING = 1.5
"""While few have finished, an item is taken to last so many times the mean age of those in work."""
_USUAL_VARIATION = 1.0
_MOST_VARIATION = 5.0
_FEW = 5
_MOST_KEPT = 64
_SHORTEST = 0.01
_LONGEST = 86_400.0
"""Seconds between two measurements: shorter is none, and after a longer silence nothing of before counts anyway."""


class LatencySettings(LawSettings):
    """All have sensible defaults."""

    wait: PositiveDuration | None = Field(
        default=None,
        description="How long an item may wait for a replica; absent: wait and work together are held to the target.",
    )
    effort: float = Field(
        default=0.8,
        ge=0,
        le=1000,
        description="How much may be spent, as a share of the work, to bring the late share down by what is allowed.",
    )
    hold: Duration = Field(default=20.0, description="Replicas are given back when they were too many for so long.")
    idle: Duration = Field(default=60.0, description="Where min is 0: no replica after so long without an item.")


class _Memory(BaseModel):
    """``put``: items that ever arrived; ``waits``: the histogram of waits, both as last seen. ``goal`` tells a new
    target from the old one. ``busy_at``: when there was last an item. ``cold``: items that came while nothing ran,
    fading like the accounts. ``wanted``: what was wanted lately, as (Unix seconds, replicas)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: float | None = None
    put: int = 0
    waits: dict[int, int] = Field(default_factory=dict)
    goal: tuple[float, float, bool] | None = None
    busy_at: float | None = None
    cold: float = 0.0
    wanted: tuple[tuple[float, int], ...] = ()
    accounts: Accounts = Field(default_factory=Accounts)


@dataclass(frozen=True)
class _Service:
    """The believed service time: mean (s) and coefficient of variation."""

    mean: float
    variation: float


class Latency(Law[LatencySettings]):
    """See the module."""

    settings: ClassVar[type[LawSettings]] = LatencySettings
    summary: ClassVar[str] = "the fewest replicas that keep waiting plus service within the target (streams)"

    def decide(self, situation: Situation, settings: LatencySettings, memory: Memory) -> Proposal:
        seen = situation.observation
        latency = situation.target.latency if situation.target is not None else seen.target
        if latency is None and settings.wait is None:
            return Proposal(situation.current, "holds: without a target there is nothing to keep", memory=dict(memory))
        limit = settings.wait if settings.wait is not None else latency or 0.0
        late = 1.0 - (situation.target.percentile if situation.target is not None else 95.0) / 100
        service = _service(situation, limit)
        lateness = _lateness(seen, service, limit, settings)
        times = _times(seen, service, limit, settings)
        may = max(late, lateness.unavoidable + _LEFT_TO_WAITING * late, 1e-6)
        goal = Goal(may, settings.effort, situation.minimum, situation.maximum)
        past = recall(_Memory, memory)
        told = (limit, late, settings.wait is not None)
        if past.goal != told:
            past = past.model_copy(update={"goal": told, "accounts": past.accounts.forgotten(), "cold": 0.0})
        present = _learned(past, situation, service, times, lateness, goal)
        return _propose(situation, settings, present, service, times, goal, lateness.unavoidable > late)


def _learned(
    past: _Memory, situation: Situation, service: _Service, times: Times, lateness: Lateness, goal: Goal
) -> _Memory:
    """The memory after this observation. Items that were there at the first one are a backlog, not arrivals."""
    seen = situation.observation
    counts = seen.counts
    put = counts.outstanding + counts.done + counts.dead
    changes: dict[str, object] = {"at": seen.at, "put": put, "waits": dict(seen.waits)}
    if past.at is None or seen.at < past.at:
        changes["busy_at"] = seen.at
        return past.model_copy(update=changes)
    seconds = min(seen.at - past.at, _LONGEST)
    arrived = max(0, put - past.put)
    if counts.outstanding > 0 or arrived > 0:
        changes["busy_at"] = seen.at
    if seconds < _SHORTEST:
        # The same measurement again: what arrived since is seen with the next one.
        return past.model_copy(update={"busy_at": changes.get("busy_at", past.busy_at)})
    accounts = past.accounts.model_copy(update={"rule": chosen(past.accounts, goal)})
    step = Step(
        seconds=seconds,
        arrived=float(arrived),
        service=times.service,
        variation=service.variation,
        chance=chance_of(accounts),
        allowed=times.allowed,
        lateness=lateness,
    )
    changes["accounts"] = after = rehearsed(accounts, step, times, goal, _late_items(past.waits, seen.waits, lateness))
    fade = after.seconds / (accounts.seconds + seconds)
    changes["cold"] = past.cold * fade + (arrived if seen.replicas.observed == 0 else 0)
    return past.model_copy(update=changes)


def _propose(
    situation: Situation,
    settings: LatencySettings,
    memory: _Memory,
    service: _Service,
    times: Times,
    goal: Goal,
    hopeless: bool,
) -> Proposal:
    seen = situation.observation
    queue = seen.counts.outstanding
    running = float(seen.replicas.observed)
    coming = max(0.0, situation.current - running)
    need = demand(memory.accounts, Present(float(queue), running, coming), times)
    wish = whole(need, 1, 10**9)
    said = []
    if _may_stop(situation, settings, memory, times, goal, wish):
        wish = 0
        if times.startup > times.allowed:
            said.append(f"idle; the next item waits about {format_duration(times.startup)} for a replica")
    recent = tuple(past for past in memory.wanted if seen.at - settings.hold < past[0] < seen.at)[-_MOST_KEPT:]
    held = wish if wish == 0 else max([wish, *(count for _, count in recent)])
    if held > wish:
        said.append(f"{held} were needed within the last {format_duration(settings.hold)}")
    feasible = wish <= situation.maximum
    if wish > situation.maximum:
        said.append(f"max is {situation.maximum}")
    if hopeless:
        feasible = False
        said.append("too many items take longer than the target by themselves")
    reason = "; ".join([_told(memory, seen, service, goal, wish), *said])
    kept = memory.model_copy(update={"wanted": (*recent, (seen.at, wish))})
    return Proposal(situation.clamp(held), reason, feasible, None, kept.model_dump(mode="json"))


def _told(memory: _Memory, seen: Observation, service: _Service, goal: Goal, wish: int) -> str:
    accounts = memory.accounts
    load = loads(accounts, service.mean)[1]
    waiting = seen.counts.ready + seen.counts.delayed
    arriving = f"{load / service.mean:.2f} items/s of {format_duration(service.mean)} keep {load:.1f} busy"
    late = f"{accounts.late_share:.1%} late lately ({goal.late:.1%} may be)"
    return f"{arriving}, {waiting} waiting, {late}: {wish} by the rule {RULES[accounts.rule]}"


def _may_stop(
    situation: Situation, settings: LatencySettings, memory: _Memory, times: Times, goal: Goal, wish: int
) -> bool:
    """Whether no replica need be kept: idle for a while, and the items that will wait for a start are few enough, or
    idle for long."""
    seen = situation.observation
    if situation.minimum > 0 or seen.counts.outstanding > 0 or memory.busy_at is None:
        return False
    idle = seen.at - memory.busy_at
    if idle < settings.idle:
        return False
    if idle >= _LONG_IDLE * settings.idle:
        return True
    affordable = times.startup <= times.allowed or memory.cold + 1.0 <= goal.late * (memory.accounts.items + 1.0)
    return wish <= 1 and affordable


def _service(situation: Situation, limit: float) -> _Service:
    seen, hint = situation.observation.service, situation.expected_item_time
    earlier = situation.history.service if situation.history is not None else None
    if hint is None and earlier is not None:
        hint = earlier.mean
    if hint is not None and situation.item_timeout is not None:
        hint = min(hint, situation.item_timeout)
    known = seen.count + (_HINT_WEIGHT if hint is not None else 0.0)
    mean = (seen.count * seen.mean + _HINT_WEIGHT * (hint or 0.0)) / known if known > 0 else min(_UNKNOWN, limit / 2)
    if seen.count < _FEW and seen.running:
        # Short items finish first: those that run tell more, while few have finished.
        mean = max(mean, _STILL_RUNNING * sum(seen.running) / len(seen.running))
    mean = max(mean, SMALLEST)
    variation = _USUAL_VARIATION if seen.count < _FEW else min(seen.deviation / mean, _MOST_VARIATION)
    return _Service(mean, variation)


def _lateness(seen: Observation, service: _Service, limit: float, settings: LatencySettings) -> Lateness:
    if settings.wait is not None:
        return of_wait(limit)
    return of_latency(limit, service.mean, service.variation * service.mean, seen.service.buckets)


def _times(seen: Observation, service: _Service, limit: float, settings: LatencySettings) -> Times:
    startup = seen.startup if seen.startup is not None else _USUAL_STARTUP
    allowed = limit if settings.wait is not None else max(limit - service.mean, _LEAST_ALLOWED * limit)
    return Times(service.mean, startup, allowed)


def _late_items(before: Mapping[int, int], now: Mapping[int, int], lateness: Lateness) -> float:
    """How many of those who began to be served between two histograms of waits were late."""
    late = 0.0
    for bucket, number in now.items():
        more = number - before.get(bucket, 0)
        if more > 0:
            top = SMALLEST * GROWTH**bucket
            late += more * lateness.mean(top / GROWTH if bucket else 0.0, top)
    return late
