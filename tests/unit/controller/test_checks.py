"""The original's own integration checks on scaling, and PID in both modes, on the modelled plant."""

from __future__ import annotations

from tests.unit.controller.plant import Plant, request_for, simulate

TRIGGERS = {"trigger_up": 1, "trigger_down": 1, "actuation_size": 1}


def test_scale_up_when_hopelessly_late() -> None:
    """Initially 1, expected time 1 s, triggers 1, max 10, interval 1: rises above 1, never above max, and ends."""
    request = request_for("default", TRIGGERS, maximum=10, initial=1, interval=1.0)
    run = simulate(Plant([0.5] * 60, startup=0.5, observe_every=0.5), request, deadline=1.0)
    assert 1 < run.peak <= 10
    assert all(1 <= decision.granted <= 10 for decision in run.decisions)
    assert run.decisions[-1].at - 1_700_000_000.0 <= run.finished + 1.0, "nothing is decided after the end"


def test_scale_down_to_min_while_items_remain() -> None:
    """Initially 4, a long expected time, trigger_down 0.1, slow items: falls to min while items remain."""
    settings = {"trigger_up": 1, "trigger_down": 0.1, "actuation_size": 1}
    request = request_for("default", settings, minimum=1, maximum=10, initial=4, interval=1.0)
    plant = Plant([3.0] * 40, startup=0.5, observe_every=0.5)
    run = simulate(plant, request, deadline=10_000.0)
    at_min = next(decision for decision in run.decisions if decision.granted == 1)
    assert at_min.progress < 0.9
    assert run.counts[-1] == 1


def test_pid_in_both_modes_stays_within_its_bounds_and_finishes() -> None:
    gains = {"proportional_gain": 10.0, "derivative_gain": 2.0, "integral_gain": 0.5}
    for mode in ("compatible", "correct"):
        request = request_for("pid", {**gains, "mode": mode}, minimum=1, maximum=8, interval=2.0)
        run = simulate(Plant([2.0] * 100, startup=1.0), request, deadline=60.0)
        assert run.peak <= 8
        assert len({decision.granted for decision in run.decisions}) > 1
        assert run.finished <= 72.0


def test_the_working_pid_tracks_the_deadline_closer_than_flat_out() -> None:
    request = request_for(
        "pid", {"proportional_gain": 20.0, "integral_gain": 0.5}, maximum=20, interval=2.0, created_with=4
    )
    run = simulate(Plant([2.0] * 300, startup=1.0), request, deadline=100.0)
    assert 80.0 <= run.finished <= 105.0
