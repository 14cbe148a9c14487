"""What must hold of the latency law's parts, and of the law on any history."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Kind, Target
from controller.laws import Memory, Situation
from controller.laws.latency import Latency, LatencySettings
from controller.laws.streams.lateness import Lateness, of_latency, of_wait
from controller.laws.streams.plant import Step, advance
from controller.laws.streams.rules import RULES, Times, with_backlog

amount = st.floats(0.0, 1e5)
short = st.floats(0.01, 1e3)


@st.composite
def latenesses(draw: st.DrawFn) -> Lateness:
    if draw(st.booleans()):
        return of_wait(draw(short))
    buckets = draw(st.dictionaries(st.integers(0, 80), st.integers(1, 500), max_size=6))
    return of_latency(draw(short), draw(short), draw(st.floats(0.0, 1e3)), buckets)


@given(latenesses(), amount, amount, amount)
def test_longer_waits_are_never_less_late(late: Lateness, start: float, span: float, more: float) -> None:
    first = late.mean(start, start + span)
    assert -1e-6 <= first <= 1.0 + 1e-6
    assert late.mean(start + more, start + more + span) >= first - 1e-4


@given(amount, st.integers(0, 10_000), amount, short, short, st.integers(0, 10_000))
def test_more_replicas_never_leave_more_items_nor_more_late(
    queue: float, capacity: int, arrived: float, seconds: float, service: float, more: int
) -> None:
    step = Step(seconds, arrived, service, 1.0, 0.0, 5.0, of_wait(5.0))
    after, late = advance(queue, capacity, 1.0, step)
    better, less = advance(queue, capacity + more, 1.0, step)
    assert 0.0 <= after <= queue + arrived + 1e-3
    assert 0.0 <= late <= 1.0
    assert better <= after + 1e-3 * (1.0 + after)
    assert less <= late + 1e-3


@given(st.sampled_from(RULES), st.tuples(amount, amount, amount, amount), amount, st.floats(1.0, 3.0), short)
def test_more_load_never_needs_fewer(
    rule: Any, loads: tuple[float, float, float, float], peak: float, factor: float, seconds: float
) -> None:
    need, kept = rule.need(loads, peak, seconds)
    more, higher = rule.need(tuple(load * factor for load in loads), peak, seconds)
    assert more >= need
    assert higher >= kept


@given(amount, amount, amount, amount, amount, amount)
def test_more_items_never_need_fewer(
    need: float, queue: float, more: float, running: float, coming: float, load: float
) -> None:
    times = Times(2.0, 15.0, 5.0)
    few = with_backlog(need, queue, running, coming, load, times)
    assert with_backlog(need, queue + more, running, coming, load, times) >= few


def seen(step: int, ready: int, leased: int, done: int, running: int, service: float) -> Observation:
    return Observation(
        submission="kj-0000001",
        at=1_700_000_000.0 + 5.0 * step,
        elapsed=5.0 * step,
        target=5.0,
        counts=Counts(ready=ready, leased=leased, done=done),
        service=ServiceTimes(count=done, mean=service if done else 0.0, deviation=service if done else 0.0),
        replicas=Replicas(observed=running),
        waits={30: done},
        startup=15.0,
    )


def decided(observation: Observation, memory: Memory, current: int, wait: float | None) -> Any:
    situation = Situation(
        observation=observation,
        kind=Kind.STREAM,
        minimum=0,
        maximum=200,
        current=current,
        interval=5.0,
        target=Target(latency=5.0),
    )
    return Latency().decide(situation, LatencySettings(wait=wait), memory)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=25),
    st.floats(0.05, 20.0),
    st.none() | st.floats(0.1, 30.0),
    st.integers(0, 100),
    st.integers(1, 100),
    st.integers(0, 50),
)
def test_more_arrivals_never_get_fewer_replicas(
    history: list[int], service: float, wait: float | None, ready: int, more: int, running: int
) -> None:
    """In the same state: whatever was remembered, a longer queue now never asks for less."""
    memory: Memory = {}
    put, current = 0, 1
    for step, arrived in enumerate(history):
        put += arrived
        proposal = decided(seen(step, 0, 0, put, current, service), memory, current, wait)
        memory, current = proposal.memory, proposal.wanted
    few = decided(seen(len(history), ready, 3, put, running, service), memory, current, wait)
    many = decided(seen(len(history), ready + more, 3, put, running, service), memory, current, wait)
    assert many.wanted >= few.wanted
