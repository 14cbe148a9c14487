"""The life of submissions, on fakes: what the loop makes of them, whatever happens meanwhile."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, Protocol

import pytest
import structlog
from asperathos_worker.queue.api import QueueUnavailable

from common.domain.errors import BadRequest, ClusterError, Conflict, Unavailable, WorkloadError
from common.domain.states import Intent, State
from common.domain.submission import Workload
from manager.loop import LoopRules
from manager.runner_archive import RunnerArchive
from tests.fakes.cluster import FakeCluster
from tests.support.manager_stage import ID, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_one_step_takes_a_small_batch_from_acceptance_to_running_pods(stage: Stage) -> None:
    stage.submit()
    stage.step()
    assert stage.now.state is State.ONGOING
    assert stage.now.loaded == 3
    assert stage.now.started_at == stage.now.created_at
    assert len(stage.cluster.running(ID)) == 1
    assert stage.queue.stats().total == 3


def test_a_batch_completes_with_its_report(stage: Stage) -> None:
    stage.submit(deadline=60)
    stage.step()
    stage.clock.advance(2)
    assert stage.work() == 3
    stage.run(3)
    done = stage.now
    assert done.state is State.COMPLETED
    assert done.reason == ""
    assert done.summary is not None
    assert done.summary.counts.done == 3
    assert done.summary.deadline_met is True
    assert done.summary.deadline_margin == pytest.approx(58.0)
    assert done.summary.execution_time == pytest.approx(2.0)
    assert (done.summary.replica_seconds, done.summary.scalings, done.summary.peak_replicas) == (12.5, 4, 3)
    assert set(stage.monitor.stopped) == {f"/monitoring/{ID}/stop"}
    assert set(stage.controller.stopped) == {f"/scaling/{ID}/stop"}
    assert list(stage.texts.get(ID).values()) == [f"{ID}-g1-0-00001 is done"]


def test_nothing_is_left_in_the_cluster_after_the_jobs_lifetime_and_nowhere_after_keep(stage: Stage) -> None:
    stage.submit(job_lifetime=100, keep=1000)
    stage.step()
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED
    assert stage.cluster.jobs
    assert stage.cluster.secrets
    stage.run(100)
    assert stage.now.job_deleted
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.secrets) == ({}, {}, {})
    assert [result.result for result in stage.queue.results()[0]] == ["A", "B", "C"]
    queue = stage.queue
    stage.run(1000)
    assert stage.records.get(ID) is None
    assert stage.texts.get(ID) == {}
    assert stage.journal.ttls["events", ID] == 0.0
    assert stage.metrics.ttls[ID] == 0.0
    assert queue.results.__self__._config is None  # type: ignore[attr-defined]


def test_where_many_are_at_work_each_is_looked_at_less_often() -> None:
    stage = Stage(LoopRules(looks=0.1))
    stage.submit()
    assert [stage.step() for _ in range(3)] == [10.0, 10.0, 10.0]
    stage.work()
    stage.run(30)
    assert stage.now.state is State.COMPLETED
    assert stage.step() == 3600.0, "who has ended does not count"
    assert stage.loop._alive == set()


def test_an_ended_submission_is_looked_at_rarely(stage: Stage) -> None:
    stage.submit(keep=7 * 86400)
    stage.step()
    stage.work()
    stage.run(3)
    assert stage.now.job_deleted
    assert stage.step() == 3600.0


def test_dead_items_make_it_failed_and_the_last_error_is_told(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.work(2)
    stage.work(failing=True)
    stage.run(3)
    assert stage.now.state is State.FAILED
    assert stage.now.reason == "1 of 3 items is dead; the last one: cannot do c"
    assert stage.now.summary is not None
    assert stage.now.summary.deadline_met is None


def test_an_empty_workload_is_completed_at_once_without_a_job(stage: Stage) -> None:
    stage.submit(workload=[])
    stage.step()
    assert stage.now.state is State.COMPLETED
    assert stage.now.reason == "the workload is empty"
    assert "create_job" not in stage.cluster.calls


def test_a_workload_that_breaks_runs_nothing(stage: Stage) -> None:
    def broken(workload: Workload | None) -> Iterator[str]:
        yield from (f"item {n}" for n in range(25))
        raise WorkloadError("line 26 of the workload is not UTF-8")

    stage.open_items = broken
    stage.submit()
    stage.step()
    assert stage.now.state is State.ERROR
    assert stage.now.reason == "line 26 of the workload is not UTF-8"
    assert "create_job" not in stage.cluster.calls


def test_a_stream_stays_open_until_it_is_stopped(stage: Stage) -> None:
    stage.submit(workload=None, target={"latency": "5s"})
    stage.step()
    assert stage.now.state is State.ONGOING
    assert not stage.queue.stats().closed
    stage.run(30)
    assert stage.now.state is State.ONGOING
    stage.intend(Intent.STOP)
    stage.step()
    stage.work()
    stage.run(3)
    assert stage.now.state is State.STOPPED


def test_zero_initial_replicas_make_a_suspended_job(stage: Stage) -> None:
    stage.submit(replicas={"min": 0, "max": 3, "initial": 0})
    stage.run(20)
    (job,) = stage.cluster.jobs.values()
    assert job.suspended
    assert stage.now.state is State.ONGOING
    assert stage.now.reason == ""


# Stop and terminate.


@pytest.mark.parametrize("intent", [Intent.STOP, Intent.TERMINATE])
def test_an_end_asked_before_anything_was_done(stage: Stage, intent: Intent) -> None:
    stage.submit()
    stage.intend(intent)
    stage.step()
    assert stage.now.state is (State.STOPPED if intent is Intent.STOP else State.TERMINATED)
    assert "create_job" not in stage.cluster.calls


def test_stop_lets_workers_finish_what_they_hold(stage: Stage) -> None:
    stage.submit(grace_period=20)
    stage.step()
    (pod,) = stage.cluster.running(ID)
    (lease,) = stage.queue.take(pod.name, 0).leases
    stage.intend(Intent.STOP)
    stage.run(10)
    assert stage.now.state is State.ONGOING
    assert stage.now.reason == "stopping"
    from asperathos_worker.queue.records import Ack, Verdict

    taken = stage.queue.finish_and_take(pod.name, 0, [Ack(lease.id, lease.attempt, "A")])
    assert taken.accepted == (True,)
    assert taken.verdict is Verdict.STOPPED
    stage.cluster.finish(pod, 0)
    stage.run(1)
    assert stage.now.state is State.STOPPED
    assert stage.now.summary is not None
    assert stage.now.summary.counts.done == 1
    assert stage.now.summary.counts.ready == 2
    assert not stage.cluster.jobs


def test_stop_waits_no_longer_than_the_grace_period_and_a_margin(stage: Stage) -> None:
    stage.submit(grace_period=20)
    stage.step()
    stage.intend(Intent.STOP)
    stage.run(24)
    assert stage.now.state is State.ONGOING
    stage.run(2)
    assert stage.now.state is State.STOPPED
    assert not stage.cluster.jobs


def test_terminate_does_not_wait(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.intend(Intent.TERMINATE)
    stage.step()
    assert stage.now.state is State.TERMINATED
    assert (f"{ID}-g1", 0.0) in stage.cluster.deletions
    assert not stage.cluster.pods
    assert stage.queue.stats().stopped


def test_terminate_overrides_a_stop_under_way_also_after_a_restart(stage: Stage) -> None:
    stage.submit(grace_period=3600)
    stage.step()
    stage.intend(Intent.STOP)
    stage.run(2)
    stage.restart()
    stage.run(2)
    assert stage.now.state is State.ONGOING
    stage.intend(Intent.TERMINATE)
    stage.step()
    assert stage.now.state is State.TERMINATED


def test_an_end_waits_for_a_cluster_that_is_away(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.cluster.down = True
    stage.intend(Intent.TERMINATE)
    stage.run(5)
    assert stage.now.state is State.ONGOING
    assert stage.now.reason.startswith("terminating; the cluster does not answer")
    stage.cluster.down = False
    stage.run(2)
    assert stage.now.state is State.TERMINATED
    assert not stage.cluster.jobs


def test_a_stop_that_comes_when_all_is_done_changes_nothing(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.work()
    stage.intend(Intent.STOP)
    stage.run(3)
    assert stage.now.state is State.COMPLETED


# Managers that die, and clocks that are set.


def test_services_that_were_away_at_the_end_are_told_of_it_later(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    stage.monitor.down = stage.controller.down = True
    stage.work()
    stage.run(60)
    assert stage.now.state is State.COMPLETED
    assert stage.now.end_told is False
    stage.monitor.down = stage.controller.down = False
    stage.run(30)
    assert stage.monitor.stopped == [f"/monitoring/{ID}/stop"]
    assert stage.controller.stopped == [f"/scaling/{ID}/stop"]
    assert stage.now.end_told is True


def test_the_end_is_told_after_it_was_recorded_once_more(stage: Stage) -> None:
    # A Redis that loses its last second may have forgotten what was told before.
    stage.submit()
    stage.run(5)
    stage.work()
    stage.run(20)
    assert stage.now.end_told is True
    assert stage.monitor.stopped == [f"/monitoring/{ID}/stop"] * 2


def test_what_a_dead_manager_was_loading_is_read_on_within_fifteen_seconds(stage: Stage) -> None:
    def slow(workload: Workload | None) -> Iterator[str]:
        for number in range(50):
            stage.clock.advance(0.03)
            yield str(number)

    stage.open_items = slow
    stage.submit()
    stage.step()
    assert stage.now.state is State.LOADING
    stage.restart()
    stage.run(15)
    assert stage.now.state is State.ONGOING
    assert stage.queue.stats().total == 50


def test_a_lost_job_is_replaced_although_the_clock_was_set_back(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    stage.clock.step(-3600)
    stage.cluster.delete_job("default", f"{ID}-g1")
    stage.run(5)
    assert stage.now.generation == 2


def test_the_end_comes_although_the_clock_was_set_back_and_nobody_reports(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    stage.monitor.down = True
    stage.work()
    stage.run(1)
    assert stage.now.ending_at is not None
    stage.clock.step(-3600)
    stage.run(10)
    assert stage.now.state is State.COMPLETED


def test_after_a_setback_of_the_records_everything_is_told_again(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    told = len(stage.monitor.posted), len(stage.controller.posted)
    stage.run(5)
    assert (len(stage.monitor.posted), len(stage.controller.posted)) == told
    stage.loop.forget_all()
    stage.run(2)
    assert (len(stage.monitor.posted), len(stage.controller.posted)) == (told[0] + 1, told[1] + 1)


def delete(stage: Stage) -> None:
    """The submission has ended and its user deletes it."""
    assert stage.now.state is State.COMPLETED
    kept = stage.records.get(ID)
    assert kept is not None
    stage.records.update(ID, kept.value.model_copy(update={"delete_requested": True}), kept.version)


def complete(stage: Stage) -> None:
    """The submission has run to its end."""
    stage.submit()
    stage.run(5)
    stage.work()
    stage.run(5)


def test_a_deleted_one_is_forgotten_only_when_the_other_services_have_forgotten_it(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    stage.controller.down = True
    stage.work()
    stage.run(5)
    delete(stage)
    stage.run(60)
    assert stage.records.get(ID) is not None
    stage.controller.down = False
    stage.run(30)
    assert stage.records.get(ID) is None
    assert stage.controller.stopped == [f"/scaling/{ID}/stop"]
    assert stage.controller.deleted == [f"/scaling/{ID}"]


class Fallible(Protocol):
    """What can be away."""

    down: bool


def wait_in_vain_for(stage: Stage, away: Fallible) -> Sequence[MutableMapping[str, Any]]:
    """The submission is deleted while somebody is away; its record goes when patience ends. Returns what was logged."""
    stage.rules = LoopRules(forget_patience=3600.0)
    stage.restart()
    complete(stage)
    delete(stage)
    away.down = True
    with structlog.testing.capture_logs() as logs:
        stage.run(3500)
        assert stage.records.get(ID) is not None
        stage.run(700)
    assert stage.records.get(ID) is None
    return logs


def test_a_deleted_one_does_not_wait_for_ever_for_a_service_that_stays_away(stage: Stage) -> None:
    logs = wait_in_vain_for(stage, stage.controller)
    (told,) = [line for line in logs if line["event"] == "traces_left"]
    assert (told["id"], told["where"], told["log_level"]) == (ID, ["controller"], "warning")
    asked = [line for line in logs if line["event"] == "service_keeps_record"]
    assert len(asked) < 60, "a service that is away for long is asked less often"


def test_a_deleted_one_does_not_wait_for_ever_for_a_metric_store_that_stays_away(stage: Stage) -> None:
    logs = wait_in_vain_for(stage, stage.metrics)
    assert [line["where"] for line in logs if line["event"] == "traces_left"] == [["metrics"]]


def test_a_metric_store_that_comes_back_forgets_the_series(stage: Stage) -> None:
    complete(stage)
    delete(stage)
    stage.metrics.down = True
    stage.run(60)
    assert stage.records.get(ID) is not None
    stage.metrics.down = False
    stage.run(60)
    assert stage.records.get(ID) is None
    assert stage.metrics.ttls[ID] == 0.0


# Jobs that end too early.


def test_a_job_that_ends_with_items_left_is_replaced_and_scaled_as_it_was(stage: Stage) -> None:
    stage.submit(workload=[str(n) for n in range(20)], replicas={"max": 4})
    stage.step()
    stage.cluster.scale_job("default", f"{ID}-g1", 3)
    stage.work(5)
    stage.clock.advance(5)
    for pod in stage.cluster.running(ID):
        stage.cluster.finish(pod, 0)
    stage.run(2)
    assert stage.now.generation == 2
    assert [job.name for job in stage.cluster.jobs.values()] == [f"{ID}-g2"]
    assert len(stage.cluster.running(ID)) == 3
    assert any("replaced by generation 2" in line for line in stage.told())
    path, request = stage.controller.posted[-1]
    assert path == f"/scaling/{ID}"
    assert (request.job, request.initial) == (f"{ID}-g2", 3)  # type: ignore[attr-defined]
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED


def test_a_job_deleted_by_hand_is_replaced(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    stage.cluster.delete_job("default", f"{ID}-g1")
    stage.run(2)
    assert stage.now.generation == 2
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED


def test_a_container_that_exits_at_once_is_an_error_with_its_code_and_words(stage: Stage) -> None:
    stage.submit(command=["no-such-program"])
    stage.step()
    for _ in range(3):
        (pod,) = stage.cluster.running(ID)
        stage.cluster.finish(pod, 127, log="sh: no-such-program: not found\n")
        stage.run(25)
    assert stage.now.state is State.ERROR
    assert stage.now.reason == "the container exits at once with code 127: sh: no-such-program: not found"
    assert not stage.cluster.jobs
    assert stage.texts.get(ID)


def test_failing_pods_are_no_error_while_items_are_taken(stage: Stage) -> None:
    stage.submit(workload=[str(n) for n in range(20)], replicas={"max": 4, "initial": 4})
    stage.step()
    stage.work(1)
    for pod in stage.cluster.running(ID):
        stage.cluster.finish(pod, 1)
    stage.run(5)
    assert stage.now.state is State.ONGOING
    stage.run(30)
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED


def test_evictions_are_no_failures(stage: Stage) -> None:
    stage.submit(replicas={"max": 4, "initial": 4})
    stage.step()
    for pod in stage.cluster.running(ID):
        stage.cluster.evict(pod)
    stage.run(5)
    assert stage.now.state is State.ONGOING


def test_a_command_that_does_not_speak_the_protocol_is_told_so(stage: Stage) -> None:
    stage.submit(command=["true"])
    for _ in range(3):
        stage.run(4)
        for pod in stage.cluster.running(ID):
            stage.cluster.finish(pod, 0)
    stage.run(4)
    assert stage.now.state is State.ERROR
    assert "does the command speak the worker protocol" in stage.now.reason
    assert "run:" in stage.now.reason
    assert stage.now.generation == 3


# Trouble outside.


def test_pods_that_cannot_start_say_why_and_the_reason_goes_when_they_can() -> None:
    stage = Stage(auto_start=False)
    stage.submit()
    stage.run(1)
    (pod,) = stage.cluster.pods.values()
    stage.cluster.hold(pod, "ImagePullBackOff", 'Back-off pulling image "no/such"')
    stage.run(2)
    assert stage.now.reason == ('1 of 1 replicas cannot start: ImagePullBackOff: Back-off pulling image "no/such"')
    stage.cluster.start(pod)
    stage.run(2)
    assert stage.now.reason == ""


def test_a_job_that_gets_no_pods_says_what_kubernetes_says(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.cluster.auto_start = False
    stage.cluster.pods.clear()
    stage.cluster._reconcile = lambda: None  # type: ignore[method-assign]
    stage.cluster.tell("default", ID, "FailedCreate", "exceeded quota: pods=0")
    stage.run(5)
    assert stage.now.reason == "FailedCreate: exceeded quota: pods=0"


def test_the_work_goes_on_while_the_cluster_is_away(stage: Stage) -> None:
    stage.submit()
    stage.step()
    pods = stage.cluster.running(ID)
    stage.cluster.down = True
    stage.run(60)
    assert "the cluster does not answer" in stage.now.reason
    assert "the work goes on" in stage.now.reason
    stage.cluster.down = False
    assert stage.cluster.running(ID) == pods
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED


def test_a_job_waits_for_a_cluster_that_is_away(stage: Stage) -> None:
    stage.cluster.down = True
    stage.submit()
    stage.run(10)
    assert stage.now.state is State.LOADING
    assert stage.now.reason.startswith("the Job waits for the cluster")
    stage.cluster.down = False
    stage.run(3)
    assert stage.now.state is State.ONGOING
    assert stage.now.reason == ""


def test_a_refused_job_is_tried_again_for_a_while(stage: Stage) -> None:
    stage.cluster.refusal = "exceeded quota: count/jobs.batch=0"
    stage.submit()
    stage.run(60)
    assert stage.now.state is State.LOADING
    assert "exceeded quota" in stage.now.reason
    stage.run(300)
    assert stage.now.state is State.ERROR
    assert "exceeded quota" in stage.now.reason


def test_redis_away_fails_the_step_and_loses_nothing(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.work(1)
    stage.records.down = stage.queues.down = True
    with pytest.raises(Unavailable):
        stage.step()
    stage.records.down = stage.queues.down = False
    stage.work()
    stage.run(3)
    assert stage.now.state is State.COMPLETED


def test_a_lost_queue_is_an_error(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.queue.purge()
    stage.run(1)
    assert stage.now.state is State.ERROR
    assert "the queue is gone" in stage.now.reason


# The other services.


def test_the_other_services_are_told_all_they_need(stage: Stage) -> None:
    stage.submit(deadline=90, keep=500, control={"law": "pid"}, replicas={"max": 7, "initial": 2})
    stage.step()
    ((path, monitoring),) = stage.monitor.posted
    assert path == f"/monitoring/{ID}"
    info = monitoring.plugin_info  # type: ignore[attr-defined]
    assert (info.deadline, info.created_at, info.namespace, info.keep) == (90, stage.now.created_at, "default", 500)
    ((_, scaling),) = stage.controller.posted
    assert (scaling.law, scaling.initial, scaling.replicas.max) == ("pid", 2, 7)  # type: ignore[attr-defined]
    assert stage.now.visualizer_url == "http://see/it"


def test_services_that_are_away_are_told_later_and_the_work_goes_on(stage: Stage) -> None:
    stage.controller.down = stage.visualizer.down = True
    stage.submit()
    stage.run(4)
    assert stage.now.state is State.ONGOING
    assert stage.now.reason.startswith("the controller was not told yet")
    assert stage.cluster.running(ID)
    stage.controller.down = stage.visualizer.down = False
    stage.run(10)
    assert stage.now.reason == ""
    assert len(stage.controller.posted) == 1
    assert stage.now.visualizer_url == "http://see/it"


def test_a_visualizer_that_is_away_is_no_reason(stage: Stage) -> None:
    stage.visualizer.down = True
    stage.submit()
    stage.run(5)
    assert stage.now.reason == ""


def test_services_that_forgot_are_told_again(stage: Stage) -> None:
    stage.submit()
    stage.run(5)
    assert len(stage.controller.posted) == 1
    stage.controller.forget()
    stage.run(20)
    assert len(stage.controller.posted) == 1


def test_a_request_the_controller_will_never_take_is_an_error(stage: Stage) -> None:
    stage.controller.refusal = BadRequest("no law named hope")
    stage.submit()
    stage.step()
    assert stage.now.state is State.ERROR
    assert stage.now.reason == "no law named hope"
    assert not stage.cluster.jobs


def test_the_end_does_not_wait_for_a_monitor_that_is_away(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.monitor.down = stage.controller.down = True
    stage.work()
    stage.run(4)
    assert stage.now.state is State.ONGOING
    stage.run(3)
    assert stage.now.state is State.COMPLETED
    assert stage.now.summary is not None
    assert stage.now.summary.counts.done == 3


# Restarts.


@pytest.mark.parametrize("after", range(12))
def test_a_manager_that_dies_at_any_call_is_resumed(after: int) -> None:
    """Whatever call to the cluster is the last one of a process, the next process brings it to its end."""
    stage = Stage()
    stage.submit(workload=[str(n) for n in range(35)], replicas={"max": 3, "initial": 3})

    class Killed(BaseException):
        pass

    enter = stage.cluster._enter
    calls = 0

    def dying(call: str) -> None:
        nonlocal calls
        calls += 1
        if calls == after + 1:
            raise Killed
        enter(call)

    stage.cluster._enter = dying  # type: ignore[method-assign]
    for _ in range(40):
        try:
            stage.run(1)
        except Killed:
            stage.restart()
        if stage.now.state is State.ONGOING and stage.now.job_created:
            stage.work()
        if stage.now.state.terminal and stage.now.job_deleted:
            break
    assert stage.now.state is State.COMPLETED
    results = sorted(int(result.result) for result in stage.queue.results()[0])
    assert results == list(range(35))
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.secrets) == ({}, {}, {})


# Dedicated queues.


def dedicated(stage: Stage, **more: object) -> None:
    stage.submit(queue="dedicated", **more)


def test_a_dedicated_queue_is_there_before_its_items_and_its_results_outlive_it() -> None:
    stage = Stage(auto_start=False)
    dedicated(stage)
    stage.run(1)
    (pod,) = stage.cluster.pods.values()
    assert pod.name.startswith(f"{ID}-queue-")
    assert (stage.now.state, stage.now.reason) == (State.LOADING, "waiting for the dedicated queue")
    address = stage.now.redis_host
    assert address == stage.cluster.services["default", f"{ID}-queue"]["spec"]["clusterIP"]
    assert stage.now.queue_password, "it is recorded before anything is made with it"
    stage.cluster.start(pod)
    stage.run(1)
    assert (stage.now.state, stage.now.reason) == (State.ONGOING, "")
    worker = next(pod for pod in stage.cluster.pods.values() if pod.index == 0)
    env = {entry["name"]: entry.get("value") for entry in worker.manifest["spec"]["containers"][0]["env"]}
    assert env["REDIS_HOST"] == address
    assert stage.access.passwords == {}, "its workers have no user of the shared Redis"
    stage.cluster.start(worker)
    stage.work(2)
    stage.work(failing=True)
    stage.run(5)
    assert stage.now.state is State.FAILED
    assert stage.now.archived
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.deployments) == ({}, {}, {})
    assert (stage.cluster.services, stage.cluster.secrets) == ({}, {})
    assert [result.result for result in stage.queue.results()[0]] == ["A", "B"]
    assert [failure.error for failure in stage.queue.dead()[0]] == ["cannot do c"]


def test_results_outlive_a_dedicated_queues_pod_also_while_the_job_is_kept() -> None:
    stage = Stage()
    dedicated(stage, job_lifetime=3600)
    stage.run(3)
    stage.work()
    stage.run(5)
    assert (stage.now.state, stage.now.archived, stage.now.job_deleted) == (State.COMPLETED, True, False)
    assert stage.cluster.jobs, "it is kept for its lifetime"
    (queue_pod,) = (pod for pod in stage.cluster.pods.values() if pod.index < 0)
    stage.cluster.finish(queue_pod, 137, reason="Evicted")
    assert [result.result for result in stage.queue.results()[0]] == ["A", "B", "C"]
    stage.run(3700)
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.deployments) == ({}, {}, {})


def test_a_dedicated_queue_that_is_away_after_the_end_is_archived_when_it_is_back() -> None:
    stage = Stage(LoopRules(budget=0.0))
    dedicated(stage, job_lifetime=3600)
    stage.run(3)
    stage.work()
    at = stage.queues.at
    while not stage.now.state.terminal:
        stage.clock.advance(max(0.01, stage.step()))
    assert not stage.now.archived
    stage.queues.at = lambda _: (_ for _ in ()).throw(QueueUnavailable("no route"))  # type: ignore[method-assign]
    stage.run(60)
    assert (stage.now.end_told, stage.now.archived) == (True, False)
    stage.queues.at = at  # type: ignore[method-assign]
    stage.run(30)
    assert stage.now.archived


def test_a_dedicated_queue_that_does_not_start_says_why() -> None:
    stage = Stage(auto_start=False)
    dedicated(stage)
    stage.run(1)
    (pod,) = stage.cluster.pods.values()
    stage.cluster.hold(pod, "Unschedulable", "0/1 nodes are available")
    stage.run(10)
    assert "0/1 nodes are available" in stage.now.reason
    stage.run(300)
    assert stage.now.state is State.ERROR
    assert not stage.cluster.pods


def test_a_dedicated_queue_whose_pod_is_replaced_is_an_error() -> None:
    stage = Stage()
    dedicated(stage)
    stage.run(1)
    assert stage.now.state is State.ONGOING
    queue_pod = next(pod for pod in stage.cluster.pods.values() if pod.index < 0)
    stage.cluster.finish(queue_pod, 137, reason="Evicted")
    stage.run(2)
    assert stage.now.state is State.ERROR
    assert stage.now.reason == "the dedicated queue is empty: its pod was replaced, and its items went with the pod"
    stage.run(700)
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.deployments) == ({}, {}, {})


def test_a_dedicated_queue_that_the_manager_does_not_reach_is_an_error_in_the_end() -> None:
    stage = Stage()
    stage.queues.at = lambda _: (_ for _ in ()).throw(QueueUnavailable("no route"))  # type: ignore[method-assign]
    dedicated(stage)
    stage.run(15)
    assert stage.now.reason == "waiting for the dedicated queue: the dedicated queue does not answer: no route"
    stage.run(300)
    assert (stage.now.state, stage.now.reason) == (State.ERROR, "the dedicated queue does not answer: no route")


def test_a_dedicated_queue_that_starts_may_be_stopped_at_once() -> None:
    stage = Stage(auto_start=False)
    dedicated(stage)
    stage.run(1)
    stage.intend(Intent.STOP)
    stage.run(1)
    assert stage.now.state is State.STOPPED
    stage.run(400)
    assert (stage.cluster.pods, stage.cluster.deployments, stage.cluster.services) == ({}, {}, {})
    assert stage.now.queue.kind == "shared", "nobody looks for the results in a queue that is gone"


def test_a_dedicated_queue_of_nothing_is_gone_and_nobody_looks_there_any_more() -> None:
    stage = Stage()
    dedicated(stage, workload=[], job_lifetime=0)
    stage.run(5)
    assert (stage.now.state, stage.now.job_deleted) == (State.COMPLETED, True)
    assert stage.cluster.deployments == {}
    assert stage.now.queue.kind == "shared"


def test_a_crash_while_a_dedicated_queue_is_made_leaves_nothing_undone() -> None:
    for call in ("create_secret", "create_service"):
        stage = Stage()
        dedicated(stage)
        enter = stage.cluster._enter

        def dying(entered: str, deadly: str = call, enter: Callable[[str], None] = enter) -> None:
            enter(entered)
            if entered == deadly:
                raise RuntimeError("killed")

        stage.cluster._enter = dying  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            stage.run(1)
        stage.cluster._enter = enter  # type: ignore[method-assign]
        stage.restart()
        stage.run(1)
        assert stage.now.state is State.ONGOING
        assert len(stage.cluster.deployments) == len(stage.cluster.services) == len(stage.cluster.secrets) == 1


def test_an_error_is_told_even_when_the_cluster_is_away(stage: Stage) -> None:
    stage.submit()
    stage.run(2)
    stage.cluster.down = True
    stage.queue.purge()
    stage.step_through(3)
    assert stage.now.state is State.ERROR
    assert stage.cluster.jobs
    stage.cluster.down = False
    stage.run(2)
    assert not stage.cluster.jobs


def test_a_pod_that_fails_is_told_once(stage: Stage) -> None:
    stage.submit(replicas={"max": 4, "initial": 2})
    stage.step()
    stage.cluster.finish(stage.cluster.running(ID)[0], 9, log="out of paper")
    stage.run(2)
    assert "a pod failed before any item was taken, the last one with code 9" in stage.now.reason
    stage.restart()
    stage.run(2)
    assert [line for line in stage.told() if "failed with code" in line] == [f"{ID}-g1-0-00001 failed with code 9"]
    assert stage.texts.get(ID) == {f"{ID}-g1-0-00001": "out of paper"}


def test_a_pod_that_was_evicted_is_told_without_alarm(stage: Stage) -> None:
    stage.submit(replicas={"initial": 2})
    stage.step()
    stage.cluster.evict(stage.cluster.running(ID)[0])
    stage.run(2)
    assert [line for line in stage.told() if "taken away" in line] == [
        f"{ID}-g1-0-00001 was taken away by the cluster with code 143 (Evicted)"
    ]


def test_what_kubernetes_warned_of_outlives_its_events(stage: Stage) -> None:
    stage.submit()
    stage.run(2)
    stage.cluster.tell("default", ID, "FailedScheduling", "0/3 nodes are available")
    stage.cluster.tell("default", ID, "Pulled", "the image is there", warning=False)
    stage.intend(Intent.TERMINATE)
    stage.run(3)
    assert stage.now.state is State.TERMINATED
    assert sum("FailedScheduling: 0/3 nodes are available" in line for line in stage.told()) == 1
    assert not any("Pulled" in line for line in stage.told())


def test_an_empty_log_does_not_take_the_place_of_one_that_was_kept(stage: Stage) -> None:
    stage.submit()
    stage.run(2)
    (pod,) = stage.cluster.running(ID)
    stage.texts.put(ID, pod.name, "kept before it went\n")
    stage.restart()
    stage.cluster.finish(pod, 0)
    stage.intend(Intent.TERMINATE)
    stage.run(3)
    assert stage.texts.get(ID) == {pod.name: "kept before it went\n"}


@pytest.mark.parametrize("intent", [Intent.STOP, Intent.TERMINATE])
@pytest.mark.parametrize("call", ["create_secret", "create_job"])
def test_an_intention_raised_in_the_middle_of_a_step_is_heard(stage: Stage, intent: Intent, call: str) -> None:
    enter = stage.cluster._enter

    def intruding(made: str) -> None:
        if made == call and stage.now.intent is Intent.NONE:
            stage.intend(intent)
        enter(made)

    stage.cluster._enter = intruding  # type: ignore[method-assign]
    stage.submit(grace_period=1)
    with pytest.raises(Conflict):
        stage.step()
    stage.run(10)
    assert stage.now.state is (State.STOPPED if intent is Intent.STOP else State.TERMINATED)
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.secrets) == ({}, {}, {})


def test_a_deleted_submission_leaves_nothing_at_once(stage: Stage) -> None:
    stage.submit(job_lifetime=3600)
    stage.step()
    stage.work()
    stage.run(3)
    kept = stage.records.get(ID)
    assert kept is not None
    stage.records.update(ID, kept.value.model_copy(update={"delete_requested": True}), kept.version)
    stage.step()
    assert stage.records.get(ID) is None
    assert (stage.controller.deleted, stage.monitor.deleted) == ([f"/scaling/{ID}"], [f"/monitoring/{ID}"])
    assert stage.visualizer.deleted == [f"/visualizing/{ID}"]
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.secrets) == ({}, {}, {})


def test_the_runners_archive_and_the_pods_token_come_and_go_with_the_submission(stage: Stage) -> None:
    stage.manifests = dataclasses.replace(stage.manifests, runner=RunnerArchive(b"archive"))
    stage.restart()
    stage.submit(command=None, run="work {item}")
    stage.step()
    ((place, config_map),) = stage.cluster.config_maps.items()
    assert place == ("default", f"{ID}-runner")
    assert [owner["name"] for owner in config_map["metadata"]["ownerReferences"]] == [f"{ID}-g1"]
    stage.cluster.delete_job("default", f"{ID}-g1", 0)
    stage.run(10)
    ((_, config_map),) = stage.cluster.config_maps.items()
    assert [owner["name"] for owner in config_map["metadata"]["ownerReferences"]] == [f"{ID}-g2"]
    stage.work()
    stage.run(10)
    assert stage.now.state is State.COMPLETED
    assert (stage.cluster.config_maps, stage.cluster.secrets) == ({}, {})


def test_the_secret_goes_with_its_job(stage: Stage) -> None:
    stage.submit()
    stage.step()
    (secret,) = stage.cluster.secrets.values()
    assert [owner["name"] for owner in secret["metadata"]["ownerReferences"]] == [f"{ID}-g1"]
    stage.cluster.delete_job("default", f"{ID}-g1", 0)
    stage.cluster.views("default")
    assert stage.cluster.secrets == {}


@pytest.mark.parametrize("is_late", [False, True], ids=["collected at once", "collected late"])
def test_the_next_generation_has_the_secret_whenever_the_last_ones_is_collected(stage: Stage, is_late: bool) -> None:
    stage.submit()
    stage.step()
    collect = stage.cluster._collect
    if is_late:
        # The collector runs when the Job is there already, just before it adopts the secret.
        stage.cluster._collect = lambda: collect() if stage.cluster.calls[-1] == "adopt_secret" else None  # type: ignore[method-assign]
    stage.cluster.delete_job("default", f"{ID}-g1", 0)
    stage.run(10)
    assert stage.now.generation == 2
    (secret,) = stage.cluster.secrets.values()
    assert [owner["name"] for owner in secret["metadata"]["ownerReferences"]] == [f"{ID}-g2"]
    assert base64.b64decode(secret["data"]["items-token"]) == f"token of {ID}".encode()


def test_a_job_that_kubernetes_removed_after_the_work_ends_the_submission_as_ever(stage: Stage) -> None:
    stage.submit()
    stage.step()
    stage.work()
    stage.cluster.delete_job("default", f"{ID}-g1", 0)
    stage.run(10)
    assert stage.now.state is State.COMPLETED
    assert (stage.cluster.jobs, stage.cluster.pods, stage.cluster.secrets) == ({}, {}, {})


@pytest.mark.parametrize("reason", ["Forbidden", "InternalError"])
def test_a_cluster_that_does_not_let_secrets_be_changed_lets_the_work_be_done(stage: Stage, reason: str) -> None:
    enter = stage.cluster._enter

    def refusing(call: str) -> None:
        enter(call)
        if call == "adopt_secret":
            raise ClusterError("secrets must not be patched", reason)

    stage.cluster._enter = refusing  # type: ignore[method-assign]
    stage.submit()
    stage.step()
    assert (stage.now.state is State.ONGOING) is (reason == "Forbidden")
    stage.cluster._enter = enter  # type: ignore[method-assign]
    stage.run(5)
    assert stage.now.state is State.ONGOING
    assert len(stage.cluster.jobs) == 1


def test_everything_of_a_submission_is_in_its_own_cluster(stage: Stage) -> None:
    east = FakeCluster(stage.clock)
    stage.clusters.others["east"] = east
    submission = stage.submit()
    stage.records.put(ID, submission.model_copy(update={"cluster": "east"}))
    stage.step()
    assert (len(east.running(ID)), stage.cluster.jobs) == (1, {})
    told = [body.model_dump() for _, body in (*stage.monitor.posted, *stage.controller.posted)]
    assert [body.get("plugin_info", body)["cluster"] for body in told] == ["east", "east"]
    east.finish(east.running(ID)[0], 1, log="it broke")
    stage.run(3)
    assert "it broke" in stage.texts.get(ID).values()
    stage.intend(Intent.TERMINATE)
    stage.run(5)
    assert stage.now.state is State.TERMINATED
    assert (east.jobs, east.pods, east.secrets) == ({}, {}, {})
    assert stage.cluster.calls == []


def test_a_submission_whose_cluster_is_gone_says_so(stage: Stage) -> None:
    submission = stage.submit()
    stage.records.put(ID, submission.model_copy(update={"cluster": "gone"}))
    stage.step()
    assert "there is no cluster named gone" in stage.now.reason
