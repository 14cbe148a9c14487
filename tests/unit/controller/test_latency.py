"""The law of streams, decision by decision and in small runs."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from typing import Any

import pytest

from common.domain.submission import Kind, Target
from controller.laws import Memory, Proposal
from controller.laws.latency import Latency, LatencySettings
from tests.unit.controller.builders import observed, situation
from tests.unit.controller.plant import Plant, Run, lognormal, request_for, simulate

START = 1_700_000_000.0


def decide(
    memory: Memory | None = None,
    settings: LatencySettings | None = None,
    *,
    seen: dict[str, Any] | None = None,
    **given: Any,
) -> Proposal:
    what = {"total": None, "ready": 0, "leased": 0, "done": 100, "target": 5.0, "startup": 15.0, **(seen or {})}
    at = {"kind": Kind.STREAM, "minimum": 0, "maximum": 50, "current": 2, "interval": 5.0, **given}
    return Latency().decide(situation(observed(**what), **at), settings or LatencySettings(), memory or {})


def steady(
    per_step: int, steps: int, busy: int, settings: LatencySettings | None = None, **given: Any
) -> list[Proposal]:
    """Decisions each 5 s while so many items of one second arrive in each."""
    memory: Memory = {}
    current, proposals = 1, []
    for step in range(steps):
        done = max(0, step * per_step - busy)
        seen = {
            "at": START + 5.0 * step,
            "elapsed": 5.0 * step,
            "done": done,
            "leased": step * per_step - done,
            "count": done,
            "mean": 1.0,
            "deviation": 0.0,
            "observed": current,
            "waits": {0: done},
        }
        proposal = decide(memory, settings, seen=seen, current=current, **given)
        memory, current = proposal.memory, proposal.wanted
        proposals.append(proposal)
    return proposals


def test_a_backlog_is_caught_up_in_a_start_and_the_time_an_item_may_wait() -> None:
    seen = {"ready": 62, "leased": 2, "count": 100, "mean": 2.0, "observed": 2}
    # 124 s of work wait, of which the two do 30 s before others start; the rest has 15 s and the 3 s that remain of 5.
    assert decide(seen=seen).wanted == math.ceil((62 - 15) * 2 / 18)


def test_steady_arrivals_get_a_steady_count() -> None:
    proposals = steady(per_step=30, steps=720, busy=6)
    late = [proposal.wanted for proposal in proposals[180:]]
    assert 6 <= min(late) <= max(late) <= 12
    assert sum(before != after for before, after in pairwise(late)) <= 4


def test_the_memory_is_plain_data_of_bounded_size() -> None:
    memory = steady(per_step=30, steps=200, busy=6)[-1].memory
    assert len(json.dumps(memory, allow_nan=False)) < 12_000


def test_the_same_state_gets_the_same_decision() -> None:
    memory = steady(per_step=10, steps=50, busy=2)[-1].memory
    seen = {"at": START + 260.0, "ready": 9, "count": 480, "mean": 1.0}
    assert decide(memory, seen=seen) == decide(json.loads(json.dumps(memory)), seen=seen)


def test_a_clock_that_steps_back_and_counts_that_shrink_are_survived() -> None:
    memory = steady(per_step=10, steps=50, busy=2)[-1].memory
    back = decide(memory, seen={"at": START - 1e6, "done": 0, "count": 0})
    again = decide(back.memory, seen={"at": START - 1e6 + 5.0, "done": 20, "count": 20, "mean": 1.0})
    assert back.wanted >= 1
    assert again.wanted >= 1


def test_idle_goes_to_zero_only_where_min_allows_and_after_a_while() -> None:
    memory = steady(per_step=30, steps=60, busy=6)[-1].memory
    end = START + 5.0 * 59
    idle = {"done": 59 * 30, "count": 59 * 30, "mean": 1.0, "observed": 1}
    counts = []
    for seconds in range(5, 1300, 5):
        proposal = decide(memory, seen={**idle, "at": end + seconds}, current=1)
        memory = proposal.memory
        counts.append(proposal.wanted)
    assert counts[:8] == sorted(counts[:8], reverse=True)
    assert min(counts[:10]) >= 1, "not before a minute has passed"
    assert counts[-1] == 0
    assert "next item waits about 15s" in proposal.reason
    assert decide(memory, seen={**idle, "at": end + 1300}, minimum=2).wanted == 2


def test_one_replica_stays_warm_while_starts_would_make_too_many_late() -> None:
    """Each item comes a minute and a half after the last one: going to zero would make all of them late."""
    memory: Memory = {}
    for number in range(12):
        for step in range(18):
            items = number + 1
            waiting = step == 0
            seen = {
                "at": START + 90.0 * number + 5.0 * step,
                "done": items - waiting,
                "ready": int(waiting),
                "count": items,
                "mean": 1.0,
                "observed": 0 if waiting and number == 1 else 1,
            }
            proposal = decide(memory, seen=seen, current=1)
            memory = proposal.memory
            if number > 2:
                assert proposal.wanted >= 1


def test_the_first_item_after_an_idle_time_wakes_one() -> None:
    assert decide(seen={"ready": 1, "at": START + 5000.0, "observed": 0}, current=0).wanted == 1


def test_replicas_are_held_for_a_while() -> None:
    seen = {"count": 100, "mean": 1.0, "observed": 2}
    peak = decide(seen={**seen, "ready": 200, "at": START})
    after = decide(peak.memory, seen={**seen, "done": 300, "at": START + 5.0})
    later = decide(after.memory, seen={**seen, "done": 300, "at": START + 25.0})
    assert after.wanted == peak.wanted > later.wanted
    assert "needed within the last 20s" in after.reason


def test_an_item_longer_than_the_target_is_infeasible() -> None:
    proposal = decide(seen={"count": 50, "mean": 9.0, "deviation": 1.0})
    assert not proposal.feasible
    assert "too many items take longer than the target by themselves" in proposal.reason


def test_a_wait_alone_may_be_the_target() -> None:
    proposal = decide(settings=LatencySettings(wait=5.0), seen={"target": None, "count": 50, "mean": 60.0})
    assert proposal.feasible


def test_what_max_does_not_allow_is_infeasible() -> None:
    proposal = decide(seen={"ready": 5000, "count": 50, "mean": 1.0}, maximum=10)
    assert proposal.wanted == 10
    assert not proposal.feasible
    assert "max is 10" in proposal.reason


def test_without_a_target_it_holds() -> None:
    assert decide(seen={"target": None, "ready": 50}, current=3).wanted == 3


def test_a_new_target_forgets_the_accounts_but_not_the_arrivals() -> None:
    memory = steady(per_step=30, steps=100, busy=6)[-1].memory
    proposal = decide(
        memory,
        seen={"at": START + 500.0, "done": 3000, "count": 3000, "mean": 1.0, "observed": 8},
        target=Target(latency=30.0, percentile=99.0),
    )
    assert proposal.memory["accounts"]["seconds"] == pytest.approx(5.0)
    assert proposal.wanted >= 6


def follow(arrivals: list[float], items: list[float], **settings: object) -> tuple[float, float, Run]:
    """The share of waits within 5 s, and the replica-seconds over the work. A replica starts in 15 s."""
    plant = Plant(items, arrivals=arrivals, startup=15.0, observe_every=2.5)
    request = request_for(
        "latency", {"wait": 5.0, **settings}, kind=Kind.STREAM, maximum=60, interval=5.0, target=Target(latency=60.0)
    )
    run = simulate(plant, request, until=arrivals[-1] + 60.0)
    waits = [plant.started_at[i] - arrivals[i] for i in plant.started_at]
    within = sum(wait <= 5.0 for wait in waits) / len(items)
    return within, run.replica_seconds / sum(items), run


def poisson(rate: float, until: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    at, arrivals = 0.0, []
    while (at := at + chance.expovariate(rate)) < until:
        arrivals.append(at)
    return arrivals


def test_a_poisson_stream_is_kept_within_its_target() -> None:
    arrivals = poisson(5.0, 2400.0, seed=7)
    within, cost, run = follow(arrivals, lognormal(len(arrivals), 2.0, 1.0, 1))
    assert within >= 0.95
    assert cost <= 1.45
    assert run.changes <= 0.35 * len(run.decisions)


def test_bursts_that_return_are_met_by_a_reserve() -> None:
    """Every second minute thirty items come at once: the load averages 0.5, and a rule that follows it misses all."""
    arrivals = [120.0 * burst + 0.01 * item for burst in range(30) for item in range(30)]
    items = [2.0] * len(arrivals)
    modest = follow(arrivals, items)
    eager = follow(arrivals, items, effort=5.0)
    assert modest[0] >= 0.7
    assert eager[0] >= 0.82, "all but the first bursts"
    assert modest[1] < eager[1] <= 30.0, "what is more in time costs more, but not thirty replicas all the time"


def test_a_tight_wait_costs_more_than_a_loose_one() -> None:
    arrivals = poisson(2.0, 1200.0, seed=3)
    items = lognormal(len(arrivals), 2.0, 1.0, 2)
    tight = follow(arrivals, items, wait=1.0)
    loose = follow(arrivals, items, wait=20.0)
    assert loose[1] < tight[1]
