from __future__ import annotations

from typing import Any

import pytest
from asperathos_worker.queue.api import QueueRefused, QueueUnavailable

from common.domain.cluster import GENERATION_LABEL, SUBMISSION_LABEL
from common.domain.errors import Conflict, Unavailable
from common.domain.events import DECISIONS
from common.domain.forecast import Forecast
from common.domain.metrics import COST, FORECAST, MEASUREMENTS, QUEUE_WAIT, SERVICE, USAGE
from common.domain.progress import Decision, Usage
from common.domain.readings import Prices
from monitor.monitors import NoSettings, ProgressReading
from tests.unit.monitor.builders import ID, monitoring_request
from tests.unit.monitor.conftest import Bench


@pytest.fixture
def running(bench: Bench) -> Bench:
    """Four items, two replicas, monitored with a period of 2 s."""
    bench.load()
    labels = {SUBMISSION_LABEL: ID, GENERATION_LABEL: "1"}
    bench.cluster.create_job(
        {
            "metadata": {"name": f"{ID}-g1", "namespace": "default", "labels": labels},
            "spec": {
                "completionMode": "Indexed",
                "completions": 2,
                "parallelism": 2,
                "template": {"metadata": {"labels": labels}, "spec": {}},
            },
        }
    )
    bench.service.start(ID, monitoring_request())
    return bench


def _finish_one(bench: Bench) -> None:
    from asperathos_worker.queue.records import Ack

    lease = bench.queue.take("w", 0).leases[0]
    bench.clock.advance(1.0)
    bench.queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt)], 0)


def test_a_step_measures_and_asks_for_the_next_in_a_period(running: Bench) -> None:
    _finish_one(running)
    assert running.tick() == 2.0
    latest = running.observations.get(ID)
    assert latest is not None
    assert latest.value.progress == 0.25
    assert latest.value.replicas.observed == latest.value.replicas.requested == 2
    assert running.service.view(ID).observation == latest.value
    written = {point.measurement for point in running.metrics.points}
    assert written | {QUEUE_WAIT.name, FORECAST.name, USAGE.name} == {each.name for each in MEASUREMENTS}


def test_desired_is_the_last_decision(running: Bench) -> None:
    for granted in (3, 7):
        decision = Decision(at=1.0, law="l", wanted=9, granted=granted, previous=1, reason="r")
        running.decisions.append(DECISIONS, ID, decision)
    running.tick()
    observation = running.kept.observation
    assert observation is not None and observation.replicas.desired == 7


def _decide(bench: Bench, forecast: Forecast | None) -> None:
    decision = Decision(at=1.0, law="l", wanted=2, granted=2, previous=2, reason="r", forecast=forecast)
    bench.decisions.append(DECISIONS, ID, decision)


def test_each_forecast_becomes_points_once(running: Bench) -> None:
    _decide(running, None)
    running.tick()
    _decide(running, Forecast(at=1003.0, p50=60.0, p90=70.0, chance=0.5))
    running.tick()
    running.tick()
    _decide(running, None)
    running.tick()
    _decide(running, Forecast(at=1009.0, p50=50.0))
    running.tick()
    told = [point for point in running.metrics.points if point.measurement == FORECAST.name]
    assert [(point.at, point.fields["end_p50"]) for point in told] == [(1003.0, 60.0), (1009.0, 50.0)]


def test_another_forecast_of_the_same_observation_takes_the_place_of_the_first(running: Bench) -> None:
    for median in (60.0, 70.0):
        _decide(running, Forecast(at=1003.0, p50=median))
        running.tick()
    told = [point for point in running.metrics.points if point.measurement == FORECAST.name]
    assert [(point.at, point.fields["end_p50"]) for point in told] == [(1003.0, 60.0), (1003.0, 70.0)]


def test_money_and_replica_time_are_part_of_the_observation(running: Bench) -> None:
    running.service.start(ID, monitoring_request(prices=Prices(replica=1800.0)))
    running.tick()
    running.tick()
    seen = running.kept.observation
    assert seen is not None and (seen.spent, seen.replica_seconds) == (2.0, 4.0)
    (first, second) = [point.fields for point in running.metrics.points if point.measurement == COST.name]
    assert (first, second) == ({"so_far": 0.0}, {"so_far": 2.0})


def test_what_the_pods_use_is_measured_where_the_cluster_tells_it(running: Bench) -> None:
    running.tick()
    seen = running.kept.observation
    assert seen is not None and seen.usage is None and "metrics.k8s.io" in seen.usage_problem
    running.cluster.usages = {}
    running.tick()
    seen = running.kept.observation
    assert seen is not None and seen.usage is None and "not measured" in seen.usage_problem
    for pod in running.cluster.pods.values():
        running.cluster.usages[pod.name] = Usage(cpu=0.25, memory=1e6, pods=1)
    running.tick()
    seen = running.kept.observation
    assert seen is not None and (seen.usage, seen.usage_problem) == (Usage(cpu=0.5, memory=2e6, pods=2), "")
    (point,) = [point for point in running.metrics.points if point.measurement == USAGE.name]
    assert point.fields == {"cpu": 0.5, "memory": 2e6, "pods": 2}
    assert running.service.view(ID).reason == ""


def test_expired_leases_are_returned(running: Bench) -> None:
    running.queue.take("w", 0)
    running.clock.advance(60.0)
    running.tick()
    observation = running.kept.observation
    assert observation is not None
    assert observation.counts.leased == 0
    assert observation.failures == observation.expired == 1


def test_the_tally_adds_up_and_ends_with_a_last_observation(running: Bench) -> None:
    for _ in range(3):
        _finish_one(running)
        running.tick()
    running.service.stop(ID)
    running.clock.advance(0.25)
    running.loop.step(ID)
    report = running.service.report(ID)
    detailed = running.service.detailed_report(ID, partial=False)
    assert report is not None and detailed is not None
    assert report.counts.done == 3
    assert report.execution_time == pytest.approx(19.25)
    assert report.replica_seconds == pytest.approx(2 * 6.25)
    assert (report.peak_replicas, report.final_replicas) == (2, 2)
    assert report.final_error and report.max_error and report.min_error
    errors = [row["error"] for row in detailed.values()]
    assert report.max_error[0] == max(error for error in errors if error is not None)
    assert report.min_error[0] == min(error for error in errors if error is not None)
    assert report.final_error[0] == errors[-1]
    assert report.final_error[1] == max(point.at for point in running.metrics.points)


def test_nothing_changes_after_the_end(running: Bench) -> None:
    running.service.stop(ID)
    running.tick()
    before, points = running.kept, len(running.metrics.points)
    running.tick(100.0)
    assert running.kept == before
    assert len(running.metrics.points) == points
    assert running.loop.active_ids() == []


@pytest.mark.parametrize(("keep", "kept"), [(7200.0, 7200.0), (0.0, 600.0)])
def test_all_that_was_measured_has_its_time_after_the_end(running: Bench, keep: float, kept: float) -> None:
    running.service.start(ID, monitoring_request(keep=keep))
    running.service.stop(ID)
    running.tick()
    assert running.records.ttls == running.observations.ttls == running.metrics.ttls == {ID: kept}


def test_another_process_having_measured_just_now_is_enough(running: Bench) -> None:
    running.tick()
    assert running.tick(0.5) == pytest.approx(1.5)
    assert running.kept.tally.measurements == 1
    running.tick(1.5)
    assert running.kept.tally.measurements == 2


def test_the_clock_set_back_does_not_end_measuring(running: Bench) -> None:
    running.tick()
    running.clock.step(-3600.0)
    assert running.tick() == 2.0
    assert running.kept.tally.measurements == 2


def test_without_the_cluster_measuring_goes_on_and_says_so(running: Bench) -> None:
    running.tick()
    running.cluster.down = True
    _finish_one(running)
    running.tick()
    observation = running.kept.observation
    assert observation is not None
    assert not observation.cluster_available
    assert observation.replicas.observed == 2
    assert observation.counts.done == 1
    assert "cluster" in running.service.view(ID).reason
    running.cluster.down = False
    running.tick()
    assert running.service.view(ID).reason == ""
    assert running.kept.observation is not None and running.kept.observation.cluster_available


@pytest.mark.parametrize("error", [QueueUnavailable("away"), QueueRefused("no permission"), Unavailable("away")])
def test_without_the_queue_a_step_fails(running: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    running.tick()
    before = running.kept
    monkeypatch.setattr(running.queue, "stats", _raising(error))
    with pytest.raises(Unavailable, match=ID):
        running.tick()
    assert running.kept == before


def test_the_end_waits_for_the_queue_but_not_for_ever(running: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    running.tick()
    running.service.stop(ID)
    monkeypatch.setattr(running.queue, "stats", _raising(QueueUnavailable("away")))
    with pytest.raises(Unavailable):
        running.tick()
    running.tick(20.0)
    report = running.service.report(ID)
    assert report is not None and report.execution_time == 12.0
    assert "did not answer" in running.kept.reason


def test_a_queue_that_is_not_there_is_waited_for_then_taken_for_gone(running: Bench) -> None:
    running.tick()
    running.queue.purge()
    running.tick()
    assert running.kept.active
    assert "queue" in running.kept.reason
    running.tick(30.0)
    assert running.kept.active
    running.tick(31.0)
    assert running.kept.ended


def test_a_queue_that_comes_back_is_measured_again(running: Bench) -> None:
    running.queue.purge()
    running.tick()
    running.load()
    running.tick()
    assert (running.kept.reason, running.kept.missing_since) == ("", None)
    assert running.kept.tally.measurements == 1


def test_stopping_without_a_queue_ends_at_once(running: Bench) -> None:
    running.queue.purge()
    running.service.stop(ID)
    running.tick()
    report = running.service.report(ID)
    assert report is not None and report.execution_time == 0.0 and report.final_error is None


class _Half:
    settings = NoSettings

    def progress(self, reading: ProgressReading, settings: Any) -> float:
        if reading.counts.done:
            raise ValueError("cannot say")
        return 0.5


def test_a_users_monitor_says_what_progress_is_and_its_failure_is_told(bench: Bench) -> None:
    bench.load()
    bench.monitors["half"] = _Half()
    bench.service.start(ID, monitoring_request(plugin="half"))
    bench.tick()
    observation = bench.kept.observation
    assert observation is not None and observation.progress == 0.5
    _finish_one(bench)
    bench.tick()
    observation = bench.kept.observation
    assert observation is not None and observation.progress == 0.25
    assert "cannot say" in bench.service.view(ID).reason


def test_a_stop_under_the_steps_feet_loses_nothing_of_the_measurement(
    running: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = running.queue.sweep

    def stop_meanwhile() -> int:
        running.service.stop(ID)
        return sweep()

    monkeypatch.setattr(running.queue, "sweep", stop_meanwhile)
    running.tick()
    assert running.kept.stop_at is not None
    assert running.kept.tally.measurements == 1
    running.tick(0.05)
    assert running.kept.ended
    assert running.kept.tally.measurements == 2


def test_another_monitors_measurement_under_the_steps_feet_is_a_conflict(
    running: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = running.queue.sweep

    def measure_meanwhile() -> int:
        monkeypatch.setattr(running.queue, "sweep", sweep)
        running.tick()
        return sweep()

    monkeypatch.setattr(running.queue, "sweep", measure_meanwhile)
    with pytest.raises(Conflict):
        running.tick()
    assert running.kept.tally.measurements == 1


def test_unknown_ids_are_no_trouble(bench: Bench) -> None:
    assert bench.loop.step("kj-unknown") > 0


def test_no_times_of_items_are_written_before_there_are_any(running: Bench) -> None:
    running.tick()
    assert SERVICE.name not in {point.measurement for point in running.metrics.points}


def _raising(error: Exception) -> Any:
    def call() -> Any:
        raise error

    return call
