"""Debian's kubectl against localcluster: what a user types must do what they expect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.local_cluster import LocalClusterProcess, job_object, python_container

Eventually = Callable[..., None]

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="NOT TESTED: kubectl is missing (Debian: apt install kubernetes-client)"
)
TALK = "import os, time; print('hello from', os.environ['JOB_COMPLETION_INDEX']); time.sleep(600)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    made = LocalClusterProcess(tmp_path_factory.mktemp("kubectl") / "state", ("--backoff-base", "0.2")).start()
    yield made
    assert made.stop() == 0


@pytest.fixture
def kubectl(cluster: LocalClusterProcess, tmp_path: Path) -> Callable[..., str]:
    """Run kubectl; fails on a non-zero exit unless ``fails`` is given."""

    def run(*words: str, stdin: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(tmp_path), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    return run


def test_a_deployments_life_by_kubectl(kubectl: Callable[..., str], eventually: Eventually) -> None:
    serve = "http.server.test(http.server.SimpleHTTPRequestHandler, port=8081, bind=os.environ['IP'])"
    container = python_container(
        f"import http.server, os; {serve}",
        ports=[{"name": "http", "containerPort": 8081}],
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    )
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    assert kubectl("apply", "-f", "-", stdin=json.dumps(deployment)) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=json.dumps(deployment)) == "deployment.apps/web unchanged\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl("expose", "deployment", "web", "--port=8080", "--target-port=http")
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    eventually(lambda: b"Directory listing" in fetched(f"http://{address}:8080/"))
    kubectl("scale", "deployment/web", "--replicas=2")
    kubectl("rollout", "restart", "deployment/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert kubectl("get", "deployment", "web").splitlines()[1].split()[:4] == ["web", "2/2", "2", "2"]
    assert len(kubectl("get", "replicasets", "-o", "name").split()) == 2
    assert "deployment.apps/web" in kubectl("get", "all")
    assert "ScalingReplicaSet" in kubectl("describe", "deployment", "web")
    kubectl("delete", "deployment,service", "web", "--cascade=foreground")
    eventually(lambda: kubectl("get", "deployments,replicasets,pods,services", "-l", "app=web", "-o", "name") == "")


def fetched(url: str) -> bytes:
    try:
        with urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_jobs_life_by_kubectl(kubectl: Callable[..., str], eventually: Eventually) -> None:
    manifest = json.dumps(job_object("demo", python_container(TALK), 2))
    assert kubectl("apply", "-f", "-", stdin=manifest) == "job.batch/demo created\n"
    assert kubectl("apply", "-f", "-", stdin=manifest) == "job.batch/demo unchanged\n"
    kubectl("wait", "pod", "-l", "job-name=demo", "--for=condition=Ready", "--timeout=20s")
    lines = kubectl("get", "pods", "-l", "job-name=demo").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [line.split()[1:3] for line in lines[1:]] == [["1/1", "Running"]] * 2
    assert "127." in kubectl("get", "pods", "-o", "wide") and "local-1" in kubectl("get", "pods", "-o", "wide")
    assert "Running     0/2" in kubectl("get", "job", "demo").replace("   0/2", "     0/2")
    logs = kubectl("logs", "-l", "job-name=demo", "--prefix")
    assert "hello from 0" in logs and "hello from 1" in logs
    described = kubectl("describe", "job", "demo")
    assert "Parallelism:" in described and "SuccessfulCreate" in described
    pod = kubectl("get", "pods", "-l", "job-name=demo", "-o", "jsonpath={.items[0].metadata.name}")
    described = kubectl("describe", "pod", pod)
    assert "ImageNotPulled" in described and "Controlled By:  Job/demo" in described
    kubectl("patch", "job", "demo", "-p", '{"spec":{"parallelism":3,"completions":3}}')
    eventually(lambda: len(kubectl("get", "pods", "-l", "job-name=demo", "-o", "name").split()) == 3)
    said = kubectl("patch", "job", "demo", "-p", '{"spec":{"completions":9}}', fails=True)
    assert "can only be modified in tandem with spec.parallelism" in said
    kubectl("label", "job", "demo", "team=blue")
    kubectl("annotate", "job", "demo", "note=x")
    assert kubectl("get", "jobs", "-l", "team=blue", "-o", "name") == "job.batch/demo\n"
    assert kubectl("get", "pods", "--field-selector", "status.phase=Running", "-o", "name").count("pod/") == 3
    assert "kind: Job" in kubectl("get", "job", "demo", "-o", "yaml")
    assert 'job.batch "demo" deleted' in kubectl("delete", "job", "demo")
    eventually(lambda: kubectl("get", "pods", "-o", "name") == "")
    assert 'jobs.batch "demo" not found' in kubectl("get", "job", "demo", fails=True)


def test_top_tells_what_pods_use(kubectl: Callable[..., str], eventually: Eventually) -> None:
    busy = job_object("busy", container=python_container("while True: pass"))
    kubectl("apply", "-f", "-", stdin=json.dumps(busy))
    eventually(lambda: "Running" in kubectl("get", "pods", "-l", "job-name=busy"))
    rows: list[list[str]] = []

    def told() -> bool:
        top = kubectl("top", "pods", "-l", "job-name=busy", "--no-headers", "--containers")
        rows[:] = [line.split() for line in top.splitlines()]
        return any(int(cpu.removesuffix("m")) > 0 for _, _, cpu, _ in rows)

    eventually(told, within=20, every=0.5)
    ((pod, container, _, memory),) = rows
    assert pod.startswith("busy-") and container == "main" and int(memory.removesuffix("Mi")) > 0
    kubectl("delete", "job", "busy")


def test_logs_that_follow_and_watches(kubectl: Callable[..., str], eventually: Eventually) -> None:
    code = "import time\nfor i in range(4): print('line', i); time.sleep(0.1)"
    kubectl("apply", "-f", "-", stdin=json.dumps(job_object("brief", python_container(code), 1)))
    kubectl("wait", "job", "brief", "--for=condition=Complete", "--timeout=20s")
    assert kubectl("logs", "-f", "job/brief") == "line 0\nline 1\nline 2\nline 3\n"
    assert kubectl("logs", "job/brief", "--tail", "1") == "line 3\n"
    assert kubectl("logs", "job/brief", "--since", "1h") == "line 0\nline 1\nline 2\nline 3\n"
    assert kubectl("logs", "job/brief", "--timestamps").count("Z line") == 4
    kubectl("delete", "job", "brief", "--cascade=foreground")
    assert kubectl("get", "pods", "-l", "job-name=brief", "-o", "name") == ""


def test_kubectl_get_watch_streams(cluster: LocalClusterProcess, kubectl: Callable[..., str], tmp_path: Path) -> None:
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(tmp_path), "get", "cm", "-w"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(tmp_path)})
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(config_map("seen", a="b")))
        assert watching.stdout is not None
        assert watching.stdout.readline().split() == ["NAME", "DATA", "AGE"]
        assert watching.stdout.readline().split()[:2] == ["seen", "1"]
    finally:
        watching.terminate()
        watching.wait(10)
        if watching.stdout is not None:
            watching.stdout.close()


def test_cluster_information_and_smaller_commands(kubectl: Callable[..., str]) -> None:
    assert "is running at https://127.0.0.1" in kubectl("cluster-info")
    assert "local-1" in kubectl("get", "nodes")
    assert "cpu" in kubectl("describe", "node", "local-1")
    assert "jobs" in kubectl("api-resources")
    kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    kubectl("apply", "-n", "other", "-f", "-", stdin=json.dumps(secret))
    assert "Opaque" in kubectl("get", "secrets", "-n", "other")
    kubectl("apply", "-n", "other", "-f", "-", stdin=json.dumps(job_object("plain", python_container("1"), 1)))
    kubectl("wait", "-n", "other", "job/plain", "--for=condition=Complete", "--timeout=20s")
    assert "Completed" in kubectl("get", "events", "-n", "other")
    kubectl("run", "typed", "-n", "other", "--image=busybox", "--restart=Never", "--", "sleep", "600")
    kubectl("wait", "-n", "other", "pod/typed", "--for=condition=Ready", "--timeout=20s")
    kubectl("delete", "pod", "typed", "-n", "other", "--now")
    kubectl("cordon", "local-1")
    assert "SchedulingDisabled" in kubectl("get", "nodes")
    kubectl("uncordon", "local-1")
    kubectl("delete", "namespace", "other", "--timeout=20s")
    assert "other" not in kubectl("get", "ns", "-o", "name")


def test_faults_reach_the_user(kubectl: Callable[..., str]) -> None:
    bad = job_object("Bad_Name", python_container("1"), 1)
    said = kubectl("create", "-f", "-", stdin=json.dumps(bad), fails=True)
    assert 'The Job "Bad_Name" is invalid' in said and "metadata.name: Invalid value" in said
    manifest = json.dumps(job_object("server-dry", python_container("1"), 1))
    assert "created (server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    assert "NotFound" in kubectl("get", "job", "server-dry", fails=True)
    assert "the server doesn't have a resource type" in kubectl("get", "statefulsets", fails=True)
    token = ["--token", "wrong"]
    assert "Unauthorized" in kubectl("get", "pods", *token, fails=True) or "logged in" in kubectl(
        "get", "pods", *token, fails=True
    )
