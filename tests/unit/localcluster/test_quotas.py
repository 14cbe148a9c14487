"""ResourceQuotas: what is refused, in which words, and that controllers go on when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.clock import ManualClock
from localcluster.events import Recorder
from localcluster.job_controller import JobController
from localcluster.jobs import BackoffSettings
from localcluster.log import JsonLog
from localcluster.objects import name_of
from localcluster.quotas import quota_status, refusal
from localcluster.resources import EVENTS, JOBS, PODS
from tests.unit.localcluster.test_api import PODS as PODS_PATH
from tests.unit.localcluster.test_api import Client, job
from tests.unit.localcluster.test_rollouts import APPS, World, deployment

QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def pod(name: str = "p", phase: str = "Running", **resources: dict[str, str]) -> dict[str, Any]:
    container = {"name": "main", "image": "i", "command": ["x"], "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}, "status": {"phase": phase}}


def quota(**hard: str) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": {name.replace("_", "."): hard[name] for name in hard}}}


@pytest.mark.parametrize(
    ("hard", "asked", "said"),
    [
        (quota(pods="2"), {}, ""),
        (quota(pods="1"), {}, "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
        (quota(cpu="3"), {"requests": {"cpu": "500m"}}, ""),
        (
            quota(requests_cpu="2"),
            {"requests": {"cpu": "500m"}},
            "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=2, limited: requests.cpu=2",
        ),
        (quota(cpu="9"), {}, "failed quota: q: must specify cpu for: main"),
        (
            quota(limits_memory="1Gi"),
            {"requests": {"memory": "1Mi"}},
            "failed quota: q: must specify limits.memory for: main",
        ),
        (quota(secrets="0", services="0"), {}, ""),
        ({**quota(), "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}}, {}, ""),
        (
            {**quota(), "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}},
            {"limits": {"nvidia.com/gpu": "2"}},
            "exceeded quota: q, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=0, "
            "limited: requests.nvidia.com/gpu=1",
        ),
    ],
)
def test_a_pod_is_admitted_when_every_quota_has_room(hard: dict[str, Any], asked: dict[str, Any], said: str) -> None:
    others = [pod("other", requests={"cpu": "2"}), pod("over", phase="Succeeded", requests={"cpu": "64"})]
    assert refusal(pod(**asked), [quota(pods="99"), hard], others) == said


def test_a_quota_tells_what_is_used_of_it() -> None:
    pods = [pod("a", requests={"cpu": "1500m"}), pod("b", phase="Failed", requests={"cpu": "9"})]
    assert quota_status(quota(pods="4", cpu="2", secrets="1"), pods) == {
        "hard": {"pods": "4", "cpu": "2"},
        "used": {"pods": "1", "cpu": "1500m"},
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def set_quota(call: Client, pods: int) -> None:
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": str(pods)}}}
    code, _ = call("PUT", f"{QUOTAS}/q", body)
    if code == 404:
        code, _ = call("POST", QUOTAS, body)
    assert code in (200, 201)


def warnings(world: World) -> set[str]:
    return {event["message"] for event in world.store.list(EVENTS)[0] if event["reason"] == "FailedCreate"}


def test_a_pod_beyond_the_quota_is_forbidden(world: World) -> None:
    set_quota(world.call, 1)
    body = {"metadata": {"name": "a"}, "spec": pod()["spec"]}
    assert world.call("POST", PODS_PATH, body)[0] == 201
    code, status = world.call("POST", PODS_PATH, {**body, "metadata": {"name": "b"}})
    assert (code, status["reason"]) == (403, "Forbidden")
    assert status["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    )


def test_a_wrong_quota_is_refused(world: World) -> None:
    for hard in ({"pods": "many"}, {"pods": "-1"}, ["pods"]):
        assert world.call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})[0] == 422


def test_a_deployment_has_as_many_pods_as_are_admitted_until_there_is_room(world: World) -> None:
    set_quota(world.call, 1)
    world.call("POST", APPS, deployment(3))
    world.settle()
    assert len(world.pods()) == 1
    assert any("exceeded quota: q" in message for message in warnings(world))
    (owner,) = world.store.list(PODS)[0][0]["metadata"]["ownerReferences"]
    assert world.sets.sync("default", owner["name"]) is not None, "it is tried again"
    set_quota(world.call, 3)
    world.settle()
    assert len(world.pods()) == 3


def test_a_job_has_as_many_pods_as_are_admitted_until_there_is_room(world: World) -> None:
    clock = ManualClock()
    recorder = Recorder(world.store, clock, JsonLog(clock, "error"))
    controller = JobController(world.store, recorder, clock, BackoffSettings(10, 600), lambda _: None)
    set_quota(world.call, 1)
    world.call("POST", "/apis/batch/v1/namespaces/default/jobs", job(backoffLimitPerIndex=3))
    again = controller.sync("default", "j")
    assert again is not None and 0 < again <= 2
    assert len(world.store.list(PODS)[0]) == 1
    assert world.store.get(JOBS, "default", "j")["status"]["active"] == 1
    assert any(message.startswith("Error creating: pods") for message in warnings(world))
    controller.sync("default", "j")
    assert len(world.store.list(PODS)[0]) == 1
    set_quota(world.call, 2)
    assert controller.sync("default", "j") is None
    assert sorted(name_of(made)[:4] for made in world.store.list(PODS)[0]) == ["j-0-", "j-1-"]
    assert world.store.get(JOBS, "default", "j")["status"]["active"] == 2
