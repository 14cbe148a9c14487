"""What must hold of every law and of the guard, whatever is observed."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Control, Kind, Target
from controller.deciding import decide
from controller.guard import Bounds, Past, grant
from controller.laws import Law, LawSettings, Proposal, Situation
from controller.laws.cost import Cost, CostSettings
from controller.laws.deadline import Deadline, DeadlineSettings
from controller.laws.fixed import Nop, Scripted, ScriptedSettings
from controller.laws.latency import Latency, LatencySettings
from controller.laws.metric import Metric, MetricSettings
from controller.laws.pid import Pid, PidSettings
from controller.laws.threshold import Threshold, ThresholdSettings
from controller.record import begin
from tests.unit.controller.plant import request_for

LAWS: list[tuple[Law[Any], LawSettings]] = [
    (Deadline(), DeadlineSettings()),
    (Deadline(), DeadlineSettings(confidence=0.999, reserve=0.0, slack=0.0, patience=0.0)),
    (Latency(), LatencySettings()),
    (Latency(), LatencySettings(wait=5.0, effort=1000.0, hold=0.0, idle=0.0)),
    (Cost(), CostSettings(budget=3.5)),
    (Cost(), CostSettings(budget=1e12, total=5.0, price=1e-9, law="deadline")),
    (Cost(), CostSettings(total=1e12, law="latency", settings={"wait": 5.0})),
    (Metric(), MetricSettings(metric="loss", target=0.5)),
    (Metric(), MetricSettings(metric="loss", target=1e-9, kind="total", falls=True, stabilization=0.0)),
    (Nop(), LawSettings()),
    (Pid(), PidSettings()),
    (Pid(), PidSettings(proportional_gain=-1e6, integral_gain=1e6, derivative_gain=-1e6)),
    (Pid(), PidSettings(proportional_gain=1e6, integral_gain=-1e6, derivative_gain=1e6, mode="compatible")),
    (Scripted(), ScriptedSettings(steps=((0.0, 3), (50.0, 10_000)))),
    (Threshold(), ThresholdSettings(trigger_up=0.1, trigger_down=0.1, actuation_size=10_000)),
]

wild = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, -1.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf]),
    st.floats(min_value=0, max_value=1e4),
)
wild_count = st.one_of(st.integers(-1000, 1000), st.sampled_from([0, 10**9, 10**40, -(10**40)]))
maybe = st.none() | wild


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that the types allow, sense or not."""
    counts = {name: draw(wild_count) for name in ("ready", "delayed", "leased", "done", "dead")}
    return Observation(
        submission="kj-0000001",
        at=draw(wild),
        elapsed=draw(wild),
        deadline=draw(maybe),
        target=draw(maybe),
        counts=Counts(total=draw(st.none() | wild_count), **counts),
        progress=draw(wild),
        throughput=draw(wild),
        arrival_rate=draw(wild),
        service=ServiceTimes(
            count=draw(wild_count),
            mean=draw(wild),
            deviation=draw(wild),
            longest=draw(wild),
            running=tuple(draw(st.lists(wild, max_size=4))),
        ),
        oldest_wait=draw(maybe),
        waits=draw(st.dictionaries(wild_count, wild_count, max_size=3)),
        failures=draw(wild_count),
        attempts=draw(wild_count),
        replicas=Replicas(observed=draw(wild_count), pending=draw(wild_count), requested=draw(wild_count)),
        startup=draw(maybe),
        price=draw(maybe),
        metrics={"loss": draw(wild)},
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    minimum = draw(st.integers(0, 50))
    return Situation(
        observation=draw(observations()),
        kind=draw(st.sampled_from(Kind)),
        minimum=minimum,
        maximum=draw(st.integers(minimum, 10_000)),
        current=draw(st.integers(0, 10_000)),
        interval=draw(st.floats(0.1, 1e5)),
        initial=draw(st.none() | st.integers(0, 100)),
        target=draw(st.none() | st.just(Target(latency=5.0))),
        expected_item_time=draw(st.none() | st.floats(1e-6, 1e6)),
        item_timeout=draw(st.none() | st.floats(1e-6, 1e6)),
    )


@given(st.sampled_from(LAWS), st.lists(situations(), min_size=1, max_size=4))
def test_every_law_is_total_and_pure(law_and_settings: tuple[Law[Any], LawSettings], story: list[Situation]) -> None:
    law, settings = law_and_settings
    memory: Any = {}
    for situation in story:
        proposal = law.decide(situation, settings, memory)
        again = law.decide(situation, settings, json.loads(json.dumps(memory)))
        assert proposal == again, "the same situation and memory give the same proposal"
        assert isinstance(proposal.wanted, int)
        assert proposal.reason
        memory = json.loads(json.dumps(dict(proposal.memory), allow_nan=False))


@given(st.sampled_from(LAWS), situations(), st.dictionaries(st.text(max_size=10), st.none() | st.text() | st.floats()))
def test_every_law_survives_a_memory_of_another_version(
    law_and_settings: tuple[Law[Any], LawSettings], situation: Situation, memory: dict[str, Any]
) -> None:
    law, settings = law_and_settings
    names = ("at", "busy", "calm_since", "accounts", "wanted", "waits", "integral", "last_error", "total")
    for strange in (memory, dict.fromkeys(names, "x"), dict.fromkeys(names, math.nan)):
        assert isinstance(law.decide(situation, settings, strange).wanted, int)


@given(
    st.sampled_from(LAWS),
    st.lists(observations(), min_size=1, max_size=4),
    st.integers(0, 20),
    st.integers(0, 100),
    st.none() | st.integers(0, 100),
    st.floats(0.0, 1e10),
)
def test_decisions_keep_the_bounds_and_are_plain_data(
    law_and_settings: tuple[Law[Any], LawSettings],
    story: list[Observation],
    minimum: int,
    more: int,
    cap: int | None,
    now: float,
) -> None:
    law, settings = law_and_settings
    assume(minimum + more >= 1)
    record = begin(request_for("nop", minimum=minimum, maximum=minimum + more, created_with=minimum), now)
    bounds = Bounds.of(minimum, minimum + more, cap)
    for number, seen in enumerate(story):
        outcome = decide(record, seen, law, settings, cap, now + 5.0 * number)
        record = outcome.record
        if outcome.decision is not None:
            assert bounds.minimum <= record.desired <= bounds.maximum
            assert outcome.decision.reason
            assert type(outcome.decision).model_validate_json(outcome.decision.model_dump_json()) == outcome.decision
        assert type(record).model_validate_json(record.model_dump_json()) == record


@given(
    wild | wild_count,
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 200),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 5),
    st.tuples(maybe, maybe),
)
def test_the_guard_keeps_the_bounds_whatever_is_proposed(
    wanted: float,
    minimum: int,
    more: int,
    current: int,
    up: int | None,
    down: int | None,
    times: tuple[float | None, float | None],
) -> None:
    bounds = Bounds(minimum, minimum + more)
    control = Control(max_step_up=up, max_step_down=down, cooldown_up=3.0, cooldown_down=30.0)
    answer = grant(Proposal(wanted, "x"), bounds, control, Past(current, *times), 1000.0)  # type: ignore[arg-type]
    assert bounds.minimum <= answer.replicas <= bounds.maximum
    if bounds.minimum <= current <= bounds.maximum:
        assert answer.replicas - current <= (up or 10**6)
        assert current - answer.replicas <= (down or 10**6)
    if answer.replicas != wanted:
        assert answer.reason
