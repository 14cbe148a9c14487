"""The lifecycle's decisions, one situation each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asperathos_worker.queue.records import QueueStats

from common.domain.cluster import QUEUE_ROLE, WORKER_ROLE, JobView, PodView, SubmissionView
from common.domain.states import Intent, State
from common.domain.submission import Submission, SubmissionSpec
from manager.lifecycle import (
    AskToStop,
    Attend,
    Begin,
    CleanUp,
    Conclude,
    Facts,
    Forget,
    Hold,
    Launch,
    LifecycleRules,
    Load,
    ProvideQueue,
    Rest,
    Settle,
    TellEnd,
    next_step,
)

RULES = LifecycleRules()
NOW = 1000.0
STATS = QueueStats(
    at=NOW,
    put=10,
    ready=10,
    delayed=0,
    leased=0,
    done=0,
    dead=0,
    closed=True,
    stopped=False,
    limit=None,
    taken=0,
    failed=0,
    expired=0,
    released=0,
    oldest_ready_wait=None,
    running=(),
)
OVER = replace(STATS, ready=0, done=10, taken=10)
JOB = JobView("kj-0-g1", "default", "kj-0", 1, 2, False, 2, 2, 0, 0)
POD = PodView("kj-0-g1-0-x", "default", "kj-0", 1, 0, WORKER_ROLE, "Running", NOW - 50, started_at=NOW - 49)
QUEUE_POD = replace(POD, name="kj-0-queue", role=QUEUE_ROLE, index=-1, generation=0, ip="10.0.0.9")
VIEW = SubmissionView((JOB,), (POD,))


def submission(state: State = State.ONGOING, **fields: Any) -> Submission:
    spec = SubmissionSpec.model_validate({"command": ["work"], "workload": ["a"], **fields.pop("spec", {})})
    running = {"generation": 1, "job_created": True, "generation_at": NOW - 60} if state is State.ONGOING else {}
    return Submission(id="kj-0", spec=spec, state=state, created_at=NOW - 100, **{**running, **fields})


def step(of: Submission, **facts: Any) -> object:
    return next_step(of, Facts(**{"now": NOW, "stats": STATS, "view": VIEW, **facts}), RULES)


def test_a_new_one_begins() -> None:
    assert step(submission(State.CREATED), stats=None, view=None) == Begin()


def test_loading_goes_on_until_the_queue_is_closed() -> None:
    of = submission(State.LOADING)
    assert step(of, stats=replace(STATS, closed=False)) == Load()
    assert step(of) == Launch(1)
    assert step(of, stats=None) == Begin()


def test_a_recorded_generation_is_launched_whatever_the_queue_says() -> None:
    assert step(submission(State.LOADING, generation=1), stats=replace(STATS, closed=False)) == Launch(1)


def test_an_empty_batch_is_complete_an_empty_stream_is_not() -> None:
    empty = replace(STATS, put=0, ready=0)
    assert step(submission(State.LOADING), stats=empty) == Conclude(
        State.COMPLETED, "the workload is empty", remove=False
    )
    stream = submission(State.LOADING, spec={"target": {"latency": 5}})
    assert step(stream, stats=empty) == Load()


def test_a_dedicated_queue_comes_first() -> None:
    of = submission(State.LOADING, spec={"queue": "dedicated"})
    assert step(of, stats=None, view=SubmissionView()) == ProvideQueue()
    assert isinstance(step(of, stats=None, view=None, cluster_problem="it is away"), Hold)
    made = of.model_copy(update={"redis_host": "10.0.0.9", "queue_at": NOW})
    waiting = replace(QUEUE_POD, phase="Pending", reason="ContainerCreating", ip="", created_at=NOW)
    for pods in ((), (waiting,), (QUEUE_POD,)):
        held = step(made, stats=None, queue_problem="refused", view=SubmissionView((), pods))
        assert held == Hold("waiting for the dedicated queue", RULES.watch_near_end)
    held = step(made, stats=None, queue_problem="refused", warning="FailedCreate: quota", view=SubmissionView())
    assert held == Hold("waiting for the dedicated queue: FailedCreate: quota", RULES.watch_near_end)
    assert step(made, stats=None, view=SubmissionView((), (QUEUE_POD,))) == Begin()


def test_a_dedicated_queue_that_crashes_at_once_is_an_error_before_it_has_an_address() -> None:
    of = submission(State.LOADING, spec={"queue": "dedicated"}, redis_host="10.0.0.9", queue_at=NOW)
    crashing = replace(QUEUE_POD, reason="CrashLoopBackOff", message="back-off 10s restarting failed container")
    said = step(of, stats=None, queue_problem="refused", view=SubmissionView((), (crashing,)))
    assert isinstance(said, Conclude)
    assert said.state is State.ERROR
    assert "CrashLoopBackOff" in said.reason


def test_a_dedicated_queue_that_is_started_again_in_its_pod_is_waited_for() -> None:
    of = submission(spec={"queue": "dedicated"}, redis_host="10.0.0.9")
    problem = "the dedicated queue does not answer: refused"
    assert step(of, stats=None, queue_problem=problem, view=SubmissionView((JOB,), (QUEUE_POD, POD))) == Hold(
        problem, RULES.watch
    )
    assert isinstance(step(of, stats=None, queue_problem=problem, view=None, cluster_problem="away"), Hold)


def test_a_dedicated_queue_whose_new_pod_cannot_start_is_no_longer_waited_for_after_a_while() -> None:
    """Its Secret was lost with a cluster that was set back to a backup, or no node takes it."""
    of = submission(spec={"queue": "dedicated"}, redis_host="10.0.0.9")
    since = NOW - RULES.queue_patience
    stuck = replace(QUEUE_POD, phase="Pending", reason="CreateContainerConfigError", message="no secret")
    young, old = (SubmissionView((JOB,), (replace(stuck, created_at=at), POD)) for at in (since + 1, since))
    waiting = step(of, stats=None, queue_problem="refused", view=young)
    assert waiting == Hold("refused; CreateContainerConfigError: no secret", RULES.watch)
    told = "the dedicated queue's new pod does not start: CreateContainerConfigError: no secret"
    assert step(of, stats=None, queue_problem="refused", view=old) == Conclude(State.ERROR, told, remove=True)


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        ((), "the dedicated queue's pod is gone, and its items with it"),
        ((replace(QUEUE_POD, deleting=True),), "the dedicated queue's pod is gone, and its items with it"),
        (
            (replace(QUEUE_POD, phase="Failed", reason="Evicted", message="disk"),),
            "the dedicated queue's pod ended: (Evicted): disk",
        ),
    ],
)
def test_a_dedicated_queue_whose_pod_is_gone_is_an_error(pods: tuple[PodView, ...], told: str) -> None:
    of = submission(spec={"queue": "dedicated"}, redis_host="10.0.0.9")
    view = SubmissionView((JOB,), (*pods, POD))
    assert step(of, stats=None, queue_problem="refused", view=view) == Conclude(State.ERROR, told, remove=True)
    stopping = of.model_copy(update={"intent": Intent.STOP})
    assert step(stopping, stats=None, queue_problem="refused", view=view) == Conclude(State.ERROR, told, remove=True)
    terminating = of.model_copy(update={"intent": Intent.TERMINATE})
    assert step(terminating, stats=None, queue_problem="refused", view=view).state is State.TERMINATED  # type: ignore[union-attr]


def test_a_healthy_run_is_attended() -> None:
    assert step(submission()) == Attend("", RULES.watch)
    assert step(submission(), stats=replace(STATS, ready=0, leased=3, taken=10)) == Attend("", RULES.watch_near_end)


def test_the_end_waits_for_running_workers_and_the_report() -> None:
    over = {"stats": OVER}
    assert step(submission(), **over) == Settle(0.0)
    ending = submission(ending_at=NOW - 1)
    assert step(ending, **over) == Settle(RULES.watch_near_end)
    gone = SubmissionView((JOB,), (replace(POD, phase="Succeeded", exit_code=0),))
    assert step(ending, **over, view=gone) == Settle(RULES.watch_near_end)
    assert step(ending, **over, view=gone, reported=True) == Conclude(State.COMPLETED, "", remove=False)
    late = submission(ending_at=NOW - RULES.report_patience)
    assert step(late, **over, view=gone) == Conclude(State.COMPLETED, "", remove=False)


@pytest.mark.parametrize("view", [VIEW, None])
def test_the_end_waits_no_longer_than_the_grace_period(view: SubmissionView | None) -> None:
    of = submission(spec={"grace_period": 10}, ending_at=NOW - 10 - RULES.exit_margin)
    assert step(of, stats=OVER, view=view) == Conclude(State.COMPLETED, "", remove=False)


def test_dead_items_fail_it() -> None:
    of = submission(ending_at=NOW - 100)
    assert step(of, stats=replace(OVER, done=8, dead=2)) == Conclude(
        State.FAILED, "2 of 10 items are dead", remove=False
    )


def test_an_intention_overrides_the_state() -> None:
    for state in (State.CREATED, State.LOADING):
        early = submission(state, intent=Intent.STOP)
        assert step(early, view=None) == Conclude(State.STOPPED, "stopped on request", remove=True)
        early = submission(state, intent=Intent.TERMINATE)
        assert step(early, view=None) == Conclude(State.TERMINATED, "terminated on request", remove=True, grace=0.0)
    assert step(submission(intent=Intent.STOP)) == AskToStop()
    assert step(submission(intent=Intent.STOP, ending_at=NOW - 1)) == Settle(RULES.watch_near_end)
    assert step(submission(intent=Intent.TERMINATE)) == Conclude(
        State.TERMINATED, "terminated on request", remove=True, grace=0.0
    )


def test_an_end_in_the_cluster_waits_for_the_cluster() -> None:
    for intent in (Intent.STOP, Intent.TERMINATE):
        of = submission(intent=intent, ending_at=NOW - 1)
        assert isinstance(step(of, view=None, cluster_problem="it is away"), Hold)


def test_a_crash_loop_needs_several_failed_pods_and_no_item_taken() -> None:
    def pods(count: int, **fields: Any) -> SubmissionView:
        failed = [replace(POD, name=f"p{n}", **{"phase": "Failed", "exit_code": 1, **fields}) for n in range(count)]
        return SubmissionView((JOB,), tuple(failed))

    assert isinstance(step(submission(), view=pods(2)), Attend)
    found = step(submission(), view=pods(3))
    assert found == Conclude(State.ERROR, "the container exits at once with code 1", remove=True, culprit="p2")
    taken = replace(STATS, taken=1)
    assert isinstance(step(submission(), view=pods(3), stats=taken), Attend)
    assert isinstance(step(submission(generation_taken=1), view=pods(3), stats=taken), Conclude)
    assert isinstance(step(submission(), view=pods(3, disrupted=True)), Attend)
    assert isinstance(step(submission(), view=pods(3, exit_code=143)), Attend)
    assert isinstance(step(submission(), view=pods(3, generation=7)), Attend)


def test_pods_that_are_gone_still_count_as_failures() -> None:
    one = SubmissionView((replace(JOB, failed=3),), (replace(POD, phase="Failed", exit_code=2),))
    assert isinstance(step(submission(), view=one), Conclude)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (replace(JOB, ended="Complete"), "the Job ended (complete) with items left"),
        (
            replace(JOB, ended="Failed", reason="FailedIndexes", message="all failed"),
            "the Job ended (failed) with items left (FailedIndexes: all failed)",
        ),
        (replace(JOB, deleting=True), "the Job was deleted"),
        (None, "the Job was deleted"),
    ],
)
def test_a_lost_job_is_replaced(job: JobView | None, why: str) -> None:
    view = SubmissionView((job,) if job is not None else (), ())
    assert step(submission(), view=view, stats=replace(STATS, taken=4)) == Launch(2, why, idle=0)


def test_a_young_job_is_not_missed() -> None:
    of = submission(generation_at=NOW - 1)
    assert step(of, view=SubmissionView()) == Attend("", 1.0)
    assert step(of, view=SubmissionView((replace(JOB, ended="Complete"),))) == Attend("", 1.0)


def test_jobs_that_take_nothing_are_an_error_after_some() -> None:
    view = SubmissionView((replace(JOB, ended="Complete"),), ())
    assert step(submission(), view=view) == Launch(2, "the Job ended (complete) with items left", idle=1)
    found = step(submission(idle_generations=2), view=view)
    assert isinstance(found, Conclude)
    assert found.state is State.ERROR
    took = step(submission(idle_generations=2), view=view, stats=replace(STATS, taken=3))
    assert took == Launch(2, "the Job ended (complete) with items left", idle=0)


GOING = replace(POD, deleting=True, tracked=True)
TAKEN = replace(POD, phase="Failed", exit_code=143, tracked=True)


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((GOING, replace(TAKEN, name="b", index=1)), id="on their way, and ended"),
        pytest.param((replace(TAKEN, exit_code=137, disrupted=True),), id="evicted"),
        pytest.param((replace(TAKEN, exit_code=None, deleting=True),), id="by force"),
        pytest.param((TAKEN, replace(POD, name="b", phase="Succeeded")), id="and one was done"),
        pytest.param((TAKEN, replace(POD, name="b", deleting=True)), id="and one was removed by the Job"),
    ],
)
def test_a_job_all_of_whose_pods_were_taken_away_is_replaced(pods: tuple[PodView, ...]) -> None:
    view = SubmissionView((JOB,), pods)
    why = "all pods of the Job were taken away"
    assert step(submission(), view=view, stats=replace(STATS, taken=4)) == Launch(2, why)
    assert isinstance(step(submission(generation_at=NOW - 1), view=view), Attend), "not in a hurry"
    suspended = SubmissionView((replace(JOB, suspended=True),), pods)
    assert isinstance(step(submission(), view=suspended), Attend)


def test_pods_that_are_always_taken_away_before_they_work_meet_the_back_off() -> None:
    view = SubmissionView((JOB,), (TAKEN,))
    why = "all pods of the Job were taken away"
    assert step(submission(), view=view) == Launch(2, why, lost=1)
    assert step(submission(lost_generations=4), view=view) == Launch(2, why, lost=5)
    assert isinstance(step(submission(lost_generations=5), view=view), Attend)
    assert step(submission(lost_generations=5), view=view, stats=replace(STATS, taken=4)) == Launch(2, why, lost=0)
    ended = SubmissionView((replace(JOB, ended="Failed"),), ())
    assert step(submission(lost_generations=4), view=ended) == Launch(2, "the Job ended (failed) with items left")


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="none ever"),
        pytest.param((TAKEN, replace(POD, name="b")), id="one at work"),
        pytest.param((TAKEN, replace(POD, name="b", phase="Pending")), id="one about to run"),
        pytest.param((TAKEN, replace(TAKEN, name="b", exit_code=1)), id="one crashed"),
        pytest.param((replace(GOING, tracked=False),), id="scaled down"),
        pytest.param((replace(TAKEN, generation=7),), id="of another Job"),
    ],
)
def test_a_job_that_has_lost_only_some_pods_is_kept(pods: tuple[PodView, ...]) -> None:
    assert isinstance(step(submission(), view=SubmissionView((JOB,), pods), stats=replace(STATS, taken=4)), Attend)


def test_a_job_not_yet_made_is_made() -> None:
    assert step(submission(job_created=False), view=SubmissionView()) == Launch(1)


def test_reasons_are_told_and_joined() -> None:
    waiting = replace(POD, phase="Pending", reason="ErrImagePull", message="not found")
    found = step(submission(), view=SubmissionView((JOB,), (waiting,)), service_problem="the monitor was not told yet")
    assert found == Attend(
        "1 of 2 replicas cannot start: ErrImagePull: not found; the monitor was not told yet", RULES.watch
    )
    starting = replace(waiting, reason="ContainerCreating", message="")
    assert step(submission(), view=SubmissionView((JOB,), (starting,))) == Attend("", RULES.watch)
    assert step(submission(), view=SubmissionView((JOB,)), warning="FailedCreate: quota") == Attend(
        "FailedCreate: quota", RULES.watch
    )


def test_a_terminal_one_is_cleaned_up_after_its_lifetime_and_forgotten_after_keep() -> None:
    spec = {"job_lifetime": 50, "keep": 200}
    fresh = submission(State.COMPLETED, finished_at=NOW, generation=1, spec=spec)
    assert step(fresh) == TellEnd(10.0)
    assert step(fresh, now=NOW + 50) == CleanUp()
    ended = fresh.model_copy(update={"end_told": True})
    assert step(ended) == Rest(50.0)
    assert step(ended, now=NOW + 50) == CleanUp()
    clean = ended.model_copy(update={"job_deleted": True})
    assert step(clean, now=NOW + 50) == Rest(150.0)
    assert step(clean, now=NOW + 200) == Forget()
    for early in (State.STOPPED, State.TERMINATED, State.ERROR):
        assert step(ended.model_copy(update={"state": early})) == CleanUp()


def test_a_deleted_one_goes_at_once() -> None:
    deleted = submission(State.COMPLETED, finished_at=NOW, generation=1, delete_requested=True)
    assert step(deleted) == CleanUp()
    assert step(deleted.model_copy(update={"job_deleted": True})) == Forget()
