from __future__ import annotations

import math

import pytest
from asperathos_worker.queue.histogram import observed
from asperathos_worker.queue.records import Histogram
from hypothesis import given
from hypothesis import strategies as st

from common.domain.cluster import SubmissionView
from common.domain.progress import Observation, Replicas
from monitor.measure import SPACING, WINDOW, in_work, measure, moved_window
from monitor.record import Sample
from tests.unit.monitor.builders import ID, info, job, observation, pod, reading, stats


def test_counts_progress_and_error_come_from_one_snapshot() -> None:
    seen = measure(ID, info(), reading(stats=stats(1010.0, ready=3, leased=1, delayed=1, done=4, dead=1)), (), None)
    assert (seen.counts.total, seen.counts.outstanding, seen.counts.done) == (10, 5, 4)
    assert seen.progress == 0.5
    assert seen.elapsed == 20.0
    assert seen.time_progress == 0.2
    assert seen.error == pytest.approx(0.3)


def test_total_is_unknown_until_the_queue_is_closed() -> None:
    seen = measure(ID, info(), reading(stats=stats(closed=False, done=5)), (), None)
    assert seen.counts.total is None
    assert seen.progress == 0.0


def test_elapsed_goes_on_beyond_a_day() -> None:
    seen = measure(ID, info(), reading(990.0 + 3 * 86400.0), (), None)
    assert seen.elapsed == 3 * 86400.0


def test_time_never_goes_back_when_the_clock_does() -> None:
    before = measure(ID, info(), reading(1050.0), (), None)
    after = measure(ID, info(), reading(1020.0), (), before)
    assert (after.at, after.elapsed) == (before.at, before.elapsed)


def test_an_acceptance_in_the_future_is_no_negative_time() -> None:
    assert measure(ID, info(created_at=2000.0), reading(1000.0), (), None).elapsed == 0.0


def test_rates_are_those_of_the_window() -> None:
    window = (Sample(at=980.0, settled=2, put=5),)
    seen = measure(ID, info(), reading(stats=stats(1000.0, done=10, dead=2, put=45)), window, None)
    assert seen.throughput == pytest.approx(0.5)
    assert seen.arrival_rate == pytest.approx(2.0)


def test_rates_are_not_negative_when_dead_items_return() -> None:
    window = (Sample(at=980.0, settled=9, put=10),)
    assert measure(ID, info(), reading(stats=stats(1000.0, done=5)), window, None).throughput == 0.0


def test_rates_stay_when_no_time_has_passed() -> None:
    window = (Sample(at=1000.0, settled=2, put=5),)
    before = observation(1000.0, throughput=3.0, arrival_rate=4.0)
    seen = measure(ID, info(), reading(stats=stats(1000.0, done=10)), window, before)
    assert (seen.throughput, seen.arrival_rate) == (3.0, 4.0)


def test_window_reaches_back_its_length_and_holds_few_samples() -> None:
    window: tuple[Sample, ...] = ()
    for tick in range(1000):
        at = 1000.0 + tick * 0.5
        window = moved_window(window, stats(at), at)
        assert len(window) <= WINDOW / SPACING + 2
        assert at - window[0].at >= min(WINDOW, at - 1000.0)
        assert at - window[0].at < WINDOW + SPACING


def test_a_pause_longer_than_the_window_leaves_one_sample_to_tell_the_rate_from() -> None:
    window = moved_window((Sample(at=1000.0, settled=0, put=10),), stats(1600.0, done=6), 1600.0)
    assert [sample.at for sample in window] == [1000.0, 1600.0]


def test_waiting_times_are_those_of_the_window() -> None:
    early = observed(Histogram(), 10.0, times=100)
    late = observed(early, 0.1, times=50)
    window = (Sample(at=990.0, settled=0, put=0, wait=early.buckets),)
    seen = measure(ID, info(), reading(stats=stats(wait=late)), window, None)
    assert seen.queue_wait_p50 is not None and seen.queue_wait_p50 <= 0.1
    assert seen.queue_wait_p95 is not None and seen.queue_wait_p95 <= 0.12


def test_waiting_times_are_unknown_when_nothing_was_taken() -> None:
    seen = measure(ID, info(), reading(), (), None)
    assert seen.queue_wait_p50 is None and seen.queue_wait_p95 is None


def test_service_times() -> None:
    durations = Histogram()
    for seconds in (1.0, 1.0, 1.0, 4.0):
        durations = observed(durations, seconds)
    two_at_work = SubmissionView((job(),), (pod(0), pod(1)))
    seen = reading(stats=stats(service=durations, running=(7.00049, 1.0)), view=two_at_work)
    service = measure(ID, info(), seen, (), None).service
    assert service.count == 4
    assert service.mean == pytest.approx(1.75)
    assert service.deviation == pytest.approx(math.sqrt(27 / 16))
    assert service.longest == 4.0
    assert service.p50 == pytest.approx(1.0, rel=0.25)
    assert service.p95 == pytest.approx(4.0, rel=0.25)
    assert service.running == (7.0, 1.0)


def test_of_a_handful_of_short_items_one_is_in_work() -> None:
    """Two workers hold four items each; one has been at its handful for 3 s, of which three items took 0.1 s each."""
    ages = (3.0, 3.0, 3.0, 3.0, 0.2, 0.2, 0.2, 0.2)
    assert in_work(ages, 8, 2, 0.1) == pytest.approx((2.7, 0.0))
    assert in_work(ages, 8, 8, 0.1) == ages
    assert in_work(ages, 8, 20, 0.1) == ages
    assert in_work(ages, 8, 0, 0.1) == ages, "no replica is known: their leases are yet to end"
    assert in_work((), 0, 2, 0.1) == ()
    assert in_work(ages[:4], 8, 2, 0.1) == pytest.approx((2.7,)), "the queue tells the oldest only"


def test_replicas_by_reality() -> None:
    view = SubmissionView(
        (job(9, generation=1, ended="Failed"), job(4, generation=2)),
        (
            pod(0),
            pod(1),
            pod(2, "Pending"),
            pod(3, deleting=True),
            pod(4, "Succeeded"),
            pod(5, "Failed"),
            pod(6, role="queue"),
        ),
    )
    seen = measure(ID, info(), reading(view=view, desired=5), (), None).replicas
    assert seen == Replicas(desired=5, requested=4, observed=2, pending=1, leaving=1)


def test_indexes_that_ended_well_are_told_unless_another_pod_has_taken_them_up() -> None:
    pods = (
        pod(0),
        pod(1, "Succeeded", generation=2),
        pod(2, "Succeeded", generation=2),
        pod(2, generation=2, created_at=995.0),
        pod(3, "Failed", generation=2),
        pod(4, "Succeeded", generation=2),
        pod(0, "Succeeded"),
    )
    view = SubmissionView((job(4, generation=2, succeeded=1),), pods)
    assert measure(ID, info(), reading(view=view), (), None).replicas.ended == 1
    raised_again = SubmissionView((job(4, generation=2, succeeded=0),), pods)
    assert measure(ID, info(), reading(view=raised_again), (), None).replicas.ended == 0


@pytest.mark.parametrize("newest", [job(4, generation=2, ended="Complete"), job(4, generation=2, suspended=True)])
def test_an_ended_or_suspended_job_asks_for_no_replicas(newest: object) -> None:
    view = SubmissionView((job(9, generation=1), newest))  # type: ignore[arg-type]
    seen = measure(ID, info(), reading(view=view), (), None).replicas
    assert seen.requested == seen.desired == 0


def test_without_a_job_nothing_is_requested() -> None:
    assert measure(ID, info(), reading(view=SubmissionView()), (), None).replicas == Replicas()


def test_without_the_cluster_the_last_known_counts_stay_and_say_so() -> None:
    before = observation(998.0, observed=3, startup=4.5)
    seen = measure(ID, info(), reading(view=None), (), before)
    assert seen.replicas == before.replicas
    assert seen.startup == 4.5
    assert not seen.cluster_available


def test_without_the_cluster_from_the_start_there_are_no_replicas() -> None:
    assert measure(ID, info(), reading(view=None), (), None).replicas == Replicas()


def test_startup_is_the_median_of_the_latest_pods() -> None:
    old = [pod(index, created_at=10.0, started_at=500.0) for index in range(60)]
    new = [pod(index, created_at=100.0 + index, started_at=103.0 + index) for index in range(50)]
    view = SubmissionView((job(),), (*new, *old, pod(99, "Pending")))
    assert measure(ID, info(), reading(view=view), (), None).startup == 3.0


def test_metrics_are_means_over_workers_of_what_is_a_number() -> None:
    told = {"loss": {"a": 1.0, "b": 3.0, "c": math.nan}, "speed": {"a": math.inf}, "huge": {"a": 1e308, "b": 1e308}}
    seen = measure(ID, info(), reading(reported=told), (), None)
    assert seen.metrics == {"loss": 2.0, "huge": 1e308}
    assert Observation.model_validate_json(seen.model_dump_json()) == seen


@given(
    ats=st.lists(st.floats(0, 1e10), min_size=1, max_size=20),
    created=st.floats(0, 1e10),
)
def test_time_is_monotonic_whatever_the_clock_does(ats: list[float], created: float) -> None:
    previous = None
    window: tuple[Sample, ...] = ()
    for at in ats:
        seen = measure(ID, info(created_at=created), reading(at), window, previous)
        window = moved_window(window, stats(at), seen.at)
        assert seen.elapsed >= 0 and seen.throughput >= 0 and math.isfinite(seen.throughput)
        if previous is not None:
            assert seen.at >= previous.at and seen.elapsed >= previous.elapsed
        previous = seen
