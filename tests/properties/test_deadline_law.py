"""What must hold of the deadline law and the forecast in any state of a batch, histograms and hints included."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.forecast import forecast
from controller.laws import Situation
from controller.laws.deadline import Deadline, DeadlineSettings
from tests.support.situations import batches, deadline_memories, due

LAW, SETTINGS = Deadline(), DeadlineSettings()


@settings(max_examples=400)
@given(batches(), st.floats(1.0, 1e5), st.floats(1.0, 50.0), deadline_memories)
def test_more_time_never_asks_for_more_replicas(
    situation: Situation, deadline: float, factor: float, memory: dict[str, object]
) -> None:
    tight = LAW.decide(due(situation, deadline), SETTINGS, memory)
    loose = LAW.decide(due(situation, deadline * factor), SETTINGS, memory)
    assert loose.wanted <= tight.wanted
    assert loose.feasible >= tight.feasible


@settings(max_examples=400)
@given(batches(), st.floats(1.0, 1e5), deadline_memories)
def test_within_bounds_and_the_same_again(situation: Situation, deadline: float, memory: dict[str, object]) -> None:
    situation = due(situation, deadline)
    proposal = LAW.decide(situation, SETTINGS, memory)
    assert proposal == LAW.decide(situation, SETTINGS, memory)
    assert 0 <= proposal.wanted <= situation.maximum
    outstanding = situation.observation.counts.outstanding
    assert proposal.wanted <= max(situation.minimum, outstanding if outstanding else situation.current)


@settings(max_examples=400)
@given(batches(), st.none() | st.floats(1.0, 1e5), st.integers(0, 100), st.booleans(), deadline_memories)
def test_a_forecast_is_in_order(
    situation: Situation, deadline: float | None, replicas: int, steered: bool, memory: dict[str, object]
) -> None:
    if deadline is not None:
        situation = due(situation, deadline)
    proposal = LAW.decide(situation, SETTINGS, memory)
    told = forecast(situation, replicas, proposal=proposal, is_steered=steered)
    quantiles = (told.p5, told.p10, told.p50, told.p90, told.p95)
    known = [each for each in quantiles if each is not None]
    assert known in ([], sorted(known))
    assert len(known) in (0, 5)
    assert all(each >= situation.observation.elapsed for each in known)
    assert told.chance is None or 0.0 <= told.chance <= 1.0 + 1e-9
    assert told.replica_seconds is None or told.replica_seconds >= 0.0
    assert type(told).model_validate_json(told.model_dump_json()) == told
