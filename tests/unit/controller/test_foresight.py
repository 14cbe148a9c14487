"""Forecasts beside decisions, and plans of submissions that are not there yet."""

from __future__ import annotations

from typing import Any

from common.domain.capacity import Capacity
from common.domain.history import History
from common.domain.progress import ServiceTimes
from common.domain.submission import Control, Kind, ReplicaBounds, Target
from common.http.contracts import ForecastAnswer, ForecastRequest
from controller.arbiter import Demand
from controller.deciding import Asked, ask, settle
from controller.foresight import foresee, plan
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
    beside = planned({"kj-0000001": busy.model_copy(update={"work": 1050.0})}, Capacity(replicas=20), deadline=80.0)
    assert not beside.fits and beside.granted < beside.wanted and beside.endangered == ()
    small = planned({"kj-0000001": busy}, Capacity(replicas=20), items=5, deadline=100.0, expected_item_time=9.0)
    assert small.endangered == ("kj-0000001",) and small.fits


def test_too_little_or_nothing_to_do() -> None:
    assert planned(items=None).forecast.p50 is None
    assert "not known" in planned(items=None).forecast.reason
    assert planned(items=0).forecast.p50 == 0.0


def test_other_laws_and_streams_have_plans_too() -> None:
    assert planned(law="threshold").forecast.wanted == 1
    stream = planned(law="latency", kind=Kind.STREAM, target=Target(latency=5.0), deadline=None, items=0)
    assert stream.forecast.p50 is None


def test_a_forecast_belongs_to_each_decision() -> None:
    record = begin(request_for("deadline", maximum=20, expected=10.0), START)
    law, settings = BUILT_IN.law("deadline"), BUILT_IN.settings("deadline", {})
    seen = observed(deadline=600.0, elapsed=100.0, mean=10.0, count=48)
    asked = ask(record, seen, law, settings, None, START)
    assert isinstance(asked, Asked)
    decision = settle(asked, None, START).decision
    assert decision is not None
    told = foresee(asked, decision, settings)
    assert told is not None and told.p50 is not None and told.p50 > 100.0
    assert (told.wanted, told.reason) == (decision.granted, decision.reason)
    blind = ask(record, seen.model_copy(update={"cluster_available": False}), law, settings, None, START)
    assert isinstance(blind, Asked)
    assert foresee(blind, decision, settings) is None
