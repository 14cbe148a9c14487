"""Laws of the lifecycle that hold in every situation."""

from __future__ import annotations

from dataclasses import replace

from asperathos_worker.queue.records import QueueStats
from hypothesis import given
from hypothesis import strategies as st

from common.domain.cluster import QUEUE_ROLE, WORKER_ROLE, JobView, PodView, SubmissionView
from common.domain.states import Intent, State, may_follow
from common.domain.submission import Submission, SubmissionSpec
from manager.lifecycle import (
    Attend,
    CleanUp,
    Conclude,
    Facts,
    Forget,
    Hold,
    KeepResults,
    Launch,
    LifecycleRules,
    Rest,
    Settle,
    Step,
    TellEnd,
    next_step,
)

NOW = 10_000.0
RULES = LifecycleRules()
COUNT = st.integers(0, 3)

stats = st.builds(
    QueueStats,
    at=st.just(NOW),
    put=COUNT,
    ready=COUNT,
    delayed=COUNT,
    leased=COUNT,
    done=COUNT,
    dead=COUNT,
    closed=st.booleans(),
    stopped=st.booleans(),
    limit=st.none(),
    taken=COUNT,
    failed=COUNT,
    expired=COUNT,
    released=COUNT,
    oldest_ready_wait=st.none(),
    running=st.just(()),
)
jobs = st.builds(
    JobView,
    name=st.just("kj-0-g1"),
    namespace=st.just("default"),
    submission=st.just("kj-0"),
    generation=st.integers(1, 3),
    parallelism=COUNT,
    suspended=st.booleans(),
    active=COUNT,
    ready=COUNT,
    succeeded=COUNT,
    failed=COUNT,
    ended=st.sampled_from(["", "", "Complete", "Failed"]),
    reason=st.sampled_from(["", "FailedIndexes"]),
    deleting=st.booleans(),
)
pods = st.builds(
    PodView,
    name=st.sampled_from(["a", "b", "c"]),
    namespace=st.just("default"),
    submission=st.just("kj-0"),
    generation=st.integers(1, 3),
    index=COUNT,
    role=st.sampled_from([WORKER_ROLE, QUEUE_ROLE]),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    created_at=st.sampled_from([NOW - 1000, NOW - 1]),
    exit_code=st.sampled_from([None, 0, 1, 143]),
    reason=st.sampled_from(["", "ContainerCreating", "ErrImagePull"]),
    ip=st.sampled_from(["", "10.0.0.1"]),
    deleting=st.booleans(),
    disrupted=st.booleans(),
)
views = st.builds(SubmissionView, st.lists(jobs, max_size=2).map(tuple), st.lists(pods, max_size=5).map(tuple))
facts = st.builds(
    Facts,
    now=st.just(NOW),
    stats=st.none() | stats,
    view=st.none() | views,
    cluster_problem=st.just("the cluster is away"),
    reported=st.booleans(),
)
specs = st.sampled_from(
    [
        SubmissionSpec.model_validate({"command": ["x"], "workload": ["a"], **more})
        for more in ({}, {"queue": "dedicated"}, {"target": {"latency": 1}}, {"job_lifetime": 60})
    ]
)
submissions = st.builds(
    Submission,
    id=st.just("kj-0"),
    spec=specs,
    state=st.sampled_from(State),
    intent=st.sampled_from(Intent),
    created_at=st.just(NOW - 5000),
    finished_at=st.sampled_from([None, NOW - 100]),
    generation=st.integers(0, 2),
    generation_at=st.sampled_from([None, NOW - 1, NOW - 1000]),
    generation_taken=COUNT,
    job_created=st.booleans(),
    idle_generations=COUNT,
    lost_generations=COUNT,
    ending_at=st.sampled_from([None, NOW - 1, NOW - 1000]),
    redis_host=st.sampled_from(["", "10.0.0.1"]),
    job_deleted=st.booleans(),
)


@given(submissions, facts)
def test_every_situation_has_one_legal_step(submission: Submission, seen: Facts) -> None:
    step = next_step(submission, seen, RULES)
    assert step == next_step(submission, seen, RULES)
    assert isinstance(step, (CleanUp, Forget, KeepResults, Rest, TellEnd)) is submission.state.terminal
    if isinstance(step, Conclude):
        assert step.state.terminal
        assert may_follow(submission.state, step.state)


@given(submissions, facts)
def test_waits_are_positive_and_bounded(submission: Submission, seen: Facts) -> None:
    step: Step = next_step(submission, seen, RULES)
    if isinstance(step, (Attend, Hold, KeepResults, Rest, TellEnd)):
        assert 0 < step.wait <= RULES.most_rest
    if isinstance(step, Settle):
        assert step.wait > 0 or submission.ending_at is None


@given(submissions, facts)
def test_nothing_outstanding_is_ever_called_complete(submission: Submission, seen: Facts) -> None:
    step = next_step(submission, seen, RULES)
    if isinstance(step, Conclude) and step.state in (State.COMPLETED, State.FAILED):
        assert seen.stats is not None
        assert seen.stats.over or seen.stats.put == 0
        assert (step.state is State.FAILED) == (seen.stats.dead > 0 and submission.state is State.ONGOING)


@given(submissions, facts)
def test_without_the_cluster_nothing_in_it_is_judged(submission: Submission, seen: Facts) -> None:
    step = next_step(submission, replace(seen, view=None), RULES)
    if submission.state is State.ONGOING:
        assert not isinstance(step, Launch)
        if isinstance(step, Conclude) and step.state is State.ERROR:
            assert seen.stats is None


@given(submissions, facts)
def test_a_user_who_wants_the_end_gets_nothing_new(submission: Submission, seen: Facts) -> None:
    if submission.intent is not Intent.NONE:
        assert not isinstance(next_step(submission, seen, RULES), Launch)


@given(submissions, facts)
def test_generations_rise_by_one(submission: Submission, seen: Facts) -> None:
    step = next_step(submission, seen, RULES)
    if isinstance(step, Launch):
        assert step.generation - submission.generation in (0, 1)
        if step.generation > submission.generation and submission.state is State.ONGOING:
            assert step.why
            assert submission.job_created
