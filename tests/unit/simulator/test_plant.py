"""The plant does what arithmetic says it must."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import PlantModel, simulate, simulate_one
from simulator.contention import Contention
from simulator.distributions import Constant, Exponential, Uniform
from simulator.run import Run
from tests.unit.simulator.worlds import batch, scripted, stream


def test_one_replica_works_off_the_items_one_after_the_other() -> None:
    run = simulate_one(batch([3.0, 4.0, 5.0], 1))
    assert run.finished == pytest.approx(10.0 + 12.0)
    assert run.replica_seconds == pytest.approx(22.0)
    assert run.steps == ((0.0, 1), (22.0, 0))
    assert (run.done, run.dead, run.attempts) == (3, 0, 3)


def test_replicas_take_the_next_item_as_soon_as_they_are_free() -> None:
    run = simulate_one(batch([9.0, 1.0, 1.0, 1.0, 4.0], 2))
    assert run.finished == pytest.approx(10.0 + 9.0)
    assert run.replica_seconds == pytest.approx(2 * 19.0)


def test_an_empty_batch_is_over_at_once() -> None:
    assert simulate_one(batch([], 3)).finished == 0.0


@pytest.mark.parametrize(("replicas", "finished"), [(1, 20.0), (2, 20.0), (4, 20.0)])
def test_a_single_core_does_no_more_for_more_replicas(replicas: int, finished: float) -> None:
    plant = PlantModel(startup=Constant(0.0), contention=Contention(cores=1.0))
    assert simulate_one(batch([2.5] * 8, replicas, plant=plant)).finished == pytest.approx(finished)


def test_contention_slows_each_replica_by_the_law_of_scalability() -> None:
    contention = Contention(sigma=0.1, kappa=0.01)
    assert contention.speed(5) == pytest.approx(1.0 / (1.0 + 0.4 + 0.2))
    plant = PlantModel(startup=Constant(0.0), contention=contention)
    assert simulate_one(batch([10.0] * 5, 5, plant=plant)).finished == pytest.approx(10.0 * 1.6)


def test_contention_ends_with_those_who_cause_it() -> None:
    plant = PlantModel(startup=Constant(0.0), contention=Contention(cores=1.0))
    # Both at half speed for 4 s: one is done, the other has 4 s of its 6 left and is alone.
    assert simulate_one(batch([2.0, 6.0], 2, plant=plant)).finished == pytest.approx(8.0)


def test_replicas_start_no_closer_than_the_launch_interval() -> None:
    plant = PlantModel(startup=Constant(5.0), launch_interval=2.0)
    # They begin at 5, 7 and 9 s.
    assert simulate_one(batch([10.0] * 3, 3, plant=plant)).finished == pytest.approx(19.0)


def test_overhead_lies_between_two_items() -> None:
    plant = PlantModel(startup=Constant(0.0), overhead=0.5)
    assert simulate_one(batch([1.0] * 4, 1, plant=plant)).finished == pytest.approx(4 * 1.0 + 3 * 0.5)


def test_draining_harms_nobody_and_who_is_free_first_goes() -> None:
    case = batch([20.0, 5.0, 8.0], 2, deadline=None, **scripted((0, 2), (12, 1)))
    run = simulate_one(case)
    # The second replica is free at 15 s and goes; the third item waits for the first one.
    assert run.finished == pytest.approx(10.0 + 20.0 + 8.0)
    assert run.steps == ((0.0, 2), (15.0, 1), (38.0, 0))
    assert run.attempts == 3


def test_killing_makes_the_item_begin_anew() -> None:
    plant = PlantModel(startup=Constant(10.0), scale_down="kill")
    run = simulate_one(batch([20.0, 9.0], 2, deadline=None, plant=plant, **scripted((0, 2), (13, 1))))
    assert run.attempts == 3
    assert run.finished == pytest.approx(30.0 + 9.0)


def test_an_indexed_drain_keeps_idle_replicas_below_a_busy_one_while_items_wait() -> None:
    plant = PlantModel(startup=Constant(0.0), scale_down="drain-index")
    run = simulate_one(batch([2.0, 2.0, 30.0, *[2.0] * 20], 3, deadline=None, plant=plant, **scripted((0, 3), (5, 1))))
    # Replicas 1 (idle from 6 s on) and 2 (busy with the longest item) stay until 30 s, though one is wanted.
    assert run.steps[:2] == ((0.0, 3), (pytest.approx(30.0, abs=0.51), 1))


def test_who_drains_leaves_once_only_the_last_items_are_in_work() -> None:
    plant = PlantModel(startup=Constant(0.0), scale_down="drain-index")
    run = simulate_one(batch([2.0, 2.0, 30.0], 3, deadline=None, plant=plant, **scripted((0, 3), (5, 1))))
    assert run.finished == pytest.approx(30.0)
    # Replica 1 goes though the busy one has a higher index; replica 0 stays, should the busy one die.
    assert run.steps == ((0.0, 3), (pytest.approx(5.5, abs=0.51), 2), (30.0, 0))
    assert max(seen.replicas.ended for seen in run.observations) == 1


def test_an_indexed_drain_that_takes_too_long_is_cut_short_but_for_the_last_items() -> None:
    plant = PlantModel(startup=Constant(0.0), scale_down="drain-index")
    soon = {"deadline": None, "plant": plant, "drain_timeout": 4.0}
    many = batch([3.0] * 20 + [30.0], 2, **soon, **scripted((0, 2), (31, 1)))
    assert simulate_one(many).attempts == 21
    early = batch([50.0, 50.0, *[1.0] * 20], 2, **soon, **scripted((0, 2), (10, 1)))
    run = simulate_one(early)
    assert run.attempts == 23
    assert run.steps[1] == (pytest.approx(14.0), 1)


def test_a_raised_count_ends_a_drain() -> None:
    plant = PlantModel(startup=Constant(0.0), scale_down="drain-index")
    run = simulate_one(batch([10.0] * 4, 2, deadline=None, plant=plant, **scripted((0, 2), (2, 1), (4, 2))))
    assert run.finished == pytest.approx(20.0)


def test_replicas_not_started_yet_go_first() -> None:
    run = simulate_one(batch([10.0] * 4, 1, deadline=None, **scripted((0, 1), (12, 3), (14, 1))))
    assert run.steps[:3] == ((0.0, 1), (12.0, 3), (14.0, 1))


def test_an_item_dies_of_too_many_failures() -> None:
    plant = PlantModel(startup=Constant(0.0), failures=1.0, retries=2)
    run = simulate_one(batch([1.0, 1.0], 2, plant=plant))
    assert (run.done, run.dead, run.attempts) == (0, 2, 6)


def test_an_attempt_beyond_the_timeout_fails_when_it_is_over() -> None:
    plant = PlantModel(startup=Constant(0.0), item_timeout=5.0, retries=0)
    run = simulate_one(batch([3.0, 9.0], 1, plant=plant))
    assert (run.done, run.dead) == (1, 1)
    assert run.finished == pytest.approx(3.0 + 5.0)


def test_stragglers_take_longer() -> None:
    plant = PlantModel(startup=Constant(0.0), stragglers=1.0, straggling=4.0)
    assert simulate_one(batch([2.0] * 3, 1, plant=plant)).finished == pytest.approx(24.0)


def test_a_replica_of_single_use_does_one_item() -> None:
    plant = PlantModel(startup=Constant(10.0), single_use=True)
    run = simulate_one(batch([5.0] * 6, 2, plant=plant, law="baseline:keda-default", most=3, interval=1.0))
    assert run.done == 6
    assert run.replica_seconds >= 6 * 15.0
    assert run.peak == 3


def test_a_replica_that_was_taken_away_comes_back() -> None:
    plant = PlantModel(startup=Constant(1.0), evictions=60.0, index_backoff=10.0)
    run = simulate_one(batch([20.0] * 20, 2, plant=plant, deadline=None))
    assert run.done == 20
    assert run.attempts > 20
    gaps = [after - before for (before, few), (after, more) in pairwise(run.steps) if few < 2 and more > few]
    assert gaps and max(gaps) == pytest.approx(10.0)


def test_a_lost_replica_keeps_its_item_for_as_long_as_the_lease() -> None:
    plant = PlantModel(startup=Constant(0.0), losses=120.0, lease=45.0, index_backoff=1.0)
    run = simulate_one(batch([30.0], 1, plant=plant, deadline=None, case={"seed": 3}))
    assert run.attempts > 1
    assert run.finished is not None and run.finished > 30.0 + 45.0


def test_the_same_seed_gives_the_same_run() -> None:
    plant = PlantModel(startup=Uniform(10.0, 0.4), failures=0.1, evictions=5.0)
    durations = Exponential(10.0).samples(random.Random(1), 100)
    first, again, other = (
        simulate_one(batch(durations, 5, plant=plant, law="deadline", case={"seed": seed})) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.steps != other.steps


def test_a_queue_with_one_server_waits_as_theory_says() -> None:
    """M/M/1 at a load of 0.7: the mean wait is 0.7 / (1 - 0.7) mean service times."""
    chance = random.Random(7)
    at, arrivals = 0.0, []
    for _ in range(60_000):
        at += chance.expovariate(0.7)
        arrivals.append(at)
    run = simulate_one(stream(arrivals, Exponential(1.0).samples(chance, len(arrivals))))
    assert sum(run.waits) / len(run.waits) == pytest.approx(0.7 / 0.3, rel=0.1)


def test_shared_capacity_is_never_exceeded_and_who_waits_gets_room() -> None:
    cases = [batch([10.0] * 10, 4, deadline=None) for _ in range(3)]
    runs = simulate(cases, capacity=6)
    assert all(run.done == 10 for run in runs)
    changes = sorted(
        (at, after - before) for run in runs for (_, before), (at, after) in pairwise(((0.0, 0), *run.steps))
    )
    used = most = 0
    for place, (at, change) in enumerate(changes):
        used += change
        if place + 1 == len(changes) or changes[place + 1][0] > at:
            most = max(most, used)
    assert most == 6


@given(
    durations=st.lists(st.floats(0.001, 50.0), max_size=25),
    replicas=st.integers(1, 8),
    plant=st.builds(
        PlantModel,
        startup=st.builds(Uniform, st.floats(0.1, 20.0), st.floats(0.0, 0.5)),
        launch_interval=st.sampled_from([0.0, 1.0]),
        contention=st.builds(Contention, st.sampled_from([0.0, 0.05]), st.sampled_from([0.0, 0.001])),
        overhead=st.sampled_from([0.0, 0.3]),
        failures=st.floats(0.0, 0.9),
        stragglers=st.floats(0.0, 0.5),
        evictions=st.sampled_from([0.0, 20.0]),
        losses=st.sampled_from([0.0, 20.0]),
        scale_down=st.sampled_from(["drain", "drain-index", "kill"]),
        item_timeout=st.sampled_from([None, 20.0]),
    ),
    drain_timeout=st.sampled_from([5.0, 1e6]),
    steps=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    seed=st.integers(0, 5),
)
def test_whatever_happens_every_item_is_settled_once_and_everybody_is_paid(
    durations: list[float], replicas: int, plant: PlantModel, drain_timeout: float, steps: list[int], seed: int
) -> None:
    control = scripted(*((7.0 * place, count) for place, count in enumerate(steps))) | {"drain_timeout": drain_timeout}
    # No attempt of an item that is settled takes less than the item itself.
    run = simulate_one(batch(durations, replicas, plant=plant, deadline=None, case={"seed": seed}, **control))
    assert run.finished is not None
    assert run.done + run.dead == len(durations)
    assert run.attempts >= len(durations)
    assert run.steps[-1][1] == 0 or not durations
    assert all(count >= 0 for _, count in run.steps)
    assert all(before < after for (before, _), (after, _) in pairwise(run.steps))
    if run.dead == 0:
        assert run.replica_seconds >= run.work * (1.0 - 1e-9)


def most_leased(run: Run) -> int:
    return max(seen.counts.leased for seen in run.observations)


def test_short_items_are_leased_by_the_handful() -> None:
    every = {"deadline": None, "interval": 0.25, "case": {"measurement_phase": 0.1}}
    plant = PlantModel(startup=Constant(0.0))
    run = simulate_one(batch([0.01] * 800, 2, plant=plant, **every))
    assert run.finished == pytest.approx(4.0, abs=0.1)
    assert run.attempts == 800
    # A worker takes a tenth of a second of work at once.
    assert most_leased(run) == 20
    # One of each handful is in work, and none of them passes for a long one.
    assert all(len(seen.service.running) <= 2 for seen in run.observations)
    assert max(seen.service.p95 for seen in run.observations) < 0.013
    alone = replace(plant, at_once=1)
    assert most_leased(simulate_one(batch([0.01] * 800, 2, plant=alone, **every))) == 2


def test_who_waits_behind_a_long_item_of_its_handful_is_handed_back() -> None:
    run = simulate_one(batch([*[0.01] * 100, 20.0, *[0.01] * 100], 2, plant=PlantModel(startup=Constant(0.0))))
    assert run.finished is not None and 20.0 < run.finished < 20.7
    assert run.attempts > 201


def test_a_lost_replica_takes_its_whole_handful_with_it_for_the_length_of_a_lease() -> None:
    plant = PlantModel(startup=Constant(0.0), losses=1800.0, lease=40.0, index_backoff=1.0)
    run = simulate_one(batch([0.01] * 1000, 1, plant=plant, deadline=None, case={"seed": 1}))
    assert run.attempts > 1001
    assert run.finished is not None and run.finished > 40.0
    assert run.done == 1000


def test_an_evicted_replica_of_an_indexed_job_is_made_up_for_while_it_is_away() -> None:
    plant = PlantModel(startup=Constant(1.0), evictions=30.0, index_backoff=60.0, scale_down="drain-index")
    control = {"interval": 1.0, "plant": plant, "deadline": None, "most": 8}
    run = simulate_one(batch([5.0] * 300, 4, **control))
    assert run.done == 300
    # More indexes than the four that are wanted were asked for, as the controller does beside a back-off.
    assert run.peak >= 4
    assert max(seen.replicas.requested for seen in run.observations) > 4
