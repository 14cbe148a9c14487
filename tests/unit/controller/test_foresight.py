"""Forecasts beside decisions, and plans of submissions that are not there yet."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain.capacity import Capacity
from common.domain.history import History
from common.domain.progress import Decision, ServiceTimes
from common.domain.submission import Control, Kind, ReplicaBounds, Target
from common.http.contracts import ForecastAnswer, ForecastRequest
from controller.arbiter import Demand
from controller.deciding import Asked, ask, settle
from controller.foresight import foresee, latest, plan
from controller.laws.cost import CostSettings
from controller.laws.deadline import DeadlineSettings
from controller.record import begin
from tests.unit.controller.builders import START, observed
from tests.unit.controller.plant import BUILT_IN, request_for


def planned(demands: dict[str, Demand] | None = None, capacity: Capacity | None = None, **given: Any) -> ForecastAnswer:
    law = given.pop("law", "deadline")
    request = ForecastRequest(
        **{
            "kind": Kind.BATCH,
            "law": law,
            "control": Control(),
            "replicas": ReplicaBounds(max=20),
            "initial": 1,
            "deadline": 200.0,
            "items": 100,
            "expected_item_time": 10.0,
            **given,
        }
    )
    settings = BUILT_IN.settings(law, given.get("control", Control()).settings)
    return plan(request, BUILT_IN.law(law), settings, demands or {}, capacity, START)


def test_a_plan_tells_how_many_when_and_at_what_cost() -> None:
    answer = planned()
    assert 5 <= answer.wanted <= 15
    assert answer.granted == answer.wanted
    told = answer.forecast
    assert told.feasible and told.p50 is not None and 50 < told.p50 < 200
    assert told.replica_seconds is not None and 900 < told.replica_seconds < 2000
    assert told.reason
    assert (answer.endangered, answer.fits, answer.capacity) == ((), True, None)


def test_history_tells_where_nothing_else_does() -> None:
    unknown = planned(expected_item_time=None)
    assert unknown.forecast.p50 is None
    service = ServiceTimes(count=100, mean=10.0, deviation=2.0, p50=10.0, p95=14.0, longest=15.0, buckets={67: 100})
    history = History(submissions=1, service=service, attempts=100)
    request = request_for("deadline").model_copy(update={"history": history})
    asked = ask(begin(request, START), observed(), BUILT_IN.law("deadline"), DeadlineSettings(), None, START)
    assert isinstance(asked, Asked) and asked.situation is not None
    assert asked.situation.history == history


def test_what_cannot_be_met_is_said_beforehand() -> None:
    answer = planned(deadline=20.0)
    assert not answer.forecast.feasible
    assert answer.forecast.late_by > 0
    assert answer.wanted == 20


def test_a_plan_knows_the_others() -> None:
    busy = Demand(wanted=20, most=20, holding=20, deadline_at=START + 100, work=2000.0)
    alone = planned(capacity=Capacity(replicas=20))
    assert alone.granted == alone.wanted and alone.fits
    smaller = busy.model_copy(update={"work": 990.0, "deadline_at": START + 80})
    beside = planned({"kj-0000001": smaller}, Capacity(replicas=20), deadline=70.0)
    assert not beside.fits and beside.granted < beside.wanted and beside.endangered == ()
    small = planned({"kj-0000001": busy}, Capacity(replicas=20), items=30, deadline=100.0, expected_item_time=9.0)
    assert small.endangered == ("kj-0000001",) and small.fits


def test_too_little_or_nothing_to_do() -> None:
    assert planned(items=None).forecast.p50 is None
    assert "not known" in planned(items=None).forecast.reason
    assert planned(items=0).forecast.p50 == 0.0


def test_other_laws_and_streams_have_plans_too() -> None:
    assert planned(law="threshold").forecast.wanted == 1
    stream = planned(law="latency", kind=Kind.STREAM, target=Target(latency=5.0), deadline=None, items=0)
    assert stream.forecast.p50 is None


def decided(law: str = "deadline", given: dict[str, Any] | None = None, **seen: Any) -> tuple[Asked, Decision]:
    """A decision by that law with these settings, upon an observation."""
    record = begin(request_for(law, maximum=20, expected=10.0, settings=given or {}), START)
    noticed = observed(**{"deadline": 600.0, "elapsed": 100.0, "mean": 10.0, "count": 48, **seen})
    asked = ask(record, noticed, BUILT_IN.law(law), BUILT_IN.settings(law, given or {}), None, START)
    assert isinstance(asked, Asked)
    decision = settle(asked, None, START).decision
    assert decision is not None
    return asked, decision


def test_a_forecast_belongs_to_a_decision() -> None:
    record = begin(request_for("deadline", maximum=20, expected=10.0), START)
    law, settings = BUILT_IN.law("deadline"), BUILT_IN.settings("deadline", {})
    seen = observed(deadline=600.0, elapsed=100.0, mean=10.0, count=48)
    asked, decision = decided()
    told = foresee(asked, decision, settings)
    assert told is not None and told.p50 is not None and told.p50 > 100.0
    assert (told.wanted, told.reason) == (decision.granted, decision.reason)
    blind = ask(record, seen.model_copy(update={"cluster_available": False}), law, settings, None, START)
    assert isinstance(blind, Asked)
    assert foresee(blind, decision, settings) is None


def test_a_forecast_is_made_again_only_when_it_may_tell_something_new() -> None:
    settings = DeadlineSettings()
    asked, decision = decided()
    told = latest(None, asked, decision, settings)
    assert told is not None and told.p50 is not None
    wanted = decision.granted

    def again(**changes: Any) -> bool:
        later, new = decided(**changes)
        new = new.model_copy(update={"granted": wanted})
        return latest(told, later, new, settings) is not told

    assert not again(at=START + 105.0, elapsed=105.0)
    assert again(at=START + 130.0, elapsed=130.0), "it is old"
    assert again(at=START + 99.0), "the clock stepped back"
    assert again(deadline=610.0), "another deadline"
    assert not again(at=START + 115.0, elapsed=115.0)
    assert again(at=START + 115.0, elapsed=told.p50 - 20.0), "near the end so many seconds are long"
    infeasible = decision.model_copy(update={"feasible": False})
    assert latest(told, asked, infeasible, settings) is not told
    more = decision.model_copy(update={"granted": wanted + 5})
    renewed = latest(told, asked, more, settings)
    assert renewed is not None and renewed.wanted == wanted + 5


def test_the_last_forecast_stands_while_the_cluster_does_not_answer() -> None:
    asked, decision = decided()
    told = foresee(asked, decision, DeadlineSettings())
    blind, held = decided(at=START + 200.0, cluster_available=False)
    assert latest(told, blind, held, DeadlineSettings()) is told
    assert latest(None, blind, held, DeadlineSettings()) is None


def test_a_forecast_tells_money_where_a_price_is_known() -> None:
    asked, decision = decided(price=0.5, replica_seconds=7200.0, spent=0.9)
    told = foresee(asked, decision, DeadlineSettings())
    assert told is not None and told.replica_seconds is not None and told.projected is not None
    assert (told.price, told.spent_seconds, told.spent) == (0.5, 7200.0, 0.9)
    assert told.projected == pytest.approx(0.9 + 0.5 * told.replica_seconds / 3600.0)
    asked, decision = decided(replica_seconds=7200.0)
    unknown = foresee(asked, decision, DeadlineSettings())
    assert unknown is not None
    assert (unknown.price, unknown.spent, unknown.projected, unknown.spent_seconds) == (None, None, None, 7200.0)


def test_a_law_with_a_price_of_its_own_tells_money() -> None:
    given = {"price": 2.0, "budget": 10.0, "law": "deadline"}
    asked, decision = decided("cost", given, replica_seconds=3600.0)
    told = foresee(asked, decision, CostSettings.model_validate(given))
    assert told is not None
    assert (told.price, told.spent) == (2.0, pytest.approx(2.0))


def test_a_deadline_within_a_budget_is_foreseen_to_steer() -> None:
    """With money for five replicas the deadline law catches up as far as these go, and no further."""
    rich, poor = ({"price": 1.0, "budget": budget, "law": "deadline"} for budget in (20.0, 2.0))
    seen = {"ready": 200, "total": 250, "deadline": 420.0, "observed": 2, "startup": 1.0}
    told = []
    for given in (rich, poor):
        asked, decision = decided("cost", given, **seen)
        told.append(foresee(asked, decision, CostSettings.model_validate(given)))
    assert told[0] is not None and told[1] is not None
    assert told[0].chance is not None and told[1].chance is not None
    assert told[0].chance > 0.9 > 0.1 > told[1].chance
    assert not told[1].feasible


def test_a_plan_tells_what_it_will_have_cost() -> None:
    told = planned(price=3.6).forecast
    assert told.replica_seconds is not None
    assert (told.price, told.spent) == (3.6, 0.0)
    assert told.projected == pytest.approx(told.replica_seconds / 1000.0)
    assert planned().forecast.projected is None
