"""Whatever users, kubelets and time do to a Job, these things hold."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from localcluster.intervals import format_indexes, parse_indexes
from localcluster.jobs import reconcile
from tests.unit.localcluster.job_world import World, elastic

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 6)),
        st.tuples(st.just("exit"), st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 143]))),
        st.tuples(st.just("delete"), st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 143]))),
        st.tuples(st.just("suspend"), st.booleans()),
        st.tuples(st.just("time"), st.floats(0, 700, allow_nan=False)),
        st.tuples(st.just("start"), st.just(0)),
    ),
    max_size=25,
)


@given(start=st.integers(1, 6), limit=st.integers(0, 3), operations=OPERATIONS)
def test_invariants_of_an_elastic_job(start: int, limit: int, operations: list[tuple[str, object]]) -> None:
    world = World(elastic(start, backoff_limit_per_index=limit))
    world.settle()
    for operation, value in operations:
        before = world.status
        play(world, operation, value)
        if before.finished is not None:
            assert world.status == before
        check(world)


def play(world: World, operation: str, value: object) -> None:
    if operation == "scale" and isinstance(value, int):
        world.scale(value)
    elif operation == "suspend":
        world.spec = replace(world.spec, suspend=bool(value))
        world.settle()
    elif operation == "time" and isinstance(value, float):
        world.run_for(value)
    elif operation == "start":
        world.start_all()
    elif isinstance(value, tuple):
        index, code = value
        pod = world.active().get(index)
        if pod is not None and operation == "exit":
            world.end(pod.name, code)
        elif pod is not None:
            world.delete(pod.name, code)


def check(world: World) -> None:
    spec, status = world.spec, world.status
    active = [pod for pod in world.pods.values() if pod.is_active]
    indexes = [pod.index for pod in active]
    assert len(indexes) == len(set(indexes)), "one pod per index"
    completed = parse_indexes(status.completed_indexes, 10**6)
    failed = parse_indexes(status.failed_indexes or "", 10**6)
    assert not completed & failed
    assert status.succeeded == len(completed)
    outcome = reconcile(spec, status, world.pods.values(), world.backoff, world.now, world.settings)
    assert not outcome.actions and outcome.status == status, "a settled Job is at rest"
    if status.finished is not None:
        assert not active
        return
    assert status.active == len(active)
    assert all(index is not None and index < (spec.completions or 0) for index in indexes)
    assert not set(indexes) & (completed | failed)
    if spec.suspend:
        assert not active
    else:
        waiting = set(range(spec.completions or 0)) - set(indexes) - completed - failed
        assert not waiting or outcome.again_in is not None, "an index that does not run is being waited for"


@given(st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_index_notation_round_trips(indexes: set[int], limit: int) -> None:
    assert parse_indexes(format_indexes(indexes), 100) == indexes
    assert parse_indexes(format_indexes(indexes), limit) == {index for index in indexes if index < limit}


def test_index_notation_is_kubernetes_own() -> None:
    assert format_indexes([0, 1, 2, 4]) == "0-2,4"
    assert format_indexes([0, 1, 5, 6, 7]) == "0,1,5-7"
    assert format_indexes([]) == ""
    assert parse_indexes("0-2,x,4,7-", 10) == {0, 1, 2, 4}
