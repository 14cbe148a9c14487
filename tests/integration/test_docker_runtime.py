"""What only containers have, on a real Docker engine: ``make test-docker`` (root; not part of ``make test``)."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_engine import BASE, EngineProcess
from tests.support.local_cluster import LocalClusterProcess, job_object, pod_object, python_container

Eventually = Callable[..., None]
JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
CORE = "/api/v1/namespaces/default"
NETWORK = "test-jobs"
IMAGE = "with-entrypoint:1"
DOCKERFILE = f"""FROM {BASE}
RUN mkdir /app && printf '#!/bin/sh\\necho "entry $*"; id -u; pwd\\n' > /app/entry && chmod 755 /app/entry
USER 4242
WORKDIR /app
ENTRYPOINT ["/app/entry"]
CMD ["from", "image"]
"""
WAITS = "trap 'echo bye; exit 143' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def engine(docker_engine: EngineProcess) -> EngineProcess:
    """The engine with a network and an image of this file's own."""
    ranges = ("--subnet", "172.30.64.0/22", "--ip-range", "172.30.64.0/24")
    docker_engine.docker("network", "create", *ranges, NETWORK)
    docker_engine.docker("build", "-t", IMAGE, "-", input=DOCKERFILE)
    docker_engine.docker("tag", BASE, "python:3.12")
    return docker_engine


@pytest.fixture
def cluster(engine: EngineProcess, tmp_path: Path) -> Iterator[LocalClusterProcess]:
    """A cluster whose pods are on the network."""
    flags = ("--runtime", "docker", "--docker-host", engine.host, "--docker-network", NETWORK)
    made = LocalClusterProcess(tmp_path / "state", (*flags, "--backoff-base", "0.3", "--shutdown-grace", "2")).start()
    yield made
    assert made.stop() == 0
    assert engine.docker("ps", "-a", "-q").stdout == ""
    assert engine.docker("volume", "ls", "-q").stdout == ""


def shell(script: str, **fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": "python:3.12", "command": ["sh", "-c", script], **fields}


def run(cluster: LocalClusterProcess, eventually: Eventually, name: str, container: dict[str, Any], **spec: Any) -> str:
    """The log of a pod that runs to its end."""
    cluster.call("POST", PODS, pod_object(name, container, **spec))
    eventually(lambda: cluster.pod(name)["status"]["phase"] in ("Succeeded", "Failed"), within=30)
    assert cluster.pod(name)["status"]["phase"] == "Succeeded", cluster.text(f"{PODS}/{name}/log")
    return cluster.text(f"{PODS}/{name}/log")


def state(cluster: LocalClusterProcess, name: str) -> dict[str, Any]:
    statuses = cluster.pod(name)["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0].get("state") or {}
    return found


def containers(engine: EngineProcess) -> list[dict[str, Any]]:
    found = engine.docker("ps", "-a", "-q").stdout.split()
    inspected: list[dict[str, Any]] = json.loads(engine.docker("inspect", *found, check=False).stdout or "[]")
    return inspected


def test_the_image_says_what_the_pod_does_not(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    assert run(cluster, eventually, "a", {"name": "main", "image": IMAGE}) == "entry from image\n4242\n/app\n"
    given = {"name": "main", "image": IMAGE, "args": ["$(WHO)"], "env": [{"name": "WHO", "value": "me"}]}
    security = {"runAsUser": 7, "runAsGroup": 8}
    assert (
        run(cluster, eventually, "b", {**given, "workingDir": "/tmp"}, securityContext=security)
        == "entry me\n7\n/tmp\n"
    )


def test_volumes_can_be_used_by_whoever_the_pod_runs_as(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", f"{CORE}/secrets", {"metadata": {"name": "s"}, "stringData": {"key": "hidden"}})
    binary = base64.b64encode(b"PK\0\xff").decode()
    cluster.call(
        "POST", f"{CORE}/configmaps", {"metadata": {"name": "c"}, "data": {"t": "x"}, "binaryData": {"b": binary}}
    )
    volumes = [
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 256}},
        {"name": "c", "configMap": {"name": "c", "items": [{"key": "b", "path": "deep/b"}]}},
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    mounts = [{"name": name, "mountPath": f"/mnt/{name}"} for name in "scem"]
    script = (
        "cat /mnt/s/key; echo; base64 /mnt/c/deep/b; echo kept > /mnt/e/x; cat /mnt/e/x; "
        "echo ram > /mnt/m/x; cat /mnt/m/x; "
        "df --output=fstype,size /mnt/m | tail -1; touch /mnt/c/new 2>/dev/null || echo read-only; id -u; id -G"
    )
    security = {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": True, "fsGroup": 70000}
    container = shell(
        script,
        volumeMounts=mounts,
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )
    log = run(cluster, eventually, "v", container, volumes=volumes, securityContext=security).splitlines()
    assert log[:4] == ["hidden", binary, "kept", "ram"]
    assert log[4].split() == ["tmpfs", "1024"]
    assert log[5:] == ["read-only", "65532", "65532 70000"]


def test_a_pod_has_its_address_and_its_names(
    cluster: LocalClusterProcess, engine: EngineProcess, eventually: Eventually
) -> None:
    serve = "import os, socket; s = socket.create_server((os.environ['IP'], 6379)); print('up'); s.accept()"
    ip = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    for name in ("one", "two"):
        cluster.call("POST", PODS, pod_object(name, python_container(serve, env=ip), hostname=name, subdomain="team"))
    for name in ("one", "two"):
        eventually(lambda name=name: cluster.pod(name)["status"]["phase"] == "Running")
        eventually(lambda name=name: cluster.text(f"{PODS}/{name}/log") == "up\n")
    addresses = {cluster.pod(name)["status"]["podIP"] for name in ("one", "two")}
    assert len(addresses) == 2 and all(address.startswith("172.30.") for address in addresses)
    assert not any(address.startswith("172.30.64.") for address in addresses), "those are the engine's to hand out"
    ask = "import socket, sys\nfor name in sys.argv[1:]: socket.create_connection((name, 6379), 5); print('reached')"
    names = ["one", cluster.pod("two")["status"]["podIP"]]
    assert run(cluster, eventually, "asks", python_container(ask, args=names)) == "reached\nreached\n"
    for name in ("one", "two"):
        eventually(lambda name=name: cluster.pod(name)["status"]["phase"] == "Succeeded")


def test_a_container_that_is_restarted_keeps_its_address_and_its_files(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    script = "hostname -i; n=$(cat /d/n 2>/dev/null || echo 0); echo $((n+1)) > /d/n; echo run $n; [ $n -ge 1 ]"
    mount = [{"name": "d", "mountPath": "/d"}]
    pod = pod_object(
        "again", shell(script, volumeMounts=mount), restartPolicy="OnFailure", volumes=[{"name": "d", "emptyDir": {}}]
    )
    cluster.call("POST", PODS, pod)
    eventually(lambda: cluster.pod("again")["status"]["phase"] == "Succeeded", within=20)
    address = cluster.pod("again")["status"]["podIP"]
    assert cluster.text(f"{PODS}/again/log?previous=true") == f"{address}\nrun 0\n"
    assert cluster.text(f"{PODS}/again/log") == f"{address}\nrun 1\n"


def test_limits_hold(cluster: LocalClusterProcess, engine: EngineProcess, eventually: Eventually) -> None:
    eats = "a = []\nwhile True: a.append(bytearray(1 << 20))"
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1500m", "memory": "48Mi"}}
    cluster.call("POST", PODS, pod_object("eats", python_container(eats, resources=resources)))
    eventually(lambda: "terminated" in state(cluster, "eats"), within=30)
    ended = state(cluster, "eats")["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    cluster.call("POST", PODS, pod_object("waits", shell(WAITS, resources=resources)))
    eventually(lambda: cluster.pod("waits")["status"]["phase"] == "Running")
    (container,) = containers(engine)
    host = container["HostConfig"]
    assert (host["CpuQuota"] / host["CpuPeriod"], host["CpuShares"], host["Memory"]) == (1.5, 102, 48 * 2**20)


def test_term_then_kill(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    for name, script in (("polite", WAITS), ("deaf", deaf)):
        pod = pod_object(name, shell(script), terminationGracePeriodSeconds=2)
        pod["metadata"]["finalizers"] = ["example.com/hold"]
        cluster.call("POST", PODS, pod)
    for name in ("polite", "deaf"):
        eventually(lambda name=name: cluster.pod(name)["status"]["phase"] == "Running")
        eventually(lambda name=name: cluster.text(f"{PODS}/{name}/log") == "up\n")
    began = time.monotonic()
    for name in ("polite", "deaf"):
        cluster.call("DELETE", f"{PODS}/{name}")
    eventually(lambda: "terminated" in state(cluster, "polite"))
    assert state(cluster, "polite")["terminated"]["exitCode"] == 143
    assert cluster.text(f"{PODS}/polite/log") == "up\nbye\n"
    eventually(lambda: "terminated" in state(cluster, "deaf"))
    assert state(cluster, "deaf")["terminated"]["exitCode"] == 137
    assert time.monotonic() - began >= 1.9
    for name in ("polite", "deaf"):
        merge = "application/merge-patch+json"
        cluster.call("PATCH", f"{PODS}/{name}", {"metadata": {"finalizers": None}}, merge)


def test_images_that_cannot_be_had_are_told_as_a_kubelet_tells_them(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    def waiting(name: str) -> str:
        return str((state(cluster, name).get("waiting") or {}).get("reason"))

    image = "registry.invalid/team/none:1"
    cluster.call("POST", PODS, pod_object("none", {"name": "main", "image": image, "command": ["x"]}))
    cluster.call("POST", PODS, pod_object("never", {"name": "main", "image": image, "imagePullPolicy": "Never"}))
    cluster.call("POST", PODS, pod_object("wrong", {"name": "main", "image": "No/Such:1"}))
    eventually(lambda: waiting("none") == "ErrImagePull")
    eventually(lambda: waiting("never") == "ErrImageNeverPull")
    eventually(lambda: waiting("wrong") == "InvalidImageName")
    eventually(lambda: waiting("none") == "ImagePullBackOff")
    assert cluster.pod("none")["status"]["phase"] == "Pending"
    events = cluster.events("none")
    assert {"Pulling", "Failed", "BackOff"} <= {reason for reason, _ in events}
    messages = {message for _, message in events}
    assert {"Error: ErrImagePull", "Error: ImagePullBackOff", f'Back-off pulling image "{image}"'} <= messages
    assert any(message.startswith(f'Failed to pull image "{image}": ') for message in messages)
    for name in ("none", "never", "wrong"):
        cluster.call("DELETE", f"{PODS}/{name}")
        eventually(lambda name=name: cluster.pod(name).get("reason") == "NotFound")


def test_what_is_refused_says_so(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", PODS, pod_object("root", shell("true"), securityContext={"runAsNonRoot": True}))
    eventually(lambda: (state(cluster, "root").get("waiting") or {}).get("reason") == "CreateContainerConfigError")
    two = [shell("true"), {**shell("true"), "name": "side"}]
    cluster.call("POST", PODS, pod_object("two", two[0], containers=two))
    eventually(lambda: "--docker-network host" in str((state(cluster, "two").get("waiting") or {}).get("message")))


def test_containers_of_a_pod_share_an_address_on_the_hosts_network(
    engine: EngineProcess, tmp_path: Path, eventually: Eventually
) -> None:
    flags = ("--runtime", "docker", "--docker-host", engine.host)
    cluster = LocalClusterProcess(tmp_path / "host", flags).start()
    ip = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    serves = "import os, socket; s = socket.create_server((os.environ['IP'], 7000)); s.accept()[0].sendall(b'hello')"
    asks = (
        "import os, socket, time\n"
        "for _ in range(100):\n"
        "    try: print(socket.create_connection((os.environ['IP'], 7000)).recv(9).decode()); break\n"
        "    except OSError: time.sleep(0.1)\n"
    )
    try:
        both = [python_container(serves, env=ip), {**python_container(asks, env=ip), "name": "asks"}]
        cluster.call("POST", PODS, pod_object("two", both[0], containers=both))
        eventually(lambda: cluster.pod("two")["status"]["phase"] == "Succeeded", within=20)
        assert cluster.text(f"{PODS}/two/log?container=asks") == "hello\n"
    finally:
        assert cluster.stop() == 0


def test_kill_9_of_the_server_loses_no_job_and_leaves_no_container(
    cluster: LocalClusterProcess, engine: EngineProcess, eventually: Eventually
) -> None:
    mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    job = job_object("kept", shell(WAITS, **mount), 2)
    job["spec"]["template"]["spec"]["volumes"] = [{"name": "d", "emptyDir": {}}]
    cluster.call("POST", JOBS, job)
    eventually(lambda: cluster.job("kept")["status"].get("ready") == 2, within=20)
    old = {container["Id"] for container in containers(engine)}
    assert len(old) == 2
    cluster.kill()
    cluster.start()
    assert not old & {container["Id"] for container in containers(engine)}, "gone before anything new is started"
    lost = [pod for pod in cluster.pods("job-name=kept") if pod["status"]["phase"] == "Failed"]
    assert {pod["status"]["reason"] for pod in lost} == {"NodeLost"}
    eventually(lambda: cluster.job("kept")["status"].get("ready") == 2, within=20)
    assert cluster.job("kept")["status"].get("failed") is None
    cluster.call("DELETE", f"{JOBS}/kept?propagationPolicy=Background")
    eventually(lambda: not containers(engine) and not engine.docker("volume", "ls", "-q").stdout, within=20)


def test_a_container_that_somebody_removes_is_replaced(
    cluster: LocalClusterProcess, engine: EngineProcess, eventually: Eventually
) -> None:
    cluster.call("POST", JOBS, job_object("kept", shell(WAITS), 1))
    eventually(lambda: cluster.job("kept")["status"].get("ready") == 1)
    (old,) = containers(engine)
    engine.docker("rm", "-f", old["Id"])
    eventually(lambda: [each["Id"] for each in containers(engine) if each["Id"] != old["Id"]], within=20)
    eventually(lambda: cluster.job("kept")["status"].get("ready") == 1)


def test_an_engine_that_is_killed_ends_its_pods_and_the_cluster_goes_on(
    cluster: LocalClusterProcess, engine: EngineProcess, eventually: Eventually
) -> None:
    cluster.call("POST", JOBS, job_object("kept", shell(WAITS), 1))
    eventually(lambda: cluster.job("kept")["status"].get("ready") == 1)
    first = cluster.pods("job-name=kept")[0]["metadata"]["uid"]
    os.kill(engine.daemon_pid(), signal.SIGTERM)
    engine.wait()
    assert cluster.text("/readyz") == "ok"
    engine.launch()

    def replaced() -> bool:
        pods = cluster.pods("job-name=kept")
        return any(pod["status"]["phase"] == "Running" and pod["metadata"]["uid"] != first for pod in pods)

    eventually(replaced, within=40)


@pytest.mark.parametrize("host", ["unix:///no/such.sock", "tcp://127.0.0.1:1"])
def test_no_engine_is_said_with_the_remedy(tmp_path: Path, host: str) -> None:
    cluster = LocalClusterProcess(tmp_path / "state", ("--runtime", "docker", "--docker-host", host))
    with pytest.raises(AssertionError, match=f"no Docker engine answers at {host}: start one, or name its socket"):
        cluster.start()
    assert cluster.process is not None and cluster.process.wait(10) == 2


def test_no_network_is_said_with_the_remedy(engine: EngineProcess, tmp_path: Path) -> None:
    flags = ("--runtime", "docker", "--docker-host", engine.host, "--docker-network", "none-such")
    with pytest.raises(AssertionError, match=r"docker network create --subnet .* none-such"):
        LocalClusterProcess(tmp_path / "state", flags).start()
