from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from localcluster.pod_lifecycle import (
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
    advance,
    ended,
    phase_of,
    pod_status,
)
from localcluster.runtime.port import Started
from localcluster.scheduler import NodeView, PodRequest, place, pod_request

AMOUNTS = {"cpu": Fraction(4), "memory": Fraction(1000), "pods": Fraction(10)}


def node(name: str, **changes: Any) -> NodeView:
    return NodeView(**{"name": name, "allocatable": AMOUNTS, "labels": {"disk": "ssd"}, **changes})


def asks(cpu: int, **changes: Any) -> PodRequest:
    return PodRequest(**{"requests": {"cpu": Fraction(cpu), "pods": Fraction(1)}, "node_selector": {}, **changes})


def test_the_emptiest_node_is_chosen() -> None:
    used = {"a": {"cpu": Fraction(2)}, "b": {"cpu": Fraction(1)}}
    assert place(asks(1), [node("a"), node("b")], used).node == "b"
    assert place(asks(1), [node("a"), node("b")], {}).node == "a"


def test_a_pod_that_fits_nowhere_is_told_why() -> None:
    nodes = [node("a"), node("b", unschedulable=True), node("c", labels={})]
    placement = place(asks(5, node_selector={"disk": "ssd"}), nodes, {})
    assert placement.node is None
    assert placement.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector,"
        " 1 node(s) were unschedulable."
    )
    assert place(asks(1), [], {}).message == "no nodes available to schedule pods"


def test_taints_need_tolerations() -> None:
    tainted = node("a", taints=(("gpu", "yes", "NoSchedule"),))
    assert place(asks(1), [tainted], {}).node is None
    assert place(asks(1, tolerations=({"key": "gpu", "value": "yes"},)), [tainted], {}).node == "a"
    assert place(asks(1, tolerations=({"operator": "Exists"},)), [tainted], {}).node == "a"


def test_unknown_resources_are_insufficient() -> None:
    request = PodRequest({"nvidia.com/gpu": Fraction(1)}, {})
    assert "Insufficient nvidia.com/gpu" in place(request, [node("a")], {}).message


def test_requests_are_summed_and_limits_stand_in() -> None:
    pod = {
        "spec": {
            "containers": [
                {"resources": {"requests": {"cpu": "500m"}}},
                {"resources": {"limits": {"cpu": "1", "memory": "1Ki"}}},
            ],
            "initContainers": [{"resources": {"requests": {"cpu": "2"}}}],
        }
    }
    assert pod_request(pod).requests == {"cpu": Fraction(2), "memory": Fraction(1024), "pods": Fraction(1)}


@given(st.lists(st.integers(0, 5), max_size=20))
def test_nodes_are_never_overfilled(demands: list[int]) -> None:
    used: dict[str, dict[str, Fraction]] = {"a": {}, "b": {}}
    for cpu in demands:
        request = asks(cpu)
        placement = place(request, [node("a"), node("b")], used)
        if placement.node is None:
            assert all(AMOUNTS["cpu"] - table.get("cpu", 0) < cpu or table["pods"] >= 10 for table in used.values())
            continue
        for name, amount in request.requests.items():
            used[placement.node][name] = used[placement.node].get(name, Fraction(0)) + amount
    assert all(table.get("cpu", Fraction(0)) <= 4 for table in used.values())


def record(state: Any, **changes: Any) -> ContainerRecord:
    return ContainerRecord(**{"name": "c", "image": "i", "state": state, **changes})


def test_never_means_once() -> None:
    step = advance((record(ended(1, 0, 1)),), "Never", False, 2, 10)
    assert step.finished and step.start == ()
    assert phase_of(step.records, True) == "Failed"


def test_on_failure_restarts_with_crash_loop_back_off() -> None:
    step = advance((record(ended(1, 0, 1)),), "OnFailure", False, 1, 10)
    assert step.start == ("c",), "the first restart is immediate"
    again = ContainerRecord("c", "i", state=ended(1, 1, 2), restarts=1)
    step = advance((again,), "OnFailure", False, 2, 10)
    assert (step.start, step.again_at, step.finished) == ((), 12, False)
    waiting = step.records[0]
    assert isinstance(waiting.state, Waiting) and waiting.state.reason == "CrashLoopBackOff"
    assert waiting.restarts == 2
    assert advance(step.records, "OnFailure", False, 12, 10).start == ("c",)
    assert advance((record(ended(0, 0, 1)),), "OnFailure", False, 1, 10).finished


def test_always_restarts_even_success() -> None:
    assert advance((record(ended(0, 0, 1)),), "Always", False, 1, 10).start == ("c",)


def test_nothing_is_started_while_stopping() -> None:
    step = advance((record(Waiting()), record(Running(1.0), name="d")), "Always", True, 2, 10)
    assert step.start == () and not step.finished
    assert advance((record(Waiting()),), "Always", True, 2, 10).finished


def test_init_containers_come_one_after_the_other() -> None:
    first, second = record(Waiting(), name="i1", init=True), record(Waiting(), name="i2", init=True)
    main = record(Waiting(), name="m")
    assert advance((first, second, main), "Never", False, 0, 10).start == ("i1",)
    done = record(ended(0, 0, 1), name="i1", init=True)
    assert advance((done, second, main), "Never", False, 1, 10).start == ("i2",)
    done2 = record(ended(0, 0, 1), name="i2", init=True)
    assert advance((done, done2, main), "Never", False, 1, 10).start == ("m",)
    broken = record(ended(3, 0, 1), name="i1", init=True)
    assert advance((broken, second, main), "Never", False, 1, 10).finished


def test_an_image_that_cannot_be_pulled_backs_off_twice_as_long_each_time() -> None:
    failed = record(Waiting("ErrImagePull", "no route", until=1), pull_failures=3)
    assert advance((failed,), "Never", False, 0.5, 10).again_at == 1
    step = advance((failed,), "Never", False, 1, 10)
    assert (step.start, step.backed_off, step.again_at, step.finished) == ((), ("c",), 41, False)
    (waiting,) = step.records
    assert isinstance(waiting.state, Waiting) and waiting.state.reason == "ImagePullBackOff"
    assert waiting.state.message == 'Back-off pulling image "i": ErrImagePull: no route'
    assert advance(step.records, "Never", False, 41, 10).start == ("c",)
    assert advance((record(failed.state, pull_failures=50),), "Never", False, 1, 10).again_at == 301


def test_while_an_image_is_pulled_again_its_last_failure_is_shown() -> None:
    shown = Waiting("ImagePullBackOff", "said")
    status = pod_status({}, (record(Running(shown=shown)),), False, "127.64.0.1", "127.0.0.1", {}, 11.0)
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ImagePullBackOff", "message": "said"}}
    assert status["phase"] == "Pending"


def test_status_of_a_running_and_of_an_ended_pod() -> None:
    pod: dict[str, Any] = {"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}}
    running = pod_status(
        pod,
        (record(Running(10.0)),),
        False,
        "127.64.0.1",
        "127.0.0.1",
        {"c": Started("u/c/0", 10.0, "process://x")},
        11.0,
    )
    assert running["phase"] == "Running"
    conditions = {item["type"]: item["status"] for item in running["conditions"]}
    assert conditions["Ready"] == conditions["ContainersReady"] == conditions["DisruptionTarget"] == "True"
    assert running["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:00:10Z"}}
    assert running["podIP"] == "127.64.0.1"
    end = pod_status(pod, (record(Terminated(143, "Error", "", 1, 2)),), True, "127.64.0.1", "127.0.0.1", {}, 11.0)
    assert end["phase"] == "Failed"
    assert end["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    created = pod_status(pod, (record(Running(0.0)),), False, "127.64.0.1", "127.0.0.1", {}, 11.0)
    assert created["phase"] == "Pending"
    assert created["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
