"""Streams, and the laws that do not look."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from common.domain.submission import Kind, Target
from controller.laws.base import LawSettings
from controller.laws.fixed import Nop, Scripted, ScriptedSettings
from controller.laws.latency import Latency, LatencySettings, staffing
from tests.unit.controller.builders import observed, situation
from tests.unit.controller.plant import Plant, request_for, simulate


def stream(**given):
    return observed(**{"total": None, "ready": 0, "leased": 0, "done": 100, "target": 5.0, **given})


def decide(seen, memory=None, settings=None, **given):
    at = {"kind": Kind.STREAM, "minimum": 0, "maximum": 20, **given}
    return Latency().decide(situation(seen, **at), settings or LatencySettings(), memory or {})


@pytest.mark.parametrize(
    # From tables of the Erlang C formula: with 4 busy, 6 servers make 28.5 % wait at all, 8 make 5.9 %, 9 make 2.4 %.
    ("load", "patience", "late", "servers"),
    [(4.0, 0.0, 0.285, 6), (4.0, 0.0, 0.06, 8), (4.0, 0.0, 0.05, 9), (4.0, 1.0, 0.05, 6), (0.0, 1.0, 0.05, 0)],
)
def test_staffing_follows_the_erlang_c_formula(load: float, patience: float, late: float, servers: int) -> None:
    assert staffing(load, patience, late) == servers


def test_more_variable_items_need_more_replicas() -> None:
    even = decide(stream(arrival_rate=8.0, count=1000, mean=1.0, deviation=0.1)).wanted
    uneven = decide(stream(arrival_rate=8.0, count=1000, mean=1.0, deviation=6.0)).wanted
    assert 8 < even < uneven


def test_a_backlog_is_drained_within_the_target() -> None:
    seen = stream(ready=12, leased=2, arrival_rate=0.0, count=100, mean=1.0)
    # 12 s of work within the 4 s that may be spent waiting
    assert decide(seen).wanted == 3


def test_idle_goes_to_zero_only_where_min_allows_and_after_a_while() -> None:
    busy = stream(ready=1, count=100, mean=1.0, at=1000.0)
    first = decide(busy)
    assert first.wanted == 1
    soon = decide(stream(count=100, mean=1.0, at=1040.0), first.memory)
    assert soon.wanted == 1
    late = decide(stream(count=100, mean=1.0, at=1065.0), soon.memory)
    assert late.wanted == 0
    assert decide(stream(count=100, mean=1.0, at=1200.0), late.memory, minimum=2).wanted == 2


def test_the_first_item_after_an_idle_time_wakes_one() -> None:
    assert decide(stream(ready=1, at=5000.0), current=0).wanted == 1


def test_replicas_are_held_for_a_while() -> None:
    peak = decide(stream(arrival_rate=8.0, count=9, mean=1.0, at=1000.0))
    after = decide(stream(arrival_rate=1.0, count=9, mean=1.0, at=1010.0), peak.memory)
    later = decide(stream(arrival_rate=1.0, count=9, mean=1.0, at=1045.0), after.memory)
    assert after.wanted == peak.wanted > later.wanted


def test_an_item_longer_than_the_target_is_infeasible() -> None:
    proposal = decide(stream(arrival_rate=1.0, count=50, mean=9.0))
    assert not proposal.feasible
    assert "longer than the target" in proposal.reason


def test_without_a_target_it_holds() -> None:
    assert decide(stream(target=None, ready=50), current=3).wanted == 3


def test_a_poisson_stream_is_kept_within_its_target() -> None:
    chance = random.Random(7)
    at, arrivals = 0.0, []
    while at < 600:
        at += chance.expovariate(3.0)
        arrivals.append(at)
    items = [chance.uniform(0.5, 1.5) for _ in arrivals]
    plant = Plant(items, arrivals=arrivals, startup=3.0)
    request = request_for("latency", kind=Kind.STREAM, maximum=30, target=Target(latency=5.0))
    run = simulate(plant, request, until=620.0)
    waits = [plant.started_at[i] + items[i] - arrivals[i] for i in plant.started_at if arrivals[i] > 60]
    assert sum(wait <= 5.0 for wait in waits) / len(waits) >= 0.95
    assert run.replica_seconds <= 2.2 * sum(items)


def test_nop_and_scripted() -> None:
    assert Nop().decide(situation(current=7), LawSettings(), {}).wanted == 7
    settings = ScriptedSettings(steps=((10.0, 4), (60.0, 2)))
    wanted = [
        Scripted().decide(situation(observed(elapsed=t), current=1), settings, {}).wanted for t in (5, 10, 59, 60)
    ]
    assert wanted == [1, 4, 4, 2]


def test_a_script_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="later"):
        ScriptedSettings(steps=((10.0, 4), (10.0, 2)))
