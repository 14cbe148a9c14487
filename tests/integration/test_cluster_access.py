"""NEEDS against the code: which cluster methods each service calls, and which requests the adapter makes of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.domain.access import NEEDS, Access
from common.ports import Cluster
from tests.support.api_recorder import ApiRecorder, access_of

ROOT = Path(__file__).resolve().parent.parent.parent
MANIFEST = {"metadata": {"name": "x", "namespace": "default"}}
METHODS = frozenset(name for name in vars(Cluster) if not name.startswith("_"))
CALLS: dict[str, Callable[[KubernetesCluster], object]] = {
    "create_job": lambda cluster: cluster.create_job(MANIFEST),
    "create_deployment": lambda cluster: cluster.create_deployment(MANIFEST),
    "create_service": lambda cluster: cluster.create_service(MANIFEST),
    "create_secret": lambda cluster: cluster.create_secret(MANIFEST),
    "create_config_map": lambda cluster: cluster.create_config_map(MANIFEST),
    "adopt_secret": lambda cluster: cluster.adopt_secret("default", "x", "x"),
    "adopt_config_map": lambda cluster: cluster.adopt_config_map("default", "x", "x"),
    "scale_job": lambda cluster: cluster.scale_job("default", "x", 3),
    "delete_submission": lambda cluster: cluster.delete_submission("default", "x", 1.0),
    "delete_job": lambda cluster: cluster.delete_job("default", "x", 1.0),
    "view": lambda cluster: cluster.view("default", "x"),
    "views": lambda cluster: cluster.views("default"),
    "usage": lambda cluster: cluster.usage("default"),
    "pod_log": lambda cluster: cluster.pod_log("default", "x"),
    "pod_log_since": lambda cluster: cluster.pod_log_since("default", "x"),
    "events": lambda cluster: cluster.events("default", "x"),
    "nodes": lambda cluster: cluster.nodes(),
    "offer": lambda cluster: cluster.offer(),
    "version": lambda cluster: cluster.version(),
    "has_namespace": lambda cluster: cluster.has_namespace("default"),
    "allowed": lambda cluster: cluster.allowed("default", Access("get", "pods")),
}
"""How to call each method of the port; a new one belongs here."""
UNUSED_YET = {
    "manager": {
        *(Access(verb, "configmaps") for verb in ["get", "list", "watch", "delete"]),
        *(Access(verb, "secrets") for verb in ("get", "list", "watch", "delete")),
        *(Access(verb, "pods") for verb in ("get", "watch", "delete")),
        *(Access(verb, "jobs", "batch") for verb in ("watch", "deletecollection")),
        *(Access(verb, "events") for verb in ("get", "watch")),
        *(Access("get", kind, group) for kind, group in (("deployments", "apps"), ("services", ""))),
    },
    "controller": {
        Access("get", "pods"),
        *(Access("watch", kind, group) for kind, group in (("jobs", "batch"), ("pods", ""))),
    },
    "monitor": {
        Access(verb, kind, group) for verb in ("get", "watch") for kind, group in (("jobs", "batch"), ("pods", ""))
    },
}
"""Granted for watching, which begins in a thread of its own, and for looking at single objects."""


def called_by(service: str) -> set[str]:
    """Methods of the port that the service's code calls on something named cluster."""
    found = {"version", "has_namespace", "allowed"}
    for path in (ROOT / service).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in METHODS and "cluster" in _name_of(node.value):
                found.add(node.attr)
    return found


def _name_of(node: ast.expr) -> str:
    """The last name of an expression: of ``self._clusters.at(name)`` that of the clusters."""
    if isinstance(node, ast.Call):
        node = node.func
        if isinstance(node, ast.Attribute) and node.attr == "at":
            node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def accesses(methods: set[str], directory: Path) -> set[Access]:
    recorder = ApiRecorder()
    with recorder.serving(directory) as kubeconfig, closing(KubernetesCluster(str(kubeconfig))) as cluster:
        for method in sorted(methods):
            CALLS[method](cluster)
    return recorder.seen


def test_every_method_of_the_port_is_known_here() -> None:
    assert CALLS.keys() == METHODS


def test_calls_are_found_in_the_code() -> None:
    assert {"create_job", "create_service", "delete_submission", "pod_log", "nodes"} <= called_by("manager")
    assert "scale_job" in called_by("controller")
    assert "view" in called_by("monitor")
    assert "create_job" not in called_by("monitor") | called_by("controller")


def test_the_visualizer_never_speaks_to_a_cluster() -> None:
    assert "visualizer" not in NEEDS
    assert called_by("visualizer") == {"version", "has_namespace", "allowed"}


@pytest.mark.parametrize("service", sorted(NEEDS))
def test_needs_are_what_the_adapter_asks_for(service: str, tmp_path: Path) -> None:
    used = accesses(called_by(service), tmp_path)
    assert used - NEEDS[service] == set(), "asked for, but not granted"
    assert NEEDS[service] - used - UNUSED_YET[service] == set(), "granted, but never asked for"


@pytest.mark.parametrize(
    ("method", "target", "access"),
    [
        ("GET", "/api/v1/namespaces/a/pods?labelSelector=x", Access("list", "pods")),
        ("GET", "/api/v1/namespaces/a/pods?watch=1", Access("watch", "pods")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", Access("get", "pods", subresource="log")),
        ("DELETE", "/apis/batch/v1/namespaces/a/jobs?labelSelector=x", Access("deletecollection", "jobs", "batch")),
        ("PATCH", "/apis/batch/v1/namespaces/a/jobs/j", Access("patch", "jobs", "batch")),
        ("GET", "/api/v1/namespaces/a", Access("get", "namespaces")),
        ("GET", "/api/v1/nodes", Access("list", "nodes", namespaced=False)),
        ("GET", "/version", None),
    ],
)
def test_requests_are_read_as_kubernetes_reads_them(method: str, target: str, access: Access | None) -> None:
    assert access_of(method, target) == access
