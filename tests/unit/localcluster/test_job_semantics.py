"""The Job semantics measured on a real cluster, one test each; then the rest of batch/v1."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localcluster.jobs import (
    BackoffSettings,
    ExitCodeRule,
    FailureRule,
    JobSpec,
    PodConditionRule,
    SuccessRule,
)
from tests.unit.localcluster.job_world import START, World, elastic


def running(count: int, **changes: object) -> World:
    world = World(elastic(count, **changes))
    world.settle()
    world.start_all()
    return world


def test_all_indexes_start_at_once() -> None:
    world = running(4)
    assert sorted(world.active()) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert (world.status.active, world.status.ready) == (4, 4)


def test_lowering_removes_the_highest_indexes_and_counts_them_as_nothing() -> None:
    world = running(5)
    world.scale(2)
    assert sorted(world.active()) == [0, 1]  # type: ignore[type-var]
    assert (world.status.failed, world.status.succeeded, world.status.completed_indexes) == (0, 0, "")
    assert world.status.active == 2


def test_a_pod_cut_off_by_lowering_counts_as_nothing_even_when_it_exits_0() -> None:
    world = running(2)
    name = world.name_of(1)
    world.spec = replace(world.spec, parallelism=1, completions=1)
    world.settle(grace_is_over=False)
    world.end(name, 0)
    assert world.status.completed_indexes == ""
    world.scale(2)
    assert 1 in world.active()


def test_raising_creates_the_new_indexes_at_once() -> None:
    world = running(2)
    world.scale(5)
    assert sorted(world.active()) == [0, 1, 2, 3, 4]  # type: ignore[type-var]
    assert [when for when, _ in world.starts] == [START] * 5


def test_an_index_that_exited_0_and_was_cut_off_runs_again_when_raised() -> None:
    world = running(4)
    world.end(world.name_of(3), 0)
    assert world.status.completed_indexes == "3"
    world.scale(2)
    assert world.status.completed_indexes == ""
    assert world.status.succeeded == 0
    world.scale(4)
    assert sorted(world.active()) == [0, 1, 2, 3]  # type: ignore[type-var]


def test_one_index_exiting_0_does_not_stop_the_others() -> None:
    world = running(3)
    world.end(world.name_of(1), 0)
    assert sorted(world.active()) == [0, 2]  # type: ignore[type-var]
    assert world.status.finished is None
    assert world.status.completed_indexes == "1"


def test_all_indexes_exited_0_is_complete() -> None:
    world = running(3)
    for index in range(3):
        world.end(world.name_of(index), 0)
    finished = world.status.finished
    assert finished is not None and finished.kind == "Complete"
    assert finished.reason == "CompletionsReached"
    assert world.status.condition("SuccessCriteriaMet") is not None
    assert world.status.completed_indexes == "0-2"
    assert world.status.completion_time == world.now
    assert [event.reason for event in world.events] == ["Completed"]


def test_a_deleted_pod_that_exits_0_counts_as_its_indexs_success_and_is_not_replaced() -> None:
    world = running(2)
    world.delete(world.name_of(0), code=0)
    world.run_for(1000)
    assert world.status.completed_indexes == "0"
    assert sorted(world.active()) == [1]  # type: ignore[type-var]


def test_a_deleted_pod_that_exits_143_is_replaced_and_counts_as_no_failure() -> None:
    world = running(2)
    world.delete(world.name_of(0))
    assert sorted(world.active()) == [1]  # type: ignore[type-var]
    world.run_for(10)
    assert sorted(world.active()) == [0, 1]  # type: ignore[type-var]
    assert world.status.failed == 0


def test_a_disrupted_pod_is_replaced_and_counts_as_no_failure() -> None:
    world = running(1)
    world.end(world.name_of(0), 137, conditions=(("DisruptionTarget", "True"),))
    world.run_for(10)
    assert sorted(world.active()) == [0]  # type: ignore[type-var]
    assert world.status.failed == 0
    assert world.active()[0].index_ignored_failures == 1


def test_an_index_deleted_again_and_again_waits_10_s_doubling() -> None:
    world = running(1)
    waits = []
    for _ in range(5):
        deleted = world.now
        world.delete(world.name_of(0))
        while not world.active():
            assert world.again_in is not None and world.again_in > 0
            world.run_for(world.again_in)
        waits.append(world.now - deleted)
        world.start_all()
    assert waits == pytest.approx([10, 20, 40, 80, 160])


def test_other_indexes_do_not_wait() -> None:
    world = running(2)
    for _ in range(4):
        world.delete(world.name_of(0))
        world.run_for(200)
        world.start_all()
    before = world.now
    world.delete(world.name_of(0))
    world.delete(world.name_of(1))
    world.run_for(10)
    assert sorted(world.active()) == [1]  # type: ignore[type-var]
    assert world.now == before + 10


def test_more_indexes_start_at_once_while_one_waits() -> None:
    world = running(2)
    world.delete(world.name_of(0))
    world.scale(4)
    assert sorted(world.active()) == [1, 2, 3]  # type: ignore[type-var]


def test_suspending_removes_all_pods_and_counts_them_as_nothing() -> None:
    world = running(3)
    world.spec = replace(world.spec, suspend=True)
    world.settle()
    assert world.pods == {}
    assert (world.status.active, world.status.failed) == (0, 0)
    suspended = world.status.condition("Suspended")
    assert suspended is not None and suspended.reason == "JobSuspended"


def test_resuming_starts_at_once_what_ran_and_forgets_its_failures() -> None:
    world = running(2)
    for _ in range(3):
        world.delete(world.name_of(0))
        world.run_for(200)
        world.start_all()
    world.spec = replace(world.spec, suspend=True)
    world.settle()
    world.now += 1
    world.spec = replace(world.spec, suspend=False)
    world.settle()
    assert sorted(world.active()) == [0, 1]  # type: ignore[type-var]
    assert world.active()[0].index_ignored_failures == 0
    assert world.status.start_time == world.now
    world.start_all()
    world.delete(world.name_of(0))
    world.run_for(10)
    assert 0 in world.active()


def test_an_index_that_waits_goes_on_waiting_when_the_job_is_resumed() -> None:
    world = running(3)
    world.delete(world.name_of(0))
    world.delete(world.name_of(2))
    world.spec = replace(world.spec, suspend=True)
    world.settle()
    world.now += 1
    world.spec = replace(world.spec, completions=1, parallelism=1)
    world.settle()
    world.spec = replace(world.spec, suspend=False, completions=3, parallelism=3)
    world.settle()
    assert sorted(world.active()) == [1, 2], "only what is cut off is forgotten"  # type: ignore[type-var]
    world.run_for(9)
    assert world.active()[0].index_ignored_failures == 1


def test_a_terminating_pod_is_replaced_only_when_it_has_ended() -> None:
    world = running(1)
    name = world.name_of(0)
    world.pods[name] = replace(world.pods[name], deleting=True)
    world.settle(grace_is_over=False)
    world.now += 1000
    world.settle(grace_is_over=False)
    assert world.active() == {}
    assert world.status.terminating == 1


def test_without_failure_policy_a_terminating_pod_is_replaced_at_once() -> None:
    world = running(1, failure_rules=None, backoff_limit_per_index=None)
    name = world.name_of(0)
    world.pods[name] = replace(world.pods[name], deleting=True, finished_at=world.now - 100)
    world.settle(grace_is_over=False)
    assert sorted(world.active()) == [0]  # type: ignore[type-var]


def test_a_failing_index_is_retried_with_back_off_and_counted() -> None:
    world = running(1)
    world.end(world.name_of(0), 1)
    assert world.status.failed == 0, "counted once its successor carries the count"
    world.run_for(10)
    assert (world.status.failed, world.active()[0].index_failures) == (1, 1)
    world.start_all()
    world.end(world.name_of(0), 1)
    world.run_for(19.9)
    assert world.active() == {}
    world.run_for(0.1)
    assert world.active()[0].index_failures == 2


def test_an_index_over_its_limit_fails_and_the_rest_goes_on() -> None:
    world = running(3, backoff_limit_per_index=1)
    for _ in range(2):
        world.end(world.name_of(1), 1)
        world.run_for(10)
        world.start_all()
    assert world.status.failed_indexes == "1"
    assert sorted(world.active()) == [0, 2]  # type: ignore[type-var]
    world.end(world.name_of(0), 0)
    world.end(world.name_of(2), 0)
    finished = world.status.finished
    assert finished is not None and (finished.kind, finished.reason) == ("Failed", "FailedIndexes")
    assert (world.status.completed_indexes, world.status.failed_indexes) == ("0,2", "1")


def test_too_many_failed_indexes_fail_the_job() -> None:
    world = running(4, backoff_limit_per_index=0, max_failed_indexes=1)
    world.end(world.name_of(0), 1)
    assert world.status.finished is None
    world.end(world.name_of(1), 1)
    finished = world.status.finished
    assert finished is not None and finished.reason == "MaxFailedIndexesExceeded"
    assert world.active() == {}
    assert world.status.condition("FailureTarget") is not None


def test_fail_job_rule_ends_the_job_with_the_reason() -> None:
    rule = FailureRule("FailJob", exit_codes=ExitCodeRule("In", frozenset([42])))
    world = running(3, failure_rules=(rule,))
    name = world.name_of(1)
    world.end(name, 42)
    finished = world.status.finished
    assert finished is not None and finished.reason == "PodFailurePolicy"
    assert finished.message == (
        f"Container worker for pod default/{name} failed with exit code 42 matching FailJob rule at index 0"
    )
    assert world.active() == {}


def test_fail_index_rule_fails_the_index_at_once() -> None:
    rule = FailureRule("FailIndex", exit_codes=ExitCodeRule("NotIn", frozenset([1, 143])))
    world = running(2, failure_rules=(rule,))
    world.end(world.name_of(0), 7)
    assert world.status.failed_indexes == "0"
    world.end(world.name_of(1), 1)
    assert world.status.failed_indexes == "0"


def test_count_rule_counts_and_the_first_matching_rule_decides() -> None:
    rules = (
        FailureRule("Count", exit_codes=ExitCodeRule("In", frozenset([3]))),
        FailureRule("FailJob", exit_codes=ExitCodeRule("In", frozenset([3]))),
    )
    world = running(1, failure_rules=rules)
    world.end(world.name_of(0), 3)
    world.run_for(10)
    assert world.status.finished is None
    assert world.status.failed == 1


def test_exit_code_rules_may_name_a_container() -> None:
    rule = FailureRule("FailJob", exit_codes=ExitCodeRule("In", frozenset([42]), container="other"))
    world = running(1, failure_rules=(rule,))
    world.end(world.name_of(0), 42)
    assert world.status.finished is None


def test_pod_condition_rules_compare_the_status() -> None:
    rule = FailureRule("FailJob", conditions=(PodConditionRule("ConfigIssue", "False"),))
    world = running(1, failure_rules=(rule,))
    world.end(world.name_of(0), 1, conditions=(("ConfigIssue", "True"),))
    assert world.status.finished is None


def test_failure_waits_for_terminating_pods_before_it_is_final() -> None:
    rule = FailureRule("FailJob", exit_codes=ExitCodeRule("In", frozenset([42])))
    world = running(2, failure_rules=(rule,))
    world.end(world.name_of(0), 42, settle=False)
    world.settle(grace_is_over=False)
    assert world.status.condition("FailureTarget") is not None
    assert world.status.finished is None
    world.settle()
    assert world.status.finished is not None


def test_active_deadline_fails_the_job() -> None:
    world = running(2, active_deadline_seconds=60.0)
    world.run_for(59)
    assert world.status.finished is None
    world.run_for(1)
    finished = world.status.finished
    assert finished is not None and finished.reason == "DeadlineExceeded"


def test_active_deadline_stands_still_while_suspended() -> None:
    world = running(1, active_deadline_seconds=60.0)
    world.spec = replace(world.spec, suspend=True)
    world.settle()
    world.run_for(1000)
    assert world.status.finished is None


def test_the_job_is_removed_when_its_time_to_live_is_over() -> None:
    world = running(1, ttl_seconds_after_finished=100.0)
    world.end(world.name_of(0), 0)
    world.run_for(99)
    assert not world.removed
    world.run_for(1)
    assert world.removed


def test_a_terminal_job_never_changes_again() -> None:
    world = running(2)
    world.end(world.name_of(0), 0)
    world.end(world.name_of(1), 0)
    status = world.status
    world.scale(5)
    assert world.status == status
    assert world.active() == {}


def test_a_deleted_job_lets_its_pods_go() -> None:
    world = running(2)
    world.spec = replace(world.spec, deleting=True)
    world.settle()
    assert not any(pod.tracked for pod in world.pods.values())


def test_success_policy_ends_the_job_early() -> None:
    world = running(3, success_rules=(SuccessRule(frozenset([0, 1]), 1),))
    world.end(world.name_of(1), 0)
    finished = world.status.finished
    assert finished is not None and (finished.kind, finished.reason) == ("Complete", "SuccessPolicy")
    assert world.active() == {}


def test_zero_completions_are_complete_at_once() -> None:
    world = World(elastic(0))
    world.settle()
    finished = world.status.finished
    assert finished is not None and finished.kind == "Complete"


def test_parallelism_below_completions_runs_the_first_indexes_first() -> None:
    world = running(5, parallelism=2)
    assert sorted(world.active()) == [0, 1]  # type: ignore[type-var]
    world.end(world.name_of(0), 0)
    assert sorted(world.active()) == [1, 2]  # type: ignore[type-var]


def plain(parallelism: int, completions: int | None, **changes: object) -> World:
    spec = JobSpec("default", "job", parallelism=parallelism, completions=completions)
    world = World(replace(spec, **changes))  # type: ignore[arg-type]
    world.settle()
    world.start_all()
    return world


def active_names(world: World) -> list[str]:
    return [pod.name for pod in world.pods.values() if pod.is_active]


def test_plain_job_reaches_its_completions() -> None:
    world = plain(2, 3)
    for _ in range(3):
        world.end(active_names(world)[0], 0)
    finished = world.status.finished
    assert finished is not None and finished.kind == "Complete"
    assert world.status.succeeded == 3


def test_plain_job_backs_off_as_a_whole() -> None:
    world = plain(2, 2)
    world.end(active_names(world)[0], 1)
    assert len(active_names(world)) == 1
    world.run_for(9.9)
    assert len(active_names(world)) == 1
    world.run_for(0.1)
    assert len(active_names(world)) == 2
    assert world.status.failed == 1


def test_plain_job_fails_over_its_backoff_limit() -> None:
    world = plain(1, 1, backoff_limit=1)
    world.end(active_names(world)[0], 1)
    world.run_for(10)
    world.end(active_names(world)[0], 1)
    finished = world.status.finished
    assert finished is not None and finished.reason == "BackoffLimitExceeded"
    assert world.status.failed == 2


def test_work_queue_job_starts_nothing_after_the_first_success() -> None:
    world = plain(3, None)
    first, second, third = active_names(world)
    world.end(first, 0)
    world.end(second, 1)
    world.run_for(1000)
    assert active_names(world) == [third]
    world.end(third, 0)
    finished = world.status.finished
    assert finished is not None and finished.kind == "Complete"


def test_restarts_count_against_the_limit_with_on_failure() -> None:
    world = plain(1, 1, restart_policy="OnFailure", backoff_limit=2)
    name = active_names(world)[0]
    world.pods[name] = replace(world.pods[name], restarts=2)
    world.settle()
    finished = world.status.finished
    assert finished is not None and finished.reason == "BackoffLimitExceeded"


def test_a_clock_that_steps_back_does_not_lengthen_the_wait() -> None:
    world = running(1)
    world.delete(world.name_of(0))
    world.now -= 3600
    world.settle()
    assert world.again_in is not None and world.again_in <= 10


def test_the_back_off_is_capped() -> None:
    assert BackoffSettings().delay(50) == 600
    assert BackoffSettings(base=0.5, cap=3).delay(3) == 2
    assert BackoffSettings().delay(0) == 0
