"""A Job that cannot start says why in the status within 15 s."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.clock import SystemClock
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
WITHIN = 15.0


@pytest.fixture
def api(stack: StackProcess) -> Iterator[KubernetesApi]:
    api = KubernetesApi(ApiSettings(kubeconfig=str(stack.addresses["kubeconfig"])), SystemClock())
    yield api
    api.close()


@pytest.fixture
def going_namespace(api: KubernetesApi) -> Iterator[str]:
    """A namespace that is being removed, held by an object that is not gone yet: nothing new is admitted to it."""
    name = f"going-{uuid.uuid4().hex[:6]}"
    api.call("POST", "/api/v1/namespaces", body=named("v1", "Namespace", name))
    held = {**named("v1", "ConfigMap", "held"), "data": {}}
    held["metadata"]["finalizers"] = ["asperathos.io/test"]
    api.call("POST", f"/api/v1/namespaces/{name}/configmaps", body=held)
    api.call("DELETE", f"/api/v1/namespaces/{name}")
    yield name
    path = f"/api/v1/namespaces/{name}/configmaps/held"
    api.call("PATCH", path, body={"metadata": {"finalizers": None}}, content_type="application/merge-patch+json")


def named(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def reason_of(stack: StackProcess, told: str = "", **document: Any) -> str:
    """The first reason the status gives that holds this text."""
    id = stack.submit({"run": "true {item}", "workload": ["a"], **document})
    try:
        status = stack.wait_for(id, lambda now: told in now["reason"] and now["reason"] != "", within=WITHIN)
        assert status["state"] in ("loading", "ongoing"), "it may still become possible"
        return str(status["reason"])
    finally:
        stack.cli("stop", id, check=False)


def test_a_pod_that_fits_nowhere(stack: StackProcess) -> None:
    reason = reason_of(stack, node_selector={"asperathos.io/no-such": "node"})
    assert "replicas cannot start: Unschedulable" in reason


@pytest.fixture
def full_namespace(api: KubernetesApi) -> Iterator[str]:
    """A namespace whose quota admits no pod."""
    name = f"full-{uuid.uuid4().hex[:6]}"
    api.call("POST", "/api/v1/namespaces", body=named("v1", "Namespace", name))
    quota = {**named("v1", "ResourceQuota", "none"), "spec": {"hard": {"pods": "0"}}}
    api.call("POST", f"/api/v1/namespaces/{name}/resourcequotas", body=quota)
    yield name
    api.call("DELETE", f"/api/v1/namespaces/{name}")


def test_a_job_that_has_no_room_in_a_quota(stack: StackProcess, full_namespace: str) -> None:
    reason = reason_of(stack, namespace=full_namespace)
    assert "FailedCreate: Error creating: pods" in reason
    assert "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0" in reason


def test_a_dedicated_queue_that_has_no_room_in_a_quota(stack: StackProcess, full_namespace: str) -> None:
    reason = reason_of(stack, "quota", run=None, command=["x"], queue="dedicated", namespace=full_namespace)
    assert reason.startswith("waiting for the dedicated queue: FailedCreate: ")
    assert "exceeded quota" in reason


def test_a_job_that_is_refused(stack: StackProcess, going_namespace: str) -> None:
    reason = reason_of(stack, namespace=going_namespace)
    assert "the cluster refuses the Job" in reason
    assert "terminated" in reason
