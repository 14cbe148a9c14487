"""The original's laws in its own numbers, and the PID that works."""

from __future__ import annotations

import pytest

from controller.laws.pid import Pid, PidSettings
from controller.laws.threshold import Threshold, ThresholdSettings
from tests.unit.controller.builders import START, observed, situation


def at_error(error: float, at: float = START + 50.0, progress: float = 0.5):
    """An observation whose error is the given one: half done, with the time to match."""
    return observed(at=at, progress=progress, deadline=100.0, elapsed=(progress - error) * 100.0)


@pytest.mark.parametrize(
    ("error", "current", "wanted"),
    [
        (0.2, 5, 3),
        (0.2, 2, 1),
        (0.05, 5, 5),
        (-0.05, 5, 5),
        (-0.3, 5, 7),
        (-0.3, 9, 10),
        (0.0, 5, 5),
    ],
)
def test_threshold_steps_at_its_triggers(error: float, current: int, wanted: int) -> None:
    settings = ThresholdSettings(trigger_up=0.3, trigger_down=0.1, actuation_size=2)
    seen = at_error(error)
    # The share arithmetic is binary, so the edge of the trigger is tested from its safe side.
    assert seen.error == pytest.approx(error)
    nudged = at_error(error - 1e-9) if error < -0.1 else seen
    assert Threshold().decide(situation(nudged, current=current), settings, {}).wanted == wanted


def test_threshold_with_zero_triggers_still_holds_at_zero_error() -> None:
    assert Threshold().decide(situation(at_error(0.0), current=4), ThresholdSettings(), {}).wanted == 4


def test_threshold_without_deadline_holds() -> None:
    proposal = Threshold().decide(situation(observed(), current=4), ThresholdSettings(), {})
    assert proposal.wanted == 4
    assert "deadline" in proposal.reason


def run_pid(errors: list[float], settings: PidSettings, current: int = 5, step: float = 5.0) -> list[int]:
    memory: object = {}
    counts = []
    for number, error in enumerate(errors):
        seen = at_error(error, at=START + number * step)
        proposal = Pid().decide(situation(seen, current=current), settings, memory)  # type: ignore[arg-type]
        memory, current = proposal.memory, proposal.wanted
        counts.append(current)
    return counts


def test_compatible_pid_is_the_original_formula() -> None:
    settings = PidSettings(proportional_gain=2.0, derivative_gain=4.0, integral_gain=1.0, mode="compatible")
    errors = [-0.5, -1.0, -1.5, 0.5, 0.45]
    expected, replicas, total, before = [], 5, 0.0, None
    for error in errors:
        total += error
        change = 0.0 if before is None else error - before
        replicas = min(max(replicas + int(-2.0 * error - 4.0 * change - 1.0 * total), 1), 10)
        before = error
        expected.append(replicas)
    assert run_pid(errors, settings) == expected
    assert len(set(expected)) > 2


def test_compatible_pid_truncates_towards_zero() -> None:
    settings = PidSettings(proportional_gain=0.1, derivative_gain=0.0, integral_gain=0.0, mode="compatible")
    assert run_pid([-9.9, 9.9], settings) == [5, 5]
    assert run_pid([-10.5], settings) == [6]


def test_correct_pid_adds_up_what_the_original_truncates() -> None:
    settings = PidSettings(proportional_gain=0.0, integral_gain=0.1)
    counts = run_pid([-0.5] * 12, settings)
    assert counts[-1] > 5
    assert counts == sorted(counts)


def test_correct_pid_does_not_wind_up() -> None:
    settings = PidSettings(proportional_gain=2.0, integral_gain=0.5)
    counts = run_pid([-1.0] * 40 + [0.5] * 8, settings)
    assert counts[39] == 10
    assert counts[44] < 10, "it leaves saturation at once, however long it was saturated"


def test_correct_pid_counts_real_time() -> None:
    settings = PidSettings(proportional_gain=0.0, integral_gain=0.1)
    slow = run_pid([-0.5] * 3, settings, step=5.0)
    fast = run_pid([-0.5] * 5, settings, step=2.5)
    assert slow[-1] == fast[-1]


def test_correct_pid_changes_gains_without_a_bump() -> None:
    first = PidSettings(proportional_gain=1.0, derivative_gain=3.0, integral_gain=0.0)
    seen = at_error(-0.5)
    memory = Pid().decide(situation(seen, current=5), first, {}).memory
    later = at_error(-0.5, at=START + 55.0)
    raised = PidSettings(proportional_gain=50.0, derivative_gain=9.0, integral_gain=0.0)
    assert Pid().decide(situation(later, current=5), raised, memory).wanted == 5


def test_correct_pid_starts_without_a_bump_and_takes_a_new_deadline_without_a_derivative_kick() -> None:
    settings = PidSettings(proportional_gain=0.0, derivative_gain=100.0, integral_gain=0.0)
    seen = at_error(-0.9)
    first = Pid().decide(situation(seen, current=5), settings, {})
    assert first.wanted == 5
    sooner = seen.model_copy(update={"at": seen.at + 5.0, "deadline": 20.0})
    assert Pid().decide(situation(sooner, current=5), settings, first.memory).wanted == 5


def test_correct_pid_follows_what_was_granted() -> None:
    settings = PidSettings(proportional_gain=0.0, integral_gain=0.1)
    memory: object = {}
    for number in range(20):
        # The guard never grants more than five.
        seen = at_error(-0.5, at=START + number * 5.0)
        memory = Pid().decide(situation(seen, current=5, maximum=100), settings, memory).memory  # type: ignore[arg-type]
    ahead = [at_error(0.5, at=START + (20 + number) * 5.0) for number in range(6)]
    wanted = 5
    for seen in ahead:
        proposal = Pid().decide(situation(seen, current=wanted, maximum=100), settings, memory)  # type: ignore[arg-type]
        memory, wanted = proposal.memory, min(5, proposal.wanted)
    assert wanted < 5


def test_the_derivative_is_filtered() -> None:
    """Progress that comes in steps is damped less at once, and as much in the end, as without a filter."""

    def after(filter_seconds: float, steps: int) -> float:
        settings = PidSettings(
            proportional_gain=0.0, integral_gain=0.0, derivative_gain=100.0, derivative_filter=filter_seconds
        )
        memory: object = {}
        for number in range(steps + 1):
            seen = observed(deadline=1000.0, elapsed=100.0, progress=0.1 * number, at=START + 5.0 * number)
            memory = Pid().decide(situation(seen, current=5), settings, memory).memory  # type: ignore[arg-type]
        return memory["rate"]  # type: ignore[index,no-any-return]

    assert after(0.0, 1) == pytest.approx(0.02)
    assert 0.0 < after(30.0, 1) < 0.01
    assert after(30.0, 100) == pytest.approx(0.02, rel=0.01)
