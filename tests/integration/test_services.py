"""Services of localcluster: connections by their addresses reach the pods behind, whatever becomes of single pods."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.local_cluster import LocalClusterProcess, python_container

Eventually = Callable[..., None]
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
MERGE = "application/merge-patch+json"
ECHO = """
import os, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(os.environ["HOSTNAME"].encode() + b"\\n")
        while data := self.request.recv(65536):
            self.wfile.write(data)
        self.wfile.write(b"end")
socketserver.ThreadingTCPServer.daemon_threads = True
socketserver.ThreadingTCPServer((os.environ["IP"], 7000), Handler).serve_forever()
"""
"""Says its name, repeats what it hears, and when the other side has said all, says so itself."""


@pytest.fixture
def cluster(tmp_path: Any) -> Iterator[LocalClusterProcess]:
    made = LocalClusterProcess(tmp_path / "state", ("--backoff-base", "0.2", "--shutdown-grace", "1")).start()
    yield made
    made.stop()


def make(cluster: LocalClusterProcess, replicas: int) -> tuple[str, int]:
    """An echo service; its address."""
    container = python_container(ECHO, env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}])
    labels = {"app": "echo"}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    made = cluster.call("POST", DEPLOYMENTS, {"metadata": {"name": "e"}, "spec": spec})
    assert made["kind"] == "Deployment", made
    service = {"metadata": {"name": "e"}, "spec": {"selector": labels, "ports": [{"port": 7070, "targetPort": 7000}]}}
    return str(cluster.call("POST", SERVICES, service)["spec"]["clusterIP"]), 7070


def ask(address: tuple[str, int]) -> str:
    """The name of the pod behind, '' when the connection is refused or cut off."""
    with suppress(OSError), socket.create_connection(address, 5) as connection, connection.makefile("r") as reader:
        return reader.readline().strip()
    return ""


def ready(cluster: LocalClusterProcess) -> set[str]:
    """The pods that are ready."""
    return {
        pod["metadata"]["name"]
        for pod in cluster.pods("app=echo")
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "Ready" and condition["status"] == "True"
        if "deletionTimestamp" not in pod["metadata"]
    }


def test_connections_are_spread_over_the_ready_pods(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    address = make(cluster, 2)
    eventually(lambda: len(ready(cluster)) == 2 and {ask(address) for _ in range(4)} == ready(cluster))
    gone = min(ready(cluster))
    cluster.call("DELETE", f"/api/v1/namespaces/default/pods/{gone}")
    eventually(lambda: gone not in ready(cluster) and len(ready(cluster)) == 2)
    eventually(lambda: {ask(address) for _ in range(4)} == ready(cluster))


def test_nobody_ready_is_a_refusal_and_a_connection_outlives_its_service(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    address = make(cluster, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)
    cluster.call("PATCH", f"{DEPLOYMENTS}/e", {"spec": {"replicas": 1}}, MERGE)
    eventually(lambda: ask(address))
    with socket.create_connection(address, 5) as held, held.makefile("r") as reader:
        assert reader.readline()
        cluster.call("DELETE", f"{SERVICES}/e")
        eventually(lambda: not ask(address))
        held.sendall(b"still here\n")
        assert reader.readline() == "still here\n"


def test_bytes_arrive_whole_and_one_side_may_end_before_the_other(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    address = make(cluster, 1)
    eventually(lambda: ask(address))
    sent = bytes(range(256)) * 40_000
    with socket.create_connection(address, 20) as connection:

        def send() -> None:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        with connection.makefile("rb") as reader:
            reader.readline()
            assert reader.read() == sent + b"end"
        thread.join(10)


def test_a_killed_server_comes_back_with_the_same_address(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    address = make(cluster, 1)
    eventually(lambda: ask(address))
    before = ask(address)
    cluster.kill()
    assert ask(address) == ""
    cluster.start()
    eventually(lambda: ask(address) not in ("", before), within=30)


def test_an_address_that_somebody_else_holds_is_served_when_it_is_free(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    address = make(cluster, 0)
    with socket.create_server(address):
        cluster.call("PATCH", f"{DEPLOYMENTS}/e", {"spec": {"replicas": 1}}, MERGE)
        eventually(lambda: "service_not_served" in cluster.log_path.read_text())
    eventually(lambda: ask(address), within=20)
