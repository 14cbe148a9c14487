"""Deployments, ReplicaSets and Services: the decisions, and the controllers over a real store without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.clock import ManualClock
from localcluster.defaults import apply_defaults
from localcluster.deployment_controller import DeploymentController, ReplicaSetController
from localcluster.events import Recorder
from localcluster.log import JsonLog
from localcluster.objects import evolve, name_of
from localcluster.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICASETS
from localcluster.rollouts import PodView, SetView, pod_plan, sizes, strategy_of, template_hash
from localcluster.services import NETWORK, ServiceNetwork, names_of, routes
from localcluster.store import Store
from tests.unit.localcluster.test_api import MERGE, Client

APPS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
RECREATE = {"type": "Recreate"}


def rolling(unavailable: object, surge: object) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


@pytest.mark.parametrize(
    ("given_strategy", "bounds"),
    [
        ({}, (2, 3)),
        (rolling(1, 0), (1, 0)),
        (rolling(0, 0), (1, 0)),
        (rolling("0%", "0%"), (1, 0)),
        (rolling("50%", "10%"), (5, 1)),
    ],
)
def test_shares_are_rounded_in_favour_of_progress(given_strategy: dict[str, Any], bounds: tuple[int, int]) -> None:
    strategy = strategy_of(10, given_strategy)
    assert (strategy.max_unavailable, strategy.max_surge) == bounds


def test_recreate_waits_until_every_old_pod_is_gone() -> None:
    strategy = strategy_of(2, RECREATE)
    old, new = SetView("old", 2, 2, 2, False), SetView("new", 0, 0, 0, True)
    assert sizes(2, strategy, [old, new]) == {"old": 0, "new": 0}
    leaving = SetView("old", 0, 1, 0, False)
    assert sizes(2, strategy, [leaving, new]) == {"old": 0, "new": 0}
    assert sizes(2, strategy, [SetView("old", 0, 0, 0, False), new]) == {"old": 0, "new": 2}


@given(st.integers(0, 12), st.integers(0, 5), st.integers(0, 5), st.data())
def test_a_rolling_update_comes_to_its_end_within_its_bounds(
    replicas: int, unavailable: int, surge: int, data: st.DataObject
) -> None:
    """Pods start and end in any order; never are too many wanted, never too few available."""
    strategy = strategy_of(replicas, rolling(unavailable, surge))
    wanted = {"old": replicas, "older": 0, "new": 0}
    available = {"old": replicas, "older": 0, "new": 0}
    for _ in range(200):
        views = [SetView(name, wanted[name], wanted[name], available[name], name == "new") for name in wanted]
        wanted = sizes(replicas, strategy, views)
        assert sum(wanted.values()) <= replicas + strategy.max_surge
        for name in wanted:
            # What is scaled down ends at once; what is scaled up is available some time.
            available[name] = min(available[name], wanted[name])
        assert sum(available.values()) >= replicas - strategy.max_unavailable
        starting = [name for name in wanted if available[name] < wanted[name]]
        if not starting:
            if wanted == {"old": 0, "older": 0, "new": replicas}:
                return
            continue
        available[data.draw(st.sampled_from(starting))] += 1
    raise AssertionError(f"it does not end: {wanted}")


@given(st.integers(0, 5), st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 9)), max_size=8))
def test_a_replica_set_has_as_many_active_pods_as_wanted(wanted: int, given_pods: list[Any]) -> None:
    pods = [PodView(f"p{number}", *each) for number, each in enumerate(given_pods)]
    plan = pod_plan(wanted, pods)
    active = {pod.name: pod for pod in pods if pod.active}
    assert len(active) + plan.create - len(plan.delete) == wanted
    assert set(plan.delete) <= set(active)
    assert not (plan.create and plan.delete)
    kept = [pod for name, pod in active.items() if name not in plan.delete]
    assert all(gone.ready <= pod.ready for name, gone in active.items() if name in plan.delete for pod in kept)


def test_the_hash_is_of_the_template_and_not_of_its_order() -> None:
    assert template_hash({"a": 1, "b": 2}) == template_hash({"b": 2, "a": 1})
    assert template_hash({"a": 1}) != template_hash({"a": 2})


# The controllers.


class World:
    """A store with the two controllers, and pods that become ready when told."""

    def __init__(self, directory: Path) -> None:
        clock = ManualClock()
        self.store = Store(directory / "state.db", clock)
        self.store.create(NAMESPACES, apply_defaults(NAMESPACES, {"metadata": {"name": "default"}}))
        self.call = Client(self.store, directory / "logs")
        log = JsonLog(clock, "error")
        recorder = Recorder(self.store, clock, log)
        self.deployments = DeploymentController(self.store, recorder, clock)
        self.sets = ReplicaSetController(self.store, recorder)

    def settle(self, ready: bool = True) -> None:
        for _ in range(20):
            before = self.store.revision
            for deployment in self.store.list(DEPLOYMENTS)[0]:
                self.deployments.sync("default", name_of(deployment))
            for item in self.store.list(REPLICASETS)[0]:
                self.sets.sync("default", name_of(item))
            for pod in self.store.list(PODS)[0] if ready else ():
                self.make_ready(pod)
            if self.store.revision == before:
                return
        raise AssertionError("the controllers do not come to rest")

    def make_ready(self, pod: dict[str, Any]) -> None:
        status = {"phase": "Running", "podIP": "127.64.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
        if pod["status"] != status and pod["status"].get("phase") != "Failed":
            self.store.update(PODS, evolve(pod, status=status))

    def pods(self) -> list[str]:
        return [name_of(pod) for pod in self.store.list(PODS)[0] if pod["status"].get("phase") != "Failed"]

    def status(self) -> dict[str, Any]:
        return dict(self.call("GET", f"{APPS}/web")[1]["status"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def deployment(replicas: int = 2, **spec: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "i", "command": ["serve"], "ports": [{"name": "http", "containerPort": 80}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    base = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {**base, **spec}}


def test_a_deployment_has_its_pods_by_a_replica_set_and_tells_how_many_are_available(world: World) -> None:
    assert world.call("POST", APPS, deployment())[0] == 201
    world.settle(ready=False)
    status = world.status()
    assert (status["replicas"], status["unavailableReplicas"]) == (2, 2)
    assert [item["status"] for item in status["conditions"] if item["type"] == "Available"] == ["False"]
    world.settle()
    status = world.status()
    assert (status["availableReplicas"], status["updatedReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert {item["reason"] for item in status["conditions"]} == {"MinimumReplicasAvailable", "NewReplicaSetAvailable"}
    (owner,) = self_owners(world.store.list(PODS)[0][0])
    assert owner["kind"] == "ReplicaSet" and owner["controller"]
    (owner,) = self_owners(world.store.list(REPLICASETS)[0][0])
    assert owner["kind"] == "Deployment"


def self_owners(obj: dict[str, Any]) -> list[dict[str, Any]]:
    return list(obj["metadata"]["ownerReferences"])


def test_a_pod_that_is_gone_or_has_failed_is_replaced(world: World) -> None:
    world.call("POST", APPS, deployment(1))
    world.settle()
    (first,) = world.pods()
    world.call("DELETE", f"/api/v1/namespaces/default/pods/{first}")
    world.settle()
    (second,) = world.pods()
    assert second != first
    lost = world.store.get(PODS, "default", second)
    world.store.update(PODS, evolve(lost, status={"phase": "Failed"}))
    world.settle()
    (third,) = world.pods()
    assert third not in (first, second)


def test_a_new_template_is_a_new_replica_set_and_an_old_one_comes_back_as_it_was(world: World) -> None:
    world.call("POST", APPS, deployment(2, revisionHistoryLimit=1))
    world.settle()
    for image in ("two", "three", "i"):
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}
        strategic = {"content-type": "application/strategic-merge-patch+json"}
        assert world.call("PATCH", f"{APPS}/web", patch, strategic)[0] == 200
        world.settle()
        assert {pod["spec"]["containers"][0]["image"] for pod in world.store.list(PODS)[0]} == {image}
    sets = world.store.list(REPLICASETS)[0]
    assert sorted(item["spec"]["replicas"] for item in sets) == [0, 2], "history is bounded"
    assert max(int(item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) for item in sets) == 4


def test_scaling_goes_by_the_scale_subresource(world: World) -> None:
    world.call("POST", APPS, deployment(1))
    world.settle()
    code, scale = world.call("GET", f"{APPS}/web/scale")
    assert (code, scale["kind"], scale["spec"], scale["status"]["selector"]) == (
        200,
        "Scale",
        {"replicas": 1},
        "app=web",
    )
    scale["spec"]["replicas"] = 3
    assert world.call("PUT", f"{APPS}/web/scale", scale)[0] == 200
    world.settle()
    assert len(world.pods()) == 3
    assert world.call("PUT", f"{APPS}/web/scale", scale)[0] == 409, "it has changed since"
    assert world.call("PATCH", f"{APPS}/web/scale", {"spec": {"replicas": 0}}, MERGE)[1]["spec"] == {"replicas": 0}
    world.settle()
    assert world.pods() == []
    for wrong in ({}, {"spec": {"replicas": "2"}}, {"spec": {"replicas": True}}):
        assert world.call("PUT", f"{APPS}/web/scale", wrong)[0] == 400
    assert world.call("PUT", f"{APPS}/web/scale", {"spec": {"replicas": -1}})[0] == 422


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec.template.metadata.labels"),
        ({"selector": {}}, "spec.selector"),
        ({"strategy": {"type": "Never"}}, "spec.strategy.type"),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, "spec.strategy.rollingUpdate"),
        ({"strategy": rolling("x", 1)}, "spec.strategy.rollingUpdate.maxUnavailable"),
        ({"template": {"metadata": {"labels": {"app": "web"}}}}, "spec.template.spec"),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"restartPolicy": "Never", "containers": []},
                }
            },
            "spec.template.spec.restartPolicy",
        ),
    ],
)
def test_a_wrong_deployment_is_refused_by_field(world: World, wrong: dict[str, Any], field: str) -> None:
    code, status = world.call("POST", APPS, deployment(**wrong))
    assert code == 422
    assert field in {cause["field"] for cause in status["details"]["causes"]}


def test_a_selector_cannot_change(world: World) -> None:
    world.call("POST", APPS, deployment())
    patch = {"spec": {"selector": {"matchLabels": {"app": "x"}}}}
    code, status = world.call("PATCH", f"{APPS}/web", patch, MERGE)
    assert (code, "field is immutable" in status["message"]) == (422, True)


# Services.


def service(name: str = "web", port: object = "http", **spec: Any) -> dict[str, Any]:
    base = {"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": port}]}
    return {"metadata": {"name": name}, "spec": {**base, **spec}}


@pytest.fixture
def addressed(world: World, tmp_path: Path) -> Client:
    return Client(world.store, tmp_path / "logs", ServiceNetwork(7))


def test_services_get_addresses_of_their_own_and_keep_them(addressed: Client) -> None:
    given_addresses = [addressed("POST", SERVICES, service(f"s{n}"))[1]["spec"]["clusterIP"] for n in range(3)]
    assert len(set(given_addresses)) == 3
    assert all(address.startswith("127.128.") for address in given_addresses)
    changed = addressed("PUT", f"{SERVICES}/s0", service("s0", port=81))[1]
    assert changed["spec"]["clusterIP"] == given_addresses[0], "left out means: as it is"
    code, status = addressed("PATCH", f"{SERVICES}/s0", {"spec": {"clusterIP": given_addresses[1]}}, MERGE)
    assert (code, status["details"]["causes"][0]["field"]) == (422, "spec.clusterIP")


@pytest.mark.parametrize(
    ("asked", "said"),
    [("10.0.0.1", "does not match the current range"), ("x", "does not match"), ("127.128.0.8", "already allocated")],
)
def test_an_address_that_cannot_be_had_is_refused(addressed: Client, asked: str, said: str) -> None:
    assert addressed("POST", SERVICES, service("first"))[1]["spec"]["clusterIP"] == "127.128.0.8"
    code, status = addressed("POST", SERVICES, service(clusterIP=asked))
    assert code == 422
    assert said in status["message"]


def test_an_address_may_be_asked_for_or_declined(addressed: Client) -> None:
    assert addressed("POST", SERVICES, service(clusterIP="127.128.9.9"))[1]["spec"]["clusterIP"] == "127.128.9.9"
    assert addressed("POST", SERVICES, service("headless", clusterIP="None"))[1]["spec"]["clusterIP"] == "None"


def test_without_a_network_services_are_headless(world: World) -> None:
    assert world.call("POST", SERVICES, service())[1]["spec"]["clusterIP"] == "None"
    assert world.call("POST", SERVICES, service("other", clusterIP="127.128.0.1"))[0] == 422


def test_connections_go_to_the_ready_pods_that_a_service_selects(world: World, addressed: Client) -> None:
    made = addressed("POST", SERVICES, service())[1]
    addressed("POST", SERVICES, service("headless", clusterIP="None"))
    addressed("POST", SERVICES, service("unselective", selector={}))
    addressed("POST", SERVICES, service("unknown-port", port="nothing"))
    addressed("POST", SERVICES, service("datagrams", ports=[{"port": 53, "protocol": "UDP"}]))
    world.call("POST", APPS, deployment(2))
    world.settle(ready=False)

    def found() -> Any:
        return routes(addressed("GET", SERVICES)[1]["items"], world.store.list(PODS)[0])

    assert found() == {}, "no pod is ready yet"
    world.settle()
    assert found() == {(made["spec"]["clusterIP"], 8080): (("127.64.0.9", 80), ("127.64.0.9", 80))}
    assert names_of(made) == ("web", "web.default", "web.default.svc")


def test_addresses_go_round() -> None:
    network = ServiceNetwork(NETWORK.num_addresses - 3)
    assert [network.allot(()), network.allot({"127.191.255.254"})] == ["127.191.255.254", "127.128.0.1"]
