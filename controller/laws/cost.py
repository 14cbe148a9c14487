"""As many replicas as a budget allows, or another law within what it allows.

A replica costs ``price`` an hour: from the settings, or as the monitor measures it from the prices of cores and memory.
``budget`` bounds money per hour, ``total`` money in all. With ``law`` that law decides, and the budget is its maximum:
a deadline with a budget is ``{law: cost, settings: {law: deadline, budget: 3.5}}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.domain.submission import MAX_REPLICAS, Kind
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall
from controller.laws.deadline import Deadline
from controller.laws.latency import Latency

_WITHIN: Mapping[str, Law[Any]] = {"deadline": Deadline(), "latency": Latency()}
_HOUR = 3600.0
_ROUNDING = 1e-9


class CostSettings(LawSettings):
    """At least one of ``budget`` and ``total`` is given. Money is in any currency, the same everywhere."""

    budget: float | None = Field(default=None, ge=0, le=1e12, description="Most money spent in an hour.")
    total: float | None = Field(default=None, ge=0, le=1e12, description="Most money spent in all.")
    price: float | None = Field(
        default=None, gt=0, le=1e12, description="Of a replica for an hour; absent: as monitoring.prices tell."
    )
    law: Literal["deadline", "latency"] | None = Field(
        default=None, description="The law that decides within the budget; absent: the budget is used in full."
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="Of that law.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.budget is None and self.total is None:
            raise ValueError("one of budget (money per hour) and total (money) is needed")
        if self.law is None and self.settings:
            raise ValueError("settings belong to a law: name it in law, or leave them out")
        if self.law is not None:
            _WITHIN[self.law].settings.model_validate(self.settings)
        return self


class _Memory(BaseModel):
    """``spent``: money so far. ``inner``: what the law within the budget remembers."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: float | None = None
    spent: float = Field(default=0.0, ge=0)
    inner: dict[str, Any] = Field(default_factory=dict)


class Cost(Law[CostSettings]):
    """See the module. Without a price it holds; what is asked for is paid for, whether it runs yet or not."""

    settings: ClassVar[type[LawSettings]] = CostSettings
    summary: ClassVar[str] = "as many replicas as a budget allows, or another law within the budget"

    def decide(self, situation: Situation, settings: CostSettings, memory: Memory) -> Proposal:
        seen = situation.observation
        past = recall(_Memory, memory)
        price = settings.price if settings.price is not None else seen.price
        if price is None:
            reason = "holds: no price is known, neither control.settings.price nor monitoring.prices tells one"
            kept = past.model_copy(update={"at": seen.at})
            return Proposal(situation.current, reason, memory=kept.model_dump(mode="json"))
        seconds = 0.0 if past.at is None else max(0.0, seen.at - past.at)
        paid = max(seen.replicas.requested, seen.replicas.observed + seen.replicas.pending)
        spent = min(past.spent + price * paid * seconds / _HOUR, 1e15)
        most, why = _affordable(situation, settings, price, spent)
        bounded = replace(situation, maximum=min(situation.maximum, max(most, situation.minimum)))
        inner = _WITHIN[settings.law] if settings.law is not None else None
        if inner is not None:
            chosen = inner.settings.model_validate(settings.settings)
            proposal = inner.decide(bounded, chosen, past.inner)
        else:
            proposal = _all_of_it(bounded)
        kept = _Memory(at=seen.at, spent=spent, inner=dict(proposal.memory))
        feasible = proposal.feasible and most >= situation.minimum
        wanted = min(proposal.wanted, bounded.maximum)
        reason = f"{proposal.reason}; {why}"
        if most < situation.minimum:
            reason += f", but min is {situation.minimum}"
        return Proposal(wanted, reason, feasible, proposal.eta, kept.model_dump(mode="json"))


def _affordable(situation: Situation, settings: CostSettings, price: float, spent: float) -> tuple[int, str]:
    """The most replicas the budget allows until the next decision, and how that comes."""
    most, why = float(MAX_REPLICAS), []
    if settings.budget is not None:
        most = min(most, settings.budget / price)
        why.append(f"{settings.budget:g} an hour at {price:g} a replica allow {math.floor(most + _ROUNDING)}")
    if settings.total is not None:
        left = max(0.0, settings.total - spent)
        most = min(most, left * _HOUR / (price * situation.interval))
        why.append(f"{left:.4g} of {settings.total:g} is left")
    return math.floor(min(most, float(MAX_REPLICAS)) + _ROUNDING), ", ".join(why)


def _all_of_it(situation: Situation) -> Proposal:
    counts = situation.observation.counts
    wanted = situation.maximum
    if situation.kind is Kind.BATCH or counts.outstanding == 0:
        # More replicas than items only cost.
        wanted = min(wanted, max(counts.outstanding, situation.minimum))
    return Proposal(wanted, "uses the budget")
