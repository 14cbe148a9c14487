"""The parts of the latency law: lateness, the imagined queue, the rules and their accounts."""

from __future__ import annotations

import math

import pytest

from controller.laws.streams.lateness import of_latency, of_wait
from controller.laws.streams.plant import Step, advance
from controller.laws.streams.rehearsal import Accounts, Goal, chance_of, chosen, rehearsed
from controller.laws.streams.rules import RULES, Rule, Times, careful, with_backlog

GOAL = Goal(late=0.05, effort=0.8, minimum=1, maximum=100)
TIMES = Times(service=2.0, startup=15.0, allowed=5.0)


def step(arrived: float, *, seconds: float = 5.0, service: float = 2.0, chance: float = 0.0) -> Step:
    return Step(seconds, arrived, service, 1.0, chance, 5.0, of_wait(5.0))


def test_a_wait_is_late_beyond_its_limit() -> None:
    late = of_wait(5.0)
    assert late.mean(0.0, 5.0) == 0.0
    assert late.mean(5.0, 9.0) == 1.0
    assert late.mean(4.0, 6.0) == pytest.approx(0.5)
    assert late.unavoidable == 0.0


def test_wait_and_service_are_held_together() -> None:
    late = of_latency(5.0, 2.0, 1.0, {})
    # P(S > 5), P(S > 3) of a log-normal of mean 2 and deviation 1
    assert late.unavoidable == pytest.approx(0.0156, abs=0.005)
    assert late.mean(2.0, 2.0) == pytest.approx(0.1361, abs=0.02)
    assert late.mean(5.0, 5.0) == 1.0


def test_service_times_seen_tell_more_than_their_mean() -> None:
    # 90 items of about 1 s (bucket 31 ends at 1.01 s) and 10 of about 9.4 s (bucket 41)
    late = of_latency(5.0, 1.8, 2.4, {31: 90, 41: 10})
    assert late.unavoidable == pytest.approx(0.1, abs=0.005)
    assert late.mean(3.5, 3.5) == pytest.approx(0.1, abs=0.005)
    assert late.mean(4.6, 4.6) > 0.9


def test_a_free_queue_tends_to_its_load_and_nobody_is_late() -> None:
    queue = 0.0
    for _ in range(20):
        queue, late = advance(queue, 20.0, 1.0, step(25.0))
        assert late == 0.0
    assert queue == pytest.approx(10.0, rel=0.01)


def test_a_full_queue_grows_by_what_is_not_served() -> None:
    queue, late = advance(10.0, 5.0, 1.0, step(50.0))
    # 50 come, 5 replicas finish 12.5 meanwhile
    assert queue == pytest.approx(47.5)
    # who arrives at n > 5 waits (n - 5) * 2 / 5 s; n goes from 10 to about 53.75 when clumped: late above 17.5
    assert 0.7 < late < 0.9


def test_a_queue_is_drained_and_then_free() -> None:
    queue, _ = advance(12.0, 10.0, 1.0, step(10.0))
    # 2 too many fall by 3 a second: busy for 2/3 s, then towards the load of 4
    assert queue == pytest.approx(4.0 + 6.0 * math.exp(-(5.0 - 2.0 / 3.0) / 2.0))


def test_without_replicas_everybody_is_late() -> None:
    assert advance(0.0, 0.0, 1.0, step(5.0)) == (5.0, 1.0)


def test_stretched_waits_make_more_late() -> None:
    assert advance(20.0, 8.0, 2.0, step(20.0))[1] > advance(20.0, 8.0, 1.0, step(20.0))[1]


def test_a_rule_remembers_its_peak_for_its_time() -> None:
    rule = Rule(1, 1.0, 120.0)
    need, peak = rule.need((0.0, 9.0, 0.0, 0.0), 0.0, 5.0)
    assert need == peak == 12.0
    need, _ = rule.need((0.0, 0.0, 0.0, 0.0), 12.0, 120.0)
    assert need == pytest.approx(12.0 / math.e)


def test_a_reserve_is_a_multiple_of_the_long_run_load() -> None:
    need, _ = Rule(0, 1.0, 0.0, 2.0).need((0.0, 0.0, 0.0, 7.0), 0.0, 5.0)
    assert need == 14.0


def test_a_backlog_counts_only_what_is_left_when_a_replica_has_started() -> None:
    # 40 wait; 10 replicas with a load of 4 catch up 3 a second: all in less than a start
    assert with_backlog(5.0, 50.0, 10.0, 0.0, 4.0, TIMES) == 5.0
    # with 6 of them one a second: 29 remain, 58 s of work for 20 s
    assert with_backlog(5.0, 50.0, 6.0, 0.0, 4.0, TIMES) == pytest.approx(4.0 + 29.0 * 2.0 / 20.0)


def test_a_bursty_stream_that_is_late_gets_a_more_careful_rule() -> None:
    assert RULES[careful(1.0)].spare < RULES[careful(50.0)].spare
    assert RULES[careful(1.0)].hold == RULES[careful(50.0)].hold == 900.0


def test_while_late_and_young_the_careful_rule_is_followed() -> None:
    accounts = Accounts(items=100.0, seconds=60.0, work=200.0, steps=12.0, squares=10_000.0, measured=50.0)
    assert chosen(accounts, GOAL) == careful(accounts.burstiness)


def test_the_cheapest_rule_that_keeps_the_target_is_followed() -> None:
    cost = [1000.0] * len(RULES)
    late = [0.0] * len(RULES)
    cheap, cheapest = 7, 11
    cost[cheap], cost[cheapest] = 500.0, 400.0
    late[cheapest] = 900.0
    accounts = Accounts(items=3000.0, seconds=3000.0, work=400.0, steps=600.0, squares=16_000.0, cost=cost, late=late)
    assert chosen(accounts, GOAL) == cheap


def test_a_rule_that_is_hardly_cheaper_replaces_none() -> None:
    cost = [1000.0] * len(RULES)
    cost[7], cost[11] = 500.0, 495.0
    accounts = Accounts(rule=7, items=3000.0, seconds=3000.0, work=400.0, steps=600.0, squares=16_000.0, cost=cost)
    assert chosen(accounts, GOAL) == 7


def test_accounts_tell_careful_rules_from_careless_ones_on_poisson_arrivals() -> None:
    accounts = Accounts()
    for arrived in [20, 31, 22, 27, 18, 35, 24, 25, 29, 19] * 60:
        accounts = rehearsed(accounts, step(float(arrived), chance=chance_of(accounts)), TIMES, GOAL, 0.0)
    careless, careful_one = RULES.index(Rule(2, 0.0, 0.0)), RULES.index(Rule(1, 2.0, 120.0))
    assert accounts.late[careless] > accounts.late[careful_one]
    assert accounts.cost[careless] < accounts.cost[careful_one]
    assert accounts.burstiness < 2.0


def test_a_target_that_changes_keeps_rates_and_queues() -> None:
    accounts = Accounts()
    for _ in range(50):
        accounts = rehearsed(accounts, step(25.0), TIMES, GOAL, 5.0)
    fresh = accounts.forgotten()
    assert (fresh.rates, fresh.queues, fresh.asked) == (accounts.rates, accounts.queues, accounts.asked)
    assert fresh.items == fresh.measured == max(fresh.late) == max(fresh.cost) == 0.0
