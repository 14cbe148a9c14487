"""The families are what the issue's formulas say, come from their seed alone, and their judges judge rightly."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest

from controller.laws import Law, LawSettings, Memory, Proposal, Situation
from simulator import PlantModel, simulate, simulate_one
from simulator.clairvoyant import Demand, earliest_deadline_first
from simulator.distributions import Constant
from simulator.scenarios import published
from simulator.scenarios.bags import MEAN, Bag, Known, Tightness, bag, bag_of, bags, judge
from simulator.scenarios.shared import crowd, met_of
from simulator.scenarios.streams import Pattern, judge_stream, stream, stream_of
from tests.unit.simulator.worlds import batch


class Curious(Law[LawSettings]):
    """Tells what it was told beforehand."""

    def decide(self, situation: Situation, settings: LawSettings, memory: Memory) -> Proposal:
        history = situation.history
        if history is None:
            return Proposal(40, "nothing")
        service = history.service
        told = f"timeout {situation.item_timeout:g}, history of {service.count} items of {service.mean:g} s"
        return Proposal(40, told)


EVEN = Bag("even", (30.0,) * 100, (30.0,) * 100)


def test_the_formulas_of_the_bags() -> None:
    # W = 3000, S = 15: D = max(1.6 * 30 + 30, 15 + t * 150).
    assert [EVEN.deadline(tightness) for tightness in Tightness] == [165.0, 315.0, 615.0]
    assert [EVEN.clairvoyant(tightness) for tightness in Tightness] == [20, 10, 5]
    short = Bag("short", (30.0,) * 10 + (300.0,), ())
    assert short.deadline(Tightness.TIGHT) == pytest.approx(1.6 * 300.0 + 30.0)
    long = Bag("long", (30.0, 300.0, 290.0, 280.0), ())
    assert long.clairvoyant(Tightness.TIGHT) == 3


def test_a_bag_is_judged_against_the_clairvoyant() -> None:
    case = EVEN.case(Tightness.TIGHT, Known.NOTHING, "scripted", {"steps": [[0, 20]]})
    verdict = judge(EVEN, Tightness.TIGHT, simulate_one(case))
    # 20 replicas do five rounds of 30 s after 15 s: exactly what the clairvoyant does.
    assert verdict.met
    assert verdict.cost == pytest.approx(1.0)
    assert (verdict.excess, verdict.peak) == (0.0, 1.0)
    case = EVEN.case(Tightness.TIGHT, Known.NOTHING, "scripted", {"steps": [[0, 40]]})
    verdict = judge(EVEN, Tightness.TIGHT, simulate_one(case))
    # 40 replicas for 15 + 90 s, half of them too many.
    assert verdict.cost == pytest.approx(40 * 105.0 / (3000.0 + 15.0 * 20))
    assert (verdict.excess, verdict.peak) == (pytest.approx(0.5), 2.0)


def test_what_is_known_reaches_the_law() -> None:
    told = EVEN.case(Tightness.TIGHT, Known.HISTORY, "deadline")
    assert told.spec.item_timeout == pytest.approx(36.0)
    assert len(told.knowledge.history) == 100
    assert EVEN.case(Tightness.TIGHT, Known.NOTHING, "deadline").spec.item_timeout is None
    seen = simulate_one(replace(told, law=Curious())).decisions[0].reason
    assert seen == "timeout 36, history of 100 items of 30 s"
    blind = replace(EVEN.case(Tightness.TIGHT, Known.NOTHING, "deadline"), law=Curious())
    assert simulate_one(blind).decisions[0].reason == "nothing"


def test_bags_have_the_mean_and_come_from_their_seed() -> None:
    some = list(bags(12, seed=3))
    assert all(statistics.fmean(one.durations) == pytest.approx(MEAN) for one in some)
    assert some[:6] == list(bags(6, seed=3))
    assert bag(7, seed=3) == some[7]
    assert bag(7, seed=4) != some[7]
    assert {one.spread for one in bags(60)} == {"even", "mixed", "heavy"}
    assert bag_of("x", [1.0, 3.0], [2.0]) == Bag("x", (15.0, 45.0), (30.0,))


@pytest.mark.parametrize("pattern", [Pattern.SMOOTH, Pattern.DIURNAL, Pattern.BURSTY])
def test_streams_bring_the_load_they_are_made_for(pattern: Pattern) -> None:
    one = stream(0, pattern, seed=2)
    assert one == stream(0, pattern, seed=2)
    assert 3.0 < one.load < 60.0
    assert list(one.arrivals) == sorted(one.arrivals)


def test_a_stream_is_judged_by_its_waits() -> None:
    # One replica, there after 15 s: the first item waits 15 s, the others nothing.
    one = stream_of("few", Pattern.SMOOTH, [100.0, *(120.0 + 10.0 * place for place in range(9))], [1.0] * 10)
    assert one.arrivals[0] == 0.0
    verdict = judge_stream(one, simulate_one(one.case("nop")))
    assert verdict.within == pytest.approx(0.9)
    assert not verdict.attained
    assert verdict.cost == pytest.approx((100.0 + 1.0) / 10.0)


def test_the_clairvoyant_serves_who_is_due_first() -> None:
    early = Demand(0.0, 40.0, (10.0,) * 6, most=2)
    late = Demand(0.0, 100.0, (10.0,) * 6, most=2)
    assert earliest_deadline_first([late, early], capacity=2, startup=5.0) == [70.0, 35.0]


def test_the_clairvoyant_lets_the_hopeless_wait() -> None:
    hopeless = Demand(0.0, 15.0, (30.0, 30.0), most=2)
    other = Demand(0.0, 60.0, (20.0, 20.0), most=2)
    ends = earliest_deadline_first([hopeless, other], capacity=1, startup=0.0)
    assert ends == [100.0, 40.0]


def test_the_clairvoyant_waits_for_submissions_and_keeps_to_the_most() -> None:
    one = Demand(50.0, 100.0, (10.0,) * 4, most=1)
    assert earliest_deadline_first([one], capacity=3, startup=5.0) == [95.0]


def test_a_crowd_shares_its_capacity_by_the_arbiter() -> None:
    one = crowd(0)
    assert one == crowd(0)
    runs = simulate(one.cases("deadline"), capacity=one.capacity)
    assert len(runs) == len(one.arrivals)
    assert all(run.finished is not None for run in runs)
    assert met_of(runs) <= len(runs)
    told = [decision.reason for run in runs for decision in run.decisions if "arbiter: " in decision.reason]
    assert told


def test_without_the_arbiter_who_asks_first_is_served_first() -> None:
    # The cluster has two places; the urgent batch comes second and must wait for the first one to end.
    first = batch([30.0] * 4, 2, deadline=10_000.0, case={"submitted_at": 0.0})
    urgent = batch([10.0] * 2, 2, deadline=60.0, case={"submitted_at": 1.0})
    runs = simulate([first, urgent], capacity=2, arbitrated=False)
    assert [run.met for run in runs] == [True, False]


@pytest.mark.parametrize("items", sorted(published.SECONDS))
def test_the_fitted_plant_reproduces_the_published_table(items: int) -> None:
    errors = []
    for replicas, seconds in zip(published.REPLICAS, published.SECONDS[items], strict=True):
        case = batch([published.ITEM_SECONDS] * items, replicas, plant=published.PLANT)
        finished = simulate_one(case).finished
        assert finished is not None
        errors.append(finished / seconds - 1.0)
    assert max(map(abs, errors)) < 0.065
    assert math.sqrt(statistics.fmean(error * error for error in errors)) < 0.04


def test_more_replicas_gain_nothing_once_the_launches_take_longest() -> None:
    plant = PlantModel(startup=Constant(6.0), launch_interval=1.0)
    few, many = (simulate_one(batch([0.2] * 327, count, plant=plant)).finished or 0.0 for count in (12, 40))
    assert few - many < 0.1 * few
