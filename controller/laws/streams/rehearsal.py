"""Each rule's account: had it been followed, how many items would have been late, and what would it have cost?

The rules are rehearsed side by side on the arrivals that were really seen, each with its own imagined queue and
replicas, start-up included. The one followed is the cheapest by cost plus a price on lateness beyond what is allowed.
What is measured corrects the imagination: by as much as the lateness measured exceeds what was imagined of the rules
followed, all rules are believed to be worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

from controller.laws.streams.plant import Step, advance
from controller.laws.streams.rules import FIRST, RULES, SPANS, Rule, Times, with_backlog

_MEMORY = 3600.0
"""Time constant (s) with which accounts are forgotten."""
_PRIOR = 100.0
"""Seconds of arrivals that the prior opinion of a rule counts for."""
_PRIOR_SLOPE = 1.2
"""A rule that is more cautious by one square root of the load is late exp(1.2) times less often, before anything is
known: about the normal tail around the usual 5 %."""
_AIM = 0.9
"""Aims for this share of the lateness allowed: what is allowed is a bound, not the goal."""
_MOST_PRESSURE = 6.0
"""Lateness measured beyond what is allowed raises the price of lateness, at most by this factor."""
_STICKY = 0.03
"""A rule must be cheaper by this share of the present one's cost to replace it."""
_MOST_SLOTS = 8
_ROUNDING = 0.05
"""Replicas: so small a part of one is not worth another one."""
_NORMAL = NormalDist()
_MODULUS = 2**31


class Accounts(BaseModel):
    """The memory of the rehearsal. The lists have one entry per rule, ``rates`` and ``weights`` one per span.

    ``items``, ``seconds`` and ``work`` (replica seconds) are what arrived, fading like the accounts; ``imagined`` and
    ``measured`` the late items under the rules followed, in imagination and in truth.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    rule: int = Field(default=FIRST, ge=0, lt=len(RULES))
    rates: list[float] = Field(default=[0.0] * len(SPANS), min_length=len(SPANS), max_length=len(SPANS))
    weights: list[float] = Field(default=[0.0] * len(SPANS), min_length=len(SPANS), max_length=len(SPANS))
    queues: list[float] = Field(default=[0.0] * len(RULES), min_length=len(RULES), max_length=len(RULES))
    peaks: list[float] = Field(default=[0.0] * len(RULES), min_length=len(RULES), max_length=len(RULES))
    asked: list[list[int]] = Field(default=[[1]] * len(RULES), min_length=len(RULES), max_length=len(RULES))
    """What each rule asked for lately, over one start-up time: the least of it is what runs."""
    late: list[float] = Field(default=[0.0] * len(RULES), min_length=len(RULES), max_length=len(RULES))
    cost: list[float] = Field(default=[0.0] * len(RULES), min_length=len(RULES), max_length=len(RULES))
    items: float = 0.0
    seconds: float = 0.0
    work: float = 0.0
    imagined: float = 0.0
    measured: float = 0.0
    seed: int = Field(default=0, ge=0, lt=_MODULUS)

    @property
    def late_share(self) -> float:
        """The share of late items measured lately."""
        return min(1.0, self.measured / self.items) if self.items > 0 else 0.0

    def forgotten(self) -> Accounts:
        """What remains when the target is another one: the arrivals and the imagined queues."""
        none = [0.0] * len(RULES)
        changes = {"late": none, "cost": none, "items": 0.0, "seconds": 0.0, "work": 0.0, "imagined": 0.0}
        return self.model_copy(update={**changes, "measured": 0.0})


@dataclass(frozen=True)
class Goal:
    """``late``: the share of items that may be late. ``effort``: how much may be spent, as a share of the work, to
    bring the late share down by that much. ``minimum`` and ``maximum`` bound the replicas."""

    late: float
    effort: float
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Present:
    """What is there: items in the system, replicas that run, and replicas that are on their way."""

    queue: float
    running: float
    coming: float


def chosen(accounts: Accounts, goal: Goal) -> int:
    """The rule to follow, by the accounts alone: the present observation has no say, so that more arrivals now can
    only raise what the rule asks for."""
    if accounts.items <= 0 or accounts.work <= 0:
        return accounts.rule
    load = loads(accounts, accounts.work / accounts.items)[1]
    prior = _PRIOR * accounts.items / accounts.seconds
    items = accounts.items + prior
    aim = _AIM * goal.late
    mistaken = min(max((accounts.measured - accounts.imagined) / items, -0.5 * aim), aim)
    pressure = min(max(math.sqrt(accounts.late_share / goal.late), 1.0), _MOST_PRESSURE)

    def price(place: int) -> float:
        opinion = goal.late * math.exp(_PRIOR_SLOPE * (1.0 - RULES[place].caution(load)))
        late = (accounts.late[place] + prior * opinion) / items + mistaken
        return accounts.cost[place] / accounts.work + goal.effort * pressure * max(0.0, late - aim) / goal.late

    prices = [price(place) for place in range(len(RULES))]
    best = min(range(len(RULES)), key=prices.__getitem__)
    present = accounts.rule
    gain = prices[present] - prices[best]
    return best if gain > _STICKY * accounts.cost[present] / accounts.work else present


def rehearsed(accounts: Accounts, step: Step, times: Times, goal: Goal, late: float) -> Accounts:
    """The accounts after a step; ``late`` items were really late meanwhile."""
    fade = math.exp(-step.seconds / _MEMORY)
    seed = (accounts.seed * 1103515245 + 12345) % _MODULUS
    accounts = _averaged(accounts, step)
    now = loads(accounts, step.service)
    slots = max(1, min(_MOST_SLOTS, round(times.startup / step.seconds)))
    outcomes = [_rehearse(RULES[place], accounts, place, step, now, times, goal, slots) for place in range(len(RULES))]
    return accounts.model_copy(
        update={
            "queues": [outcome.queue for outcome in outcomes],
            "peaks": [outcome.peak for outcome in outcomes],
            "asked": [outcome.asked for outcome in outcomes],
            "late": [before * fade + outcome.late for before, outcome in zip(accounts.late, outcomes, strict=True)],
            "cost": [before * fade + outcome.cost for before, outcome in zip(accounts.cost, outcomes, strict=True)],
            "items": accounts.items * fade + step.arrived,
            "seconds": accounts.seconds * fade + step.seconds,
            "work": accounts.work * fade + step.arrived * step.service,
            "imagined": accounts.imagined * fade + outcomes[accounts.rule].late,
            "measured": accounts.measured * fade + late,
            "seed": seed,
        }
    )


def chance_of(accounts: Accounts) -> float:
    """The standard normal random number of the next step: the same for the same memory."""
    return _NORMAL.inv_cdf((accounts.seed + 0.5) / _MODULUS)


def loads(accounts: Accounts, service: float) -> tuple[float, ...]:
    """The replicas kept busy on average, by span."""
    return tuple(
        rate / weight * service if weight > 0 else 0.0
        for rate, weight in zip(accounts.rates, accounts.weights, strict=True)
    )


def demand(accounts: Accounts, present: Present, times: Times) -> float:
    """The replicas that the rule followed asks for, given what is really there."""
    now = loads(accounts, times.service)
    rule = RULES[accounts.rule]
    need, _ = rule.need(now, accounts.peaks[accounts.rule], 0.0)
    return with_backlog(need, present.queue, present.running, present.coming, now[rule.span], times)


def whole(replicas: float, least: int, most: int) -> int:
    """The count to ask for."""
    return max(least, math.ceil(min(max(replicas - _ROUNDING, 0.0), float(most))))


@dataclass(frozen=True, slots=True)
class _Outcome:
    queue: float
    peak: float
    asked: list[int]
    late: float
    cost: float


def _rehearse(
    rule: Rule,
    accounts: Accounts,
    place: int,
    step: Step,
    now: Sequence[float],
    times: Times,
    goal: Goal,
    slots: int,
) -> _Outcome:
    asked = accounts.asked[place]
    running = float(min(asked))
    queue, late = advance(accounts.queues[place], running, step)
    need, peak = rule.need(now, accounts.peaks[place], step.seconds)
    wish = with_backlog(need, queue, running, asked[-1] - running, now[rule.span], times)
    count = whole(wish, max(1, goal.minimum), goal.maximum)
    # A replica that is given back finishes its item first.
    cost = count * step.seconds + 0.5 * step.service * max(0, asked[-1] - count)
    return _Outcome(queue, peak, [*asked[-slots + 1 :], count] if slots > 1 else [count], late * step.arrived, cost)


def _averaged(accounts: Accounts, step: Step) -> Accounts:
    rates, weights = [], []
    for span, rate, weight in zip(SPANS, accounts.rates, accounts.weights, strict=True):
        gain = 1.0 - math.exp(-step.seconds / span)
        rates.append(rate + gain * (step.arrived / step.seconds - rate))
        weights.append(weight + gain * (1.0 - weight))
    return accounts.model_copy(update={"rates": rates, "weights": weights})
