"""The deadline law: meets deadlines with few replicas, says what cannot be done, does not flap."""

from __future__ import annotations

import math

import pytest

from common.domain.progress import ServiceTimes
from controller.laws.deadline import Deadline, DeadlineSettings
from controller.laws.estimate import item_time
from tests.unit.controller.builders import START, observed, situation
from tests.unit.controller.plant import Plant, lognormal, request_for, simulate

LAW = Deadline()
SETTINGS = DeadlineSettings()


def known(**given):
    """Items of 10 s, well known."""
    return observed(**{"count": 48, "mean": 10.0, "deviation": 1.0, "longest": 12.0, "attempts": 50, **given})


@pytest.mark.parametrize("slackness", [1.3, 2.0, 4.0])
@pytest.mark.parametrize("variation", [0.0, 0.3])
def test_even_items_meet_the_deadline_with_few_replicas(slackness: float, variation: float) -> None:
    items = lognormal(120, 10.0, variation, seed=3) if variation else [10.0] * 120
    work, startup = sum(items), 4.0
    deadline = startup + max(items) + slackness * work / 12
    run = simulate(Plant(items, startup=startup), request_for("deadline", maximum=20), deadline=deadline)
    fewest = math.ceil(work / (deadline - startup))
    assert run.finished <= deadline
    assert run.replica_seconds <= 1.25 * (work + startup * fewest)


def test_heavy_tails_meet_a_loose_deadline() -> None:
    items = lognormal(150, 10.0, 1.0, seed=5)
    deadline = 4 * sum(items) / 20
    run = simulate(Plant(items), request_for("deadline", maximum=40), deadline=deadline)
    assert run.finished <= deadline


def test_a_hint_saves_the_exploring() -> None:
    items = [20.0] * 60
    plain = simulate(Plant(items), request_for("deadline", maximum=40), deadline=400.0)
    hinted = simulate(Plant(items), request_for("deadline", maximum=40, expected=20.0), deadline=400.0)
    assert hinted.finished <= 400.0
    assert hinted.decisions[0].granted < plain.decisions[0].granted


def test_a_steady_plant_gets_a_steady_count() -> None:
    run = simulate(Plant([2.0] * 600), request_for("deadline", maximum=20, expected=2.0), deadline=300.0)
    middle = [d.granted for d in run.decisions if 40 < d.at - run.decisions[0].at < 200]
    assert run.finished <= 300.0
    assert max(middle) - min(middle) <= 1
    ups = sum(d.granted > d.previous for d in run.decisions)
    assert ups <= 3, "it rises at the start and never again"


def test_replicas_are_given_back_when_ahead() -> None:
    proposal, memory, current = None, {}, 10
    for number in range(4):
        seen = known(ready=20, leased=10, done=70, deadline=1000.0, observed=10, at=1_700_000_100.0 + 5 * number)
        proposal = LAW.decide(situation(seen, current=current), SETTINGS, memory)
        memory, current = proposal.memory, proposal.wanted
    assert current == 2, "the steady pace: 100 items of 10 s in 1000 s leave no room for one that is late"


def test_giving_back_needs_patience() -> None:
    memory, counts = {}, []
    for seconds in (0.0, 5.0, 9.0, 10.0):
        seen = known(ready=20, leased=10, done=70, deadline=1000.0, observed=10, at=START + seconds)
        proposal = LAW.decide(situation(seen, current=10), DeadlineSettings(patience=10), memory)
        memory = proposal.memory
        counts.append(proposal.wanted)
    assert counts == [10, 10, 10, 2]


def test_an_infeasible_deadline_is_said_with_the_lateness_and_gets_everything() -> None:
    proposal = LAW.decide(situation(known(ready=500, total=550, deadline=110.0)), SETTINGS, {})
    assert proposal.wanted == 10
    assert not proposal.feasible
    assert "late" in proposal.reason
    # 500 items of 10 s on 10 replicas are about 500 s; 10 s are left.
    assert "8m" in proposal.reason
    assert proposal.eta == pytest.approx(510, rel=0.1)


def test_never_more_replicas_than_items() -> None:
    proposal = LAW.decide(situation(known(ready=1, leased=2, done=97, deadline=101.0)), SETTINGS, {})
    assert proposal.wanted == 3


def test_the_last_items_keep_their_replicas_and_no_others() -> None:
    seen = known(ready=0, leased=3, done=97, deadline=1000.0, observed=10, running=(9.0, 2.0, 1.0))
    assert LAW.decide(situation(seen, current=10), SETTINGS, {}).wanted == 3


def test_nothing_known_begins_with_the_users_count_or_a_third_of_max() -> None:
    seen = observed(ready=100, leased=0, done=0, deadline=1000.0, observed=0, requested=1)
    assert LAW.decide(situation(seen, current=1, maximum=40), SETTINGS, {}).wanted == 16
    assert LAW.decide(situation(seen, current=1, maximum=40, initial=3), SETTINGS, {}).wanted == 3


def test_items_that_take_ever_longer_raise_the_count_before_any_has_finished() -> None:
    seen = observed(ready=90, leased=10, done=0, deadline=1000.0, observed=10, running=(200.0,) * 10, elapsed=210.0)
    assert LAW.decide(situation(seen, current=10, maximum=40), SETTINGS, {}).wanted > 25


def test_without_deadline_it_holds_and_says_so() -> None:
    seen = known(deadline=None)
    proposal = LAW.decide(situation(seen, initial=4), SETTINGS, {})
    assert (proposal.wanted, "no deadline" in proposal.reason) == (4, True)
    assert LAW.decide(situation(seen, minimum=2), SETTINGS, {}).wanted == 2


def test_failing_attempts_count_as_work() -> None:
    sound = known(ready=100, leased=2, total=150, deadline=400.0, failures=0, attempts=100)
    failing = known(ready=100, leased=2, total=150, deadline=400.0, failures=50, attempts=100)
    few = LAW.decide(situation(sound, maximum=40), SETTINGS, {}).wanted
    many = LAW.decide(situation(failing, maximum=40), SETTINGS, {}).wanted
    assert many > 1.5 * few


def test_start_up_time_is_planned_for() -> None:
    quick = known(ready=100, leased=2, total=150, deadline=200.0, startup=0.5)
    slow = known(ready=100, leased=2, total=150, deadline=200.0, startup=40.0)
    few = LAW.decide(situation(quick, maximum=100), SETTINGS, {}).wanted
    assert LAW.decide(situation(slow, maximum=100), SETTINGS, {}).wanted > few


def test_contention_is_learned_from_the_pace() -> None:
    """Two replicas, of which each item costs twice its service time: the measured pace counts, not the service."""
    memory, proposal = {}, None
    for number in range(30):
        seen = known(
            at=1_700_000_000.0 + 10 * number,
            elapsed=10.0 * number,
            ready=100 - number,
            leased=2,
            done=number,
            total=102,
            deadline=2000.0,
            observed=2,
            running=(5.0, 5.0),
        )
        proposal = LAW.decide(situation(seen, current=2, interval=10.0), SETTINGS, memory)
        memory = proposal.memory
    honest = LAW.decide(situation(seen, current=2, interval=10.0), SETTINGS, {})
    assert proposal is not None
    assert proposal.eta > 1.3 * honest.eta


def test_a_slow_start_does_not_pass_for_slow_items() -> None:
    """A worker that imports for two seconds before its first item of 50 ms has not become 2 s slow an item."""
    memory, proposal = {}, None
    for second, done in ((0.0, 0), (1.0, 0), (2.0, 0), (3.0, 20)):
        counts = {"ready": 1000 - done, "leased": 1, "done": done, "total": 1001, "observed": 1}
        service = {"count": done, "mean": 0.05, "deviation": 0.01, "longest": 0.06}
        seen = observed(at=START + second, elapsed=second, deadline=120.0, **counts, **service)
        proposal = LAW.decide(situation(seen, current=1, interval=1.0, expected_item_time=0.05), SETTINGS, memory)
        memory = proposal.memory
    assert proposal is not None
    assert proposal.wanted == 1


def test_one_item_timeout_bounds_the_tail() -> None:
    heavy = {"mean": 10.0, "deviation": 30.0, "longest": 60.0, "count": 40}
    seen = known(ready=60, leased=2, total=110, deadline=500.0, **heavy)
    free = LAW.decide(situation(seen, maximum=100), SETTINGS, {}).wanted
    bounded = LAW.decide(situation(seen, maximum=100, item_timeout=20.0), SETTINGS, {}).wanted
    assert bounded < free


def test_running_items_raise_a_mean_of_short_ones_only() -> None:
    done = ServiceTimes(count=3, mean=2.0, deviation=0.5, longest=2.5)
    alone = item_time(done, None, None)
    beside = item_time(done.model_copy(update={"running": (30.0, 30.0, 30.0)}), None, None)
    assert alone is not None
    assert beside is not None
    assert beside.mean > 5 * alone.mean
