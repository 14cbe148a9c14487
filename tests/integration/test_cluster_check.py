"""``asperathos cluster check`` on the local cluster: whole, with a namespace that is not there, and gone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.domain.access import NEEDS
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

SERVICES = ("controller", "monitor", "manager")


def check(url: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON, and what a person reads."""
    command = [sys.executable, "-m", "cli", "cluster", "check", "--manager", url, *options]
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == shown.returncode, told.stderr + shown.stderr
    return told.returncode, json.loads(told.stdout), shown.stdout


def missing(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(finding["service"], finding["name"]) for finding in report["findings"] if not finding["ok"]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    process = LocalClusterProcess(tmp_path_factory.mktemp("check") / "state")
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def manager(
    cluster: LocalClusterProcess, redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a manager with controller and monitor; the monitor's submissions live in a missing namespace."""
    directory = tmp_path_factory.mktemp("services")
    ports = free_ports(len(SERVICES))
    urls = {f"{name}_url": f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=True)}
    with ExitStack() as stack:
        for name, port in zip(SERVICES, ports, strict=True):
            service = ServiceProcess(
                name,
                port,
                directory / f"{name}.log",
                "--api-only",
                redis_url=redis_server.url,
                kubeconfig=str(cluster.kubeconfig),
                namespace="nowhere" if name == "monitor" else "default",
                **urls,
            )
            service.start()
            stack.callback(service.stop)
        yield urls["manager_url"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def test_a_missing_namespace_is_told_until_it_is_there(manager: str, cluster: LocalClusterProcess) -> None:
    code, report, text = check(manager)
    assert (code, missing(report)) == (1, {("monitor", "namespace")})
    assert "kubectl create namespace nowhere" in text
    created = cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "nowhere"}})
    assert created["metadata"]["name"] == "nowhere"
    code, report, text = check(manager)
    assert (code, missing(report)) == (0, set())
    assert text.splitlines()[-1] == "nothing is missing"
    for service in SERVICES:
        looked_at = {finding["name"] for finding in report["findings"] if finding["service"] == service}
        assert {str(access) for access in NEEDS[service]} <= looked_at


def probes(cluster: LocalClusterProcess) -> list[str]:
    """What looks from a pod have left behind."""
    label = "labelSelector=asperathos.io%2Fcheck"
    kinds = ("/apis/batch/v1/namespaces/default/jobs", "/api/v1/namespaces/default/pods")
    return [item["metadata"]["name"] for kind in kinds for item in cluster.call("GET", f"{kind}?{label}")["items"]]


def test_a_pod_looks_whether_redis_and_the_manager_are_reached_and_goes(
    manager: str, cluster: LocalClusterProcess, redis_server: RedisProcess
) -> None:
    _, report, text = check(manager)
    found = {finding["name"]: finding for finding in report["findings"] if finding["service"] == "pods"}
    assert found["redis"] == {"service": "pods", "name": "redis", "ok": True, "message": redis_server.url[:-2]}
    assert found["manager"]["ok"]
    assert "pods        2 of 2 as they have to be" in text
    assert probes(cluster) == []
    _, report, text = check(manager, "--no-probe")
    assert not any(finding["service"] == "pods" for finding in report["findings"])
    assert "pods " not in text


def test_what_pods_do_not_reach_is_missing(
    cluster: LocalClusterProcess, redis_server: RedisProcess, tmp_path: Path, manager: str
) -> None:
    port, nobody = free_ports(2)
    service = ServiceProcess(
        "manager",
        port,
        tmp_path / "manager.log",
        "--api-only",
        redis_url=redis_server.url,
        worker_redis_url=f"redis://:hush@127.0.0.1:{nobody}/0",
        worker_manager_url=manager,
        kubeconfig=str(cluster.kubeconfig),
    )
    service.start()
    try:
        code, report, text = check(f"http://127.0.0.1:{port}")
    finally:
        service.stop()
    assert code == 1
    assert ("pods", "redis") in missing(report)
    assert ("pods", "manager") not in missing(report)
    assert f"! pods        redis: redis://127.0.0.1:{nobody} from a pod: " in text
    assert "ASPERATHOS_WORKER_REDIS_URL" in text
    assert "hush" not in text + json.dumps(report)
    assert probes(cluster) == []


def test_the_adapter_asks_the_cluster(cluster: LocalClusterProcess) -> None:
    real = KubernetesCluster(str(cluster.kubeconfig))
    assert real.has_namespace("default") and not real.has_namespace("absent")
    assert all(real.allowed("default" if access.namespaced else "", access) for access in NEEDS["manager"])


def test_a_cluster_that_is_gone(manager: str, cluster: LocalClusterProcess) -> None:
    cluster.stop()
    code, report, text = check(manager)
    assert code == 1
    assert missing(report) == {(service, "reachable") for service in SERVICES}
    assert text.splitlines()[-1] == "something is missing"
