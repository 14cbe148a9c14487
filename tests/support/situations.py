"""Batches in any state that may occur, for properties of laws and forecasts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from common.domain.history import History
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Kind
from controller.laws import Situation

durations = st.floats(0.01, 1e4)


@st.composite
def service_times(draw: st.DrawFn) -> ServiceTimes:
    """Histograms, or but their moments, as observations without buckets have them."""
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
        buckets=buckets if draw(st.integers(0, 3)) else {},
    )


@st.composite
def batches(draw: st.DrawFn) -> Situation:
    """A batch in the middle of its work, without a deadline."""
    service = draw(service_times())
    ready = draw(st.integers(0, 2000))
    leased = len(service.running) + draw(st.integers(0, 40))
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
    """The same with that deadline, seconds from its acceptance."""
    return replace(situation, observation=situation.observation.model_copy(update={"deadline": deadline}))


deadline_memories = st.fixed_dictionaries(
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
