"""What must hold of the deadline law and the forecast in any state of a batch, histograms and hints included."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.history import History
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Kind
from controller.forecast import forecast
from controller.laws import Situation
from controller.laws.deadline import Deadline, DeadlineSettings

LAW, SETTINGS = Deadline(), DeadlineSettings()
durations = st.floats(0.01, 1e4)


@st.composite
def service_times(draw: st.DrawFn) -> ServiceTimes:
    buckets = draw(st.dictionaries(st.integers(10, 70), st.integers(1, 60), max_size=8))
    count = sum(buckets.values())
    tops = {bucket: 0.001 * 1.25**bucket for bucket in buckets}
    mean = sum(number * tops[bucket] for bucket, number in buckets.items()) / count * 0.9 if count else 0.0
    running = draw(st.lists(st.floats(0.0, 3.0 * (mean or 10.0)), max_size=12))
    return ServiceTimes(
        count=count,
        mean=mean,
        deviation=mean * draw(st.floats(0.0, 3.0)),
        longest=max(tops.values(), default=0.0),
        running=tuple(sorted(running, reverse=True)),
        buckets=buckets,
    )


@st.composite
def batches(draw: st.DrawFn) -> Situation:
    service = draw(service_times())
    ready = draw(st.integers(0, 2000))
    leased = len(service.running)
    observation = Observation(
        submission="kj-0000001",
        at=1_700_000_000.0,
        elapsed=draw(st.floats(0.0, 1e4)),
        counts=Counts(total=ready + leased + service.count, ready=ready, leased=leased, done=service.count),
        service=service,
        attempts=service.count + leased,
        failures=draw(st.integers(0, 20)),
        replicas=Replicas(observed=draw(st.integers(0, 40)), pending=draw(st.integers(0, 40))),
        startup=draw(st.none() | st.floats(0.0, 60.0)),
    )
    history = draw(st.none() | service_times().map(lambda service: History(submissions=1, service=service)))
    return Situation(
        observation=observation,
        kind=Kind.BATCH,
        minimum=draw(st.integers(0, 3)),
        maximum=draw(st.integers(3, 100)),
        current=draw(st.integers(0, 60)),
        interval=5.0,
        initial=draw(st.none() | st.integers(1, 3)),
        expected_item_time=draw(st.none() | durations),
        item_timeout=draw(st.none() | durations),
        history=history,
    )


def due(situation: Situation, deadline: float) -> Situation:
    return replace(situation, observation=situation.observation.model_copy(update={"deadline": deadline}))


memories = st.fixed_dictionaries(
    {
        "calm_since": st.none() | st.floats(1_699_999_900.0, 1_700_000_100.0),
        "raised_at": st.none() | st.floats(1_699_999_900.0, 1_700_000_000.0),
        "pace": st.fixed_dictionaries(
            {
                "busy": st.floats(0, 1e5),
                "done": st.floats(0, 1e4),
                "by_replicas": st.floats(0, 1e5),
                "by_squares": st.floats(0, 1e6),
                "busy_by_replicas": st.floats(0, 1e6),
            }
        ),
    }
)


@settings(max_examples=400)
@given(batches(), st.floats(1.0, 1e5), st.floats(1.0, 50.0), memories)
def test_more_time_never_asks_for_more_replicas(
    situation: Situation, deadline: float, factor: float, memory: dict[str, object]
) -> None:
    tight = LAW.decide(due(situation, deadline), SETTINGS, memory)
    loose = LAW.decide(due(situation, deadline * factor), SETTINGS, memory)
    assert loose.wanted <= tight.wanted
    assert loose.feasible >= tight.feasible


@settings(max_examples=400)
@given(batches(), st.floats(1.0, 1e5), memories)
def test_within_bounds_and_the_same_again(situation: Situation, deadline: float, memory: dict[str, object]) -> None:
    situation = due(situation, deadline)
    proposal = LAW.decide(situation, SETTINGS, memory)
    assert proposal == LAW.decide(situation, SETTINGS, memory)
    assert 0 <= proposal.wanted <= situation.maximum
    assert proposal.wanted <= max(situation.minimum, situation.observation.counts.outstanding, situation.current)


@settings(max_examples=400)
@given(batches(), st.none() | st.floats(1.0, 1e5), st.integers(0, 100), st.booleans(), memories)
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
