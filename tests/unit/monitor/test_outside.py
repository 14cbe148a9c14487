"""Prices and metrics from outside."""

from __future__ import annotations

import pytest

from common.domain.capacity import Requests
from common.domain.metrics import COST_ERROR, CURRENT_SPENT, DESIRED_COST
from common.domain.readings import Prices, Query, price_of, value_of
from monitor.outside import Outside
from tests.fakes.clock import FakeClock
from tests.fakes.readings import MemoryReadings
from tests.unit.monitor.builders import ID, info, monitoring_request
from tests.unit.monitor.conftest import Bench

URL = "https://prices.example/now"
PROMETHEUS = "http://prometheus:9090"
ADDRESS = f"{PROMETHEUS}/api/v1/query"
SMALL = Requests(cpu=2.0, memory=4e9)


def vector(*values: str) -> dict[str, object]:
    return {"data": {"resultType": "vector", "result": [{"metric": {}, "value": [1.0, value]} for value in values]}}


@pytest.mark.parametrize(
    ("prices", "told", "price"),
    [
        (Prices(replica=0.12), None, 0.12),
        (Prices(cpu=0.04, memory=0.005), None, 0.1),
        (Prices(url=URL), {"cpu_price": 0.04, "memory_price": 0.005, "more": "x"}, 0.1),
        (Prices(url=URL), {"cpu_price": 0, "memory_price": 0}, None),
    ],
)
def test_the_price_of_a_replica(prices: Prices, told: object, price: float | None) -> None:
    assert price_of(prices, SMALL, told) == (None if price is None else pytest.approx(price))


@pytest.mark.parametrize("told", [None, [], {"cpu_price": 1}, {"cpu_price": "1", "memory_price": 1}])
def test_an_answer_without_prices_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match="price"):
        price_of(Prices(url=URL), SMALL, told)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (vector("3.5"), 3.5),
        (vector("3.5", "1"), 4.5),
        (vector("NaN"), None),
        (vector(), None),
        ({"data": {"resultType": "scalar", "result": [1.0, "7"]}}, 7.0),
    ],
)
def test_what_prometheus_answers_is_one_number(answer: object, value: float | None) -> None:
    assert value_of(answer) == value


@pytest.mark.parametrize("answer", [None, {}, {"data": {"resultType": "matrix", "result": [{"values": []}]}}, "x"])
def test_what_is_no_answer_of_prometheus_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="Prometheus"):
        value_of(answer)


def test_prices_are_asked_once_a_minute_and_stand_in_for_an_hour() -> None:
    clock, readings = FakeClock(now=1000.0), MemoryReadings()
    readings.answers[URL] = {"cpu_price": 0.04, "memory_price": 0.005}
    outside = Outside(readings, clock)
    asked = info(prices=Prices(url=URL), requests=SMALL)
    assert outside.told(asked).price == pytest.approx(0.1)
    clock.advance(59.0)
    outside.told(asked)
    assert len(readings.asked) == 1
    readings.answers.clear()
    clock.advance(2.0)
    told = outside.told(asked)
    assert told.price == pytest.approx(0.1)
    assert "does not answer" in told.trouble
    clock.advance(10.0)
    outside.told(asked)
    assert len(readings.asked) == 2, "who did not answer is left alone for a while"
    clock.advance(3600.0)
    assert outside.told(asked).price is None


def test_a_metric_that_is_not_told_is_not_known() -> None:
    clock, readings = FakeClock(now=1000.0), MemoryReadings()
    readings.answers[ADDRESS, "sum(lag)"] = vector("40")
    outside = Outside(readings, clock)
    asked = info(queries={"lag": Query(url=f"{PROMETHEUS}/", query="sum(lag)")})
    assert outside.told(asked).metrics == {"lag": 40.0}
    readings.answers.clear()
    clock.advance(5.0)
    told = outside.told(asked)
    assert told.metrics == {}
    assert "does not answer" in told.trouble


def test_an_observation_has_them_and_the_series_tell_the_cost(bench: Bench) -> None:
    bench.load()
    bench.readings.answers[ADDRESS, "lag"] = vector("40")
    bench.service.start(
        ID,
        monitoring_request(prices=Prices(replica=0.5), budget=2.0, queries={"lag": Query(url=PROMETHEUS, query="lag")}),
    )
    bench.tick()
    observation = bench.kept.observation
    assert observation is not None
    assert (observation.price, observation.metrics) == (0.5, {"lag": 40.0})
    written = {point.measurement: point.fields["value"] for point in bench.metrics.points if "value" in point.fields}
    assert (written[CURRENT_SPENT.name], written[DESIRED_COST.name], written[COST_ERROR.name]) == (0.0, 2.0, -2.0)


def test_trouble_is_told_and_measuring_goes_on(bench: Bench) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request(prices=Prices(url=URL)))
    bench.tick()
    assert "does not answer" in bench.kept.reason
    assert bench.kept.observation is not None
    assert bench.kept.observation.price is None
