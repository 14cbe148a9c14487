"""Two embedded clusters at once, with manager, monitor and controller as they are built."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from common.adapters.kubernetes_cluster import KubernetesCluster
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

Eventually = Callable[..., None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class World:
    """Three services as processes; the default cluster is west, and east can be added."""

    def __init__(
        self, directory: Path, redis: RedisProcess, west: LocalClusterProcess, east: LocalClusterProcess
    ) -> None:
        self.directory, self.redis, self.west, self.east = directory, redis, west, east
        self.heard: list[str] = []
        names = ("manager", "monitor", "controller")
        ports = {name: free_port() for name in names}
        urls = {f"{name}_url": f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.services = [
            ServiceProcess(
                name,
                ports[name],
                directory / f"{name}.log",
                redis_url=redis.url,
                kubeconfig=str(west.kubeconfig),
                service_token="token-of-the-services",
                log_level="debug",
                **urls,
                **({"visualizer_url": "http://127.0.0.1:1"} if name == "manager" else {}),
            )
            for name in names
        ]
        self.url = urls["manager_url"]

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        answer = requests.request(method, f"{self.url}/submissions{path}", json=body, timeout=20)
        self.heard.append(answer.text)
        return answer

    def submit(self, **document: Any) -> str:
        answer = self.call("POST", "", document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def status(self, id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/{id}").json())

    def pods(self, cluster: LocalClusterProcess, id: str) -> int:
        with closing(KubernetesCluster(str(cluster.kubeconfig))) as seen:
            return len(seen.view("default", id).workers())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("clusters")
    flags = ("--backoff-base", "0.3", "--shutdown-grace", "1")
    with ExitStack() as running:
        redis = RedisProcess(tmp_path_factory.mktemp("redis"))
        redis.start()
        running.callback(redis.stop)
        clusters = [LocalClusterProcess(directory / name, flags) for name in ("west", "east")]
        for cluster in clusters:
            running.callback(cluster.stop)
            cluster.start()
        made = World(directory, redis, *clusters)
        for service in reversed(made.services):
            running.callback(service.stop)
            service.start()
        yield made


def test_two_submissions_run_on_two_clusters_at_once(world: World, eventually: Eventually) -> None:
    given = world.east.kubeconfig.read_text()
    answer = world.call("POST", "/cluster", {"cluster_name": "east", "cluster_config": given})
    assert answer.status_code == 202
    assert answer.json()["reachable"] is True
    assert answer.json()["warnings"] == []
    assert world.call("PUT", "/cluster/east/activate").status_code == 200

    control = {"law": "scripted", "interval": 0.5, "settings": {"steps": [[0, 2]]}}
    document: dict[str, Any] = {
        "run": "sh -c 'sleep 0.2; echo {item}'",
        "workload": [str(n) for n in range(40)],
        "replicas": {"min": 1, "max": 2, "initial": 1},
        "control": control,
        "monitoring": {"interval": 0.5},
        "grace_period": 1,
    }
    east = world.submit(**document)
    west = world.submit(**document, cluster="default")
    assert world.call("PUT", "/cluster/default/activate").status_code == 200
    assert (world.status(east)["cluster"], world.status(west)["cluster"]) == ("east", "default")

    # Both at once, each scaled up by the controller in its own cluster, each seen by the monitor.
    eventually(lambda: world.pods(world.east, east) == 2 and world.pods(world.west, west) == 2, within=60)
    eventually(lambda: world.status(east)["replicas"]["observed"] == 2, within=30)
    assert (world.pods(world.west, east), world.pods(world.east, west)) == (0, 0)

    assert world.call("DELETE", "/cluster/east").status_code == 409
    assert east in world.heard[-1]

    for id in (east, west):
        eventually(lambda id=id: world.status(id)["status"] == "completed", within=90)
        results = world.call("GET", f"/{id}/results").json()["results"]
        assert Counter(result["result"] for result in results) == Counter(document["workload"])
        assert world.call("GET", f"/{id}/log").json()["pods"]
        world.call("GET", f"/{id}/events")
    eventually(lambda: world.call("DELETE", "/cluster/east").status_code == 204, within=20)
    assert world.pods(world.east, east) == 0
    assert world.call("POST", "", {**document, "cluster": "east"}).status_code == 400


def test_secrets_are_never_shown(world: World) -> None:
    given = world.east.kubeconfig.read_text()
    document = json.loads(given)
    secrets = [world.east.token, document["clusters"][0]["cluster"]["certificate-authority-data"][:60]]
    bodies = (
        given,
        given[:-20],
        given + ": :",
        given.replace("https://", "ftp://"),
        json.dumps({**document, "users": [{"name": document["users"][0]["name"], "user": {"exec": secrets[0]}}]}),
    )
    for place, body in enumerate(bodies):
        world.call("POST", "/cluster", {"cluster_name": f"c{place}", "cluster_config": body})
        certificate = {"certificate_name": "ca.crt", "certificate_content": secrets[0]}
        world.call("POST", f"/cluster/c{place}/certificate", certificate)
        world.call("POST", f"/cluster/c{place}/certificate", {**certificate, "certificate_name": "../x"})
    for path in ("/cluster", "/cluster/activate"):
        world.call("GET", path)
    with world.redis.client() as client:
        kept = [str(client.hgetall(key)) for key in client.scan_iter("asp:rec:cluster*")]
    assert any("c0" in record for record in kept)
    logs = [service.log.read_text() for service in world.services]
    for secret in secrets:
        for seen in (*world.heard, *kept, *logs):
            assert secret not in seen
    assert world.call("DELETE", "/cluster/c0").status_code == 204


def test_the_command_line_adds_and_removes(world: World) -> None:
    def asperathos(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "cli", "cluster", *arguments, "--manager", world.url]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    added = asperathos("add", "cli", str(world.east.kubeconfig))
    assert added.returncode == 0, added.stderr
    assert "cli added: Kubernetes v" in added.stdout
    assert asperathos("activate", "cli").stdout == "cli is active\n"
    listed = json.loads(asperathos("list", "--json").stdout)
    assert listed["cli"]["active"] is True
    assert "cli" in asperathos("list").stdout
    assert asperathos("remove", "cli").stdout == "cli removed\n"
    unknown = asperathos("remove", "cli")
    assert unknown.returncode != 0
    assert "no cluster named" in unknown.stderr
    for done in (added, unknown):
        assert world.east.token not in done.stdout + done.stderr
