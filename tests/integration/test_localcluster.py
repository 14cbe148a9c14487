"""localcluster with real processes and, where an engine is, real containers: Jobs, pods, logs, faults."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_engine import BASE, EngineProcess
from tests.support.local_cluster import LocalClusterProcess, job_object, pod_object, python_container

Eventually = Callable[..., None]

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
SLEEP = "import time; time.sleep(600)"
EXIT_143_ON_TERM = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('up'); time.sleep(600)"
EXIT_0_ON_TERM = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('up'); time.sleep(600)"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    """One cluster for the tests of this file that break nothing; its pods are processes."""
    made = LocalClusterProcess(tmp_path_factory.mktemp("lc") / "state", ("--backoff-base", "0.2")).start()
    yield made
    assert made.stop() == 0
    assert made.marked_processes() == []


@pytest.fixture(scope="module")
def containers(docker_engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    """The same with containers."""
    for image in ("python:3.12", "busybox:1.36"):
        docker_engine.docker("tag", BASE, image)
    flags = ("--backoff-base", "0.2", "--runtime", "docker", "--docker-host", docker_engine.host)
    made = LocalClusterProcess(tmp_path_factory.mktemp("lc") / "state", flags).start()
    yield made
    assert made.stop() == 0
    assert docker_engine.docker("ps", "-a", "-q").stdout == ""


@pytest.fixture(params=["processes", "containers"])
def cluster(request: pytest.FixtureRequest) -> LocalClusterProcess:
    """Both, one after the other."""
    found: LocalClusterProcess = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[LocalClusterProcess]:
    """A cluster that may be killed."""
    made = LocalClusterProcess(tmp_path / "state", ("--backoff-base", "0.2", "--shutdown-grace", "1")).start()
    yield made
    made.stop()
    assert made.marked_processes() == []


def running(cluster: LocalClusterProcess, selector: str) -> list[dict[str, Any]]:
    return [
        pod
        for pod in cluster.pods(selector)
        if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
    ]


def indexes(pods: list[dict[str, Any]]) -> list[str]:
    return sorted(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in pods)


def exit_code(cluster: LocalClusterProcess, name: str) -> int | None:
    statuses = cluster.pod(name)["status"].get("containerStatuses") or [{}]
    ended = statuses[0].get("state", {}).get("terminated")
    return None if ended is None else int(ended["exitCode"])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_elastic_job_from_start_to_completion(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    code = "import os, time; print('index', os.environ['JOB_COMPLETION_INDEX']); time.sleep(600)"
    cluster.call("POST", JOBS, job_object("elastic", python_container(code), 2))
    eventually(lambda: len(running(cluster, "job-name=elastic")) == 2)
    name = running(cluster, "job-name=elastic")[1]["metadata"]["name"]
    assert name.startswith("elastic-1-") and len(name) == len("elastic-1-") + 5
    eventually(lambda: cluster.text(f"{PODS}/{name}/log") == "index 1\n")
    cluster.call("PATCH", f"{JOBS}/elastic", {"spec": {"parallelism": 4, "completions": 4}}, MERGE)
    eventually(lambda: len(running(cluster, "job-name=elastic")) == 4)
    cluster.call("PATCH", f"{JOBS}/elastic", {"spec": {"parallelism": 1, "completions": 1}}, MERGE)
    eventually(lambda: indexes(cluster.pods("job-name=elastic")) == ["0"])
    status = cluster.job("elastic")["status"]
    assert (status.get("failed"), status.get("succeeded"), status["active"]) == (None, None, 1)
    cluster.call("PATCH", f"{JOBS}/elastic", {"spec": {"suspend": True}}, MERGE)
    eventually(lambda: cluster.pods("job-name=elastic") == [])
    cluster.call("PATCH", f"{JOBS}/elastic", {"spec": {"suspend": False}}, MERGE)
    eventually(lambda: len(running(cluster, "job-name=elastic")) == 1)
    answer = cluster.call("DELETE", f"{JOBS}/elastic", {"propagationPolicy": "Background"})
    assert answer["status"] == "Success"
    eventually(lambda: cluster.pods("job-name=elastic") == [])


def test_a_job_completes_and_keeps_its_logs(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", JOBS, job_object("quick", python_container("print('done')"), 3))
    eventually(lambda: cluster.job("quick")["status"].get("completionTime"))
    job = cluster.job("quick")
    assert job["status"]["completedIndexes"] == "0-2"
    assert {item["type"] for item in job["status"]["conditions"]} == {"SuccessCriteriaMet", "Complete"}
    for pod in cluster.pods("job-name=quick"):
        assert not pod["metadata"].get("finalizers")
        assert cluster.text(f"{PODS}/{pod['metadata']['name']}/log") == "done\n"
    reasons = [reason for reason, _ in cluster.events("quick")]
    assert reasons.count("SuccessfulCreate") == 3 and "Completed" in reasons


def test_a_pod_deleted_while_it_exits_0_is_its_indexs_success(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    cluster.call("POST", JOBS, job_object("polite", python_container(EXIT_0_ON_TERM), 2))
    eventually(lambda: len(running(cluster, "job-name=polite")) == 2)
    first = running(cluster, "job-name=polite")[0]["metadata"]["name"]
    eventually(lambda: cluster.text(f"{PODS}/{first}/log") == "up\n")
    cluster.call("DELETE", f"{PODS}/{first}")
    eventually(lambda: cluster.job("polite")["status"].get("completedIndexes") == "0")
    assert indexes(cluster.pods("job-name=polite")) == ["1"]
    cluster.call("DELETE", f"{JOBS}/polite?propagationPolicy=Foreground")
    eventually(lambda: cluster.job("polite").get("reason") == "NotFound" and not cluster.pods("job-name=polite"))


def test_deleted_pods_come_back_and_count_as_no_failure(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    def listening() -> list[dict[str, Any]]:
        pods = running(cluster, "job-name=stubborn")
        return [pod for pod in pods if cluster.text(f"{PODS}/{pod['metadata']['name']}/log") == "up\n"]

    cluster.call("POST", JOBS, job_object("stubborn", python_container(EXIT_143_ON_TERM), 2))
    for _ in range(2):
        eventually(lambda: len(listening()) == 2)
        old = {pod["metadata"]["uid"] for pod in running(cluster, "job-name=stubborn")}
        for pod in running(cluster, "job-name=stubborn"):
            cluster.call("DELETE", f"{PODS}/{pod['metadata']['name']}")
        eventually(
            lambda old=old: (
                len([p for p in running(cluster, "job-name=stubborn") if p["metadata"]["uid"] not in old]) == 2
            )
        )
    assert cluster.job("stubborn")["status"].get("failed") is None
    annotations = running(cluster, "job-name=stubborn")[0]["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/job-index-ignored-failure-count"] == "2"
    cluster.call("DELETE", f"{JOBS}/stubborn?propagationPolicy=Background")


def test_a_worker_that_ignores_sigterm_is_killed_after_its_grace(
    cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    container = python_container(code)
    pod = pod_object("deaf", container, terminationGracePeriodSeconds=1)
    pod["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.call("POST", PODS, pod)
    eventually(lambda: cluster.pod("deaf")["status"]["phase"] == "Running" and cluster.text(f"{PODS}/deaf/log"))
    started = time.monotonic()
    cluster.call("DELETE", f"{PODS}/deaf")
    eventually(lambda: exit_code(cluster, "deaf") == 137)
    assert time.monotonic() - started >= 0.9
    cluster.call("PATCH", f"{PODS}/deaf", {"metadata": {"finalizers": None}}, MERGE)
    eventually(lambda: cluster.pod("deaf").get("reason") == "NotFound")


def test_children_that_set_themselves_apart_go_with_their_pod(
    processes: LocalClusterProcess, eventually: Eventually
) -> None:
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "bare = subprocess.Popen(['sleep', '600'], start_new_session=True, env={})\n"
        "print(child.pid)\n"
    )
    processes.call("POST", PODS, pod_object("parent", python_container(code)))
    eventually(lambda: processes.pod("parent")["status"]["phase"] == "Succeeded")
    child = int(processes.text(f"{PODS}/parent/log"))
    assert not is_alive(child)
    processes.call("DELETE", f"{PODS}/parent")


@pytest.mark.parametrize(
    ("command", "reason", "code"),
    [
        (["/no/such/program"], "StartError", 128),
        (["sh", "-c", "exit 3"], "Error", 3),
        (["sh", "-c", "sh -c 'kill -9 $$$$'; exit $?"], "Error", 137),
        (["sh", "-c", "exit 0"], "Completed", 0),
    ],
)
def test_how_containers_end(
    cluster: LocalClusterProcess, eventually: Eventually, command: list[str], reason: str, code: int
) -> None:
    name = f"ends-{code}"
    cluster.call("POST", PODS, pod_object(name, {"name": "main", "image": "busybox:1.36", "command": command}))
    eventually(lambda: exit_code(cluster, name) == code)
    ended = cluster.pod(name)["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == reason
    if reason == "StartError":
        assert 'exec: "/no/such/program": ' in ended["message"]
    eventually(lambda: cluster.pod(name)["status"]["phase"] == ("Succeeded" if code == 0 else "Failed"))
    cluster.call("DELETE", f"{PODS}/{name}")


def test_restart_policies_and_previous_logs(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    code = (
        "import os, sys; os.chdir(os.environ['KEPT']); n = len(os.listdir('.')); open(str(n), 'w'); print('run', n)\n"
        "sys.exit(0 if n >= 2 else 1)"
    )
    mount = {"env": [{"name": "KEPT", "value": "/kept"}], "volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}
    volumes = [{"name": "kept", "emptyDir": {}}]
    pod = pod_object("again", python_container(code, **mount), restartPolicy="OnFailure", volumes=volumes)
    cluster.call("POST", PODS, pod)
    eventually(lambda: cluster.pod("again")["status"]["phase"] == "Succeeded")
    assert cluster.pod("again")["status"]["containerStatuses"][0]["restartCount"] == 2
    assert cluster.text(f"{PODS}/again/log") == "run 2\n"
    assert cluster.text(f"{PODS}/again/log?previous=true") == "run 1\n"
    cluster.call("DELETE", f"{PODS}/again")


def test_environment_volumes_and_addresses(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    base = "/api/v1/namespaces/default"
    cluster.call(
        "POST", f"{base}/configmaps", {"metadata": {"name": "tool"}, "data": {"main.py": "print(open('/x/y'))"}}
    )
    script = (
        "import os, socket, sys\n"
        "server = socket.create_server((os.environ['POD_IP'], 6379))\n"
        "print(os.environ['POD_IP'], os.environ['KEY'], open(sys.argv[1]).read())\n"
        "print(sorted(k for k in os.environ if 'SECRET' in k))\n"
        "import time; time.sleep(600)\n"
    )
    for name in ("net-a", "net-b"):
        container = python_container(
            script,
            args=["/tool/main.py"],
            env=[
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "later", "key": "k"}}},
            ],
            volumeMounts=[{"name": "tool", "mountPath": "/tool"}],
        )
        volumes = [{"name": "tool", "configMap": {"name": "tool"}}]
        cluster.call("POST", PODS, pod_object(name, container, volumes=volumes))

    def waiting() -> str:
        statuses = cluster.pod("net-a")["status"].get("containerStatuses") or [{}]
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason"))

    eventually(lambda: waiting() == "CreateContainerConfigError")
    cluster.call("POST", f"{base}/secrets", {"metadata": {"name": "later"}, "stringData": {"k": "v"}})
    eventually(lambda: cluster.pod("net-b")["status"]["phase"] == cluster.pod("net-a")["status"]["phase"] == "Running")
    ips = {cluster.pod(name)["status"]["podIP"] for name in ("net-a", "net-b")}
    assert len(ips) == 2, "both pods bind the same port on their own address"
    line = "v print(open('/x/y'))\n[]\n"
    eventually(lambda: cluster.text(f"{PODS}/net-a/log") == f"{cluster.pod('net-a')['status']['podIP']} {line}")
    reasons = [reason for reason, _ in cluster.events("net-a")]
    assert {"Scheduled", "Failed", "Created", "Started"} <= set(reasons)
    for name in ("net-a", "net-b"):
        cluster.call("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
    for name in ("tool", "later"):
        cluster.call("DELETE", f"{base}/{'configmaps' if name == 'tool' else 'secrets'}/{name}")


def test_what_processes_cannot_have_is_said_and_linked(processes: LocalClusterProcess, eventually: Eventually) -> None:
    cluster = processes
    mount = [{"name": "shared", "mountPath": "/shared/dir"}]
    container = {
        "name": "main",
        "image": "i",
        "command": ["sh", "-c", "echo x > shared/dir/y && cat $0/y", "/shared/dir"],
    }
    volumes = [{"name": "shared", "emptyDir": {}}]
    cluster.call("POST", PODS, pod_object("linked", {**container, "volumeMounts": mount}, volumes=volumes))
    eventually(lambda: cluster.pod("linked")["status"]["phase"] == "Succeeded")
    assert cluster.text(f"{PODS}/linked/log") == "x\n"
    assert {"ImageNotPulled", "VolumesNotMounted"} <= {reason for reason, _ in cluster.events("linked")}
    cluster.call("DELETE", f"{PODS}/linked")


def test_a_pod_that_fits_nowhere_waits_and_says_why(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    container = python_container(SLEEP, resources={"requests": {"cpu": "1000"}})
    cluster.call("POST", PODS, pod_object("huge", container))
    eventually(lambda: cluster.pod("huge")["status"].get("conditions"))
    condition = cluster.pod("huge")["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    assert ("FailedScheduling", condition["message"]) in cluster.events("huge")
    assert cluster.pod("huge")["status"]["phase"] == "Pending"
    cluster.call("DELETE", f"{PODS}/huge")
    eventually(lambda: cluster.pod("huge").get("reason") == "NotFound")


def test_a_pod_over_its_deadline_fails(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", PODS, pod_object("late", python_container(SLEEP), activeDeadlineSeconds=1))
    eventually(lambda: cluster.pod("late")["status"]["phase"] == "Failed")
    assert cluster.pod("late")["status"]["reason"] == "DeadlineExceeded"
    cluster.call("DELETE", f"{PODS}/late")


def test_an_init_container_goes_first_and_shares_volumes(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    mount = [{"name": "shared", "mountPath": "/shared"}]
    write = ["sh", "-c", "echo made > $0/x", "/shared"]
    first = {"name": "first", "image": "busybox:1.36", "command": write, "volumeMounts": mount}
    main = {"name": "main", "image": "busybox:1.36", "command": ["cat", "/shared/x"], "volumeMounts": mount}
    volumes = [{"name": "shared", "emptyDir": {}}]
    cluster.call("POST", PODS, pod_object("staged", main, initContainers=[first], volumes=volumes))
    eventually(lambda: cluster.pod("staged")["status"]["phase"] == "Succeeded")
    assert cluster.text(f"{PODS}/staged/log") == "made\n"
    assert cluster.text(f"{PODS}/staged/log?container=first") == ""
    cluster.call("DELETE", f"{PODS}/staged")


def test_an_evicted_pod_is_replaced_and_no_failure(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", JOBS, job_object("evicted", python_container(SLEEP), 1))
    eventually(lambda: len(running(cluster, "job-name=evicted")) == 1)
    old = running(cluster, "job-name=evicted")[0]["metadata"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": old["name"]}}
    assert cluster.call("POST", f"{PODS}/{old['name']}/eviction", body)["status"] == "Success"
    eventually(lambda: [p for p in running(cluster, "job-name=evicted") if p["metadata"]["uid"] != old["uid"]])
    assert cluster.job("evicted")["status"].get("failed") is None
    cluster.call("DELETE", f"{JOBS}/evicted?propagationPolicy=Background")


def test_following_a_log_ends_with_the_container(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    code = "import time\nfor i in range(5): print(i); time.sleep(0.05)"
    cluster.call("POST", PODS, pod_object("talks", python_container(code)))
    eventually(lambda: cluster.pod("talks")["status"]["phase"] == "Running")
    assert cluster.text(f"{PODS}/talks/log?follow=true") == "0\n1\n2\n3\n4\n"
    assert cluster.text(f"{PODS}/talks/log?tailLines=2") == "3\n4\n"
    stamped = cluster.text(f"{PODS}/talks/log?timestamps=true&tailLines=1")
    assert stamped.endswith("Z 4\n") and stamped[4] == "-"
    cluster.call("DELETE", f"{PODS}/talks")
    eventually(lambda: cluster.pod("talks").get("reason") == "NotFound")
    assert not list((cluster.state_dir / "logs").rglob("*talks*"))


def test_a_flood_of_output_is_capped_and_harms_nobody(tmp_path: Path, eventually: Eventually) -> None:
    flooded = LocalClusterProcess(tmp_path / "state", ("--log-limit", "65536")).start()
    try:
        code = "import sys\nfor i in range(200000): sys.stdout.write(f'{i:070d}\\n')"
        flooded.call("POST", PODS, pod_object("flood", python_container(code)))
        eventually(lambda: flooded.pod("flood")["status"]["phase"] == "Succeeded", within=30)
        size = sum(file.stat().st_size for file in (flooded.state_dir / "logs").rglob("*") if file.is_file())
        assert size <= 65536
        assert flooded.text(f"{PODS}/flood/log?tailLines=1") == f"{199999:070d}\n"
    finally:
        assert flooded.stop() == 0


def test_a_full_disk_for_logs_stops_neither_pod_nor_server(
    own_cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    go = own_cluster.state_dir / "go"
    code = (
        "import os, sys, time\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
        "if os.path.exists('again'): print('x' * 5000); sys.exit(0)\n"
        "open('again', 'w'); sys.exit(1)"
    )
    own_cluster.call("POST", PODS, pod_object("loud", python_container(code), restartPolicy="OnFailure"))
    eventually(lambda: own_cluster.pod("loud")["status"]["phase"] == "Running")
    logs = own_cluster.state_dir / "logs" / own_cluster.pod("loud")["metadata"]["uid"] / "main"
    # The log of the container's next run is on a device that is always full.
    (logs / "1.log").symlink_to("/dev/full")
    go.touch()
    eventually(lambda: own_cluster.pod("loud")["status"]["phase"] == "Succeeded")
    reasons = dict(own_cluster.events("loud"))
    expected = "Output of container main cannot be written to its log and is dropped: No space left on device"
    assert reasons["LogsDropped"] == expected
    assert own_cluster.text("/readyz") == "ok"


def test_watches_see_everything_and_end_on_time(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    since = cluster.call("GET", PODS)["metadata"]["resourceVersion"]
    cluster.call("POST", PODS, pod_object("seen", python_container("print(1)")))
    query = f"watch=true&resourceVersion={since}&timeoutSeconds=2&fieldSelector=metadata.name%3Dseen"
    phases = []
    with cluster.open("GET", f"{PODS}?{query}&allowWatchBookmarks=true") as response:
        for line in response:
            event = json.loads(line)
            if event["type"] != "BOOKMARK":
                phases.append(event["object"]["status"]["phase"])
    assert phases[0] == "Pending" and phases[-1] == "Succeeded" and "Running" in phases
    assert event["type"] == "BOOKMARK"
    cluster.call("DELETE", f"{PODS}/seen")


def test_only_the_token_opens_the_door(cluster: LocalClusterProcess) -> None:
    assert cluster.text("/healthz") == "ok"
    assert cluster.text("/readyz") == "ok"
    token, cluster.token = cluster.token, "wrong"
    try:
        answer = cluster.call("GET", PODS)
    finally:
        cluster.token = token
    assert (answer["code"], answer["reason"]) == (401, "Unauthorized")
    assert oct(cluster.kubeconfig.stat().st_mode)[-3:] == "600"
    assert oct(cluster.state_dir.stat().st_mode)[-3:] == "700"


def test_bodies_that_are_too_large_are_refused(cluster: LocalClusterProcess) -> None:
    body = {"metadata": {"name": "big"}, "data": {"k": "x" * (4 * 1024 * 1024)}}
    try:
        answer = cluster.call("POST", "/api/v1/namespaces/default/configmaps", body)
    except (urllib.error.URLError, ConnectionError):
        return  # cut off while still sending, which is a refusal too
    assert answer["code"] == 413


def test_namespaces_take_their_content_with_them(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    cluster.call("POST", "/apis/batch/v1/namespaces/team/jobs", job_object("j", python_container(SLEEP), 2))
    eventually(lambda: len(cluster.call("GET", "/api/v1/namespaces/team/pods")["items"]) == 2)
    cluster.call("DELETE", "/api/v1/namespaces/team")
    eventually(lambda: cluster.call("GET", "/api/v1/namespaces/team").get("reason") == "NotFound")
    assert cluster.call("GET", "/api/v1/namespaces/team/pods")["items"] == []


def test_fifty_small_pods_run_at_once(cluster: LocalClusterProcess, eventually: Eventually) -> None:
    container = {
        "name": "main",
        "image": "busybox:1.36",
        "command": ["sh", "-c", "trap 'exit 143' TERM; while :; do sleep 1; done"],
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}},
    }
    cluster.call("POST", JOBS, job_object("fifty", container, 50))
    eventually(lambda: cluster.job("fifty")["status"].get("ready") == 50, within=60)
    cluster.call("DELETE", f"{JOBS}/fifty?propagationPolicy=Background")
    eventually(lambda: cluster.pods("job-name=fifty") == [], within=60)


def test_kill_9_of_the_server_leaves_no_process_and_restarting_keeps_the_state(
    own_cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"
    own_cluster.call("POST", JOBS, job_object("kept", python_container(code), 2))
    eventually(lambda: len(own_cluster.marked_processes()) == 4)
    agent = own_cluster.agent_pid()
    url, uid = own_cluster.url, own_cluster.job("kept")["metadata"]["uid"]
    own_cluster.kill()
    eventually(lambda: own_cluster.marked_processes() == [] and not is_alive(agent))
    own_cluster.start()
    assert own_cluster.url == url, "clients find a restarted server where it was"
    assert own_cluster.job("kept")["metadata"]["uid"] == uid
    lost = [pod for pod in own_cluster.pods("job-name=kept") if pod["status"]["phase"] == "Failed"]
    assert len(lost) == 2
    assert {pod["status"]["reason"] for pod in lost} == {"NodeLost"}
    assert {pod["status"]["message"] for pod in lost} == {"localcluster restarted"}
    conditions = {item["type"]: item["status"] for item in lost[0]["status"]["conditions"]}
    assert conditions["DisruptionTarget"] == "True"
    eventually(lambda: len(running(own_cluster, "job-name=kept")) == 2)
    assert own_cluster.job("kept")["status"].get("failed") is None


def test_kill_9_of_the_agent_fails_its_pods_which_come_back(
    own_cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    own_cluster.call("POST", JOBS, job_object("kept", python_container(SLEEP), 2))
    eventually(lambda: len(running(own_cluster, "job-name=kept")) == 2)
    old = set(own_cluster.marked_processes())
    os.kill(own_cluster.agent_pid(), signal.SIGKILL)
    eventually(lambda: not old & set(own_cluster.marked_processes()))
    eventually(lambda: len(running(own_cluster, "job-name=kept")) == 2)
    assert own_cluster.job("kept")["status"].get("failed") is None


def test_server_and_agent_killed_together_leave_nothing_after_the_next_start(
    own_cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"
    own_cluster.call("POST", PODS, pod_object("p", python_container(code)))
    eventually(lambda: len(own_cluster.marked_processes()) == 2)
    agent = own_cluster.agent_pid()
    os.kill(own_cluster.pid, signal.SIGSTOP)
    os.kill(agent, signal.SIGKILL)
    own_cluster.kill()
    own_cluster.start()
    assert own_cluster.marked_processes() == []


def test_a_clean_stop_ends_pods_with_grace_and_says_so(
    own_cluster: LocalClusterProcess, eventually: Eventually
) -> None:
    code = (
        "import signal, sys, time\n"
        "def bye(*_): print('bye'); sys.exit(143)\n"
        "signal.signal(15, bye); print('up'); time.sleep(600)"
    )
    own_cluster.call("POST", JOBS, job_object("kept", python_container(code), 1))
    eventually(lambda: len(running(own_cluster, "job-name=kept")) == 1)
    name = running(own_cluster, "job-name=kept")[0]["metadata"]["name"]
    eventually(lambda: own_cluster.text(f"{PODS}/{name}/log") == "up\n")
    assert own_cluster.stop() == 0
    assert own_cluster.marked_processes() == []
    own_cluster.start()
    pod = own_cluster.pod(name)
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["reason"] == "Terminated"
    assert own_cluster.text(f"{PODS}/{name}/log") == "up\nbye\n"
    eventually(lambda: len(running(own_cluster, "job-name=kept")) == 1)


def test_watches_end_when_the_server_stops(own_cluster: LocalClusterProcess) -> None:
    ended = threading.Event()

    def follow() -> None:
        with own_cluster.open("GET", f"{PODS}?watch=true") as response:
            response.read()
        ended.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.2)
    own_cluster.stop()
    assert ended.wait(5)
    thread.join(5)


def test_two_servers_cannot_share_a_state_directory(own_cluster: LocalClusterProcess) -> None:
    second = LocalClusterProcess(own_cluster.state_dir, ("--kubeconfig", str(own_cluster.state_dir / "other")))
    with pytest.raises(AssertionError, match=f"in use by process {own_cluster.pid}"):
        kubeconfig = own_cluster.kubeconfig.read_text()
        try:
            second.start()
        finally:
            own_cluster.kubeconfig.write_text(kubeconfig)


def test_an_idle_cluster_costs_next_to_nothing(own_cluster: LocalClusterProcess) -> None:
    own_cluster.call("POST", PODS, pod_object("p", {"name": "c", "image": "i", "command": ["sleep", "600"]}))
    pids = (own_cluster.pid, own_cluster.agent_pid())
    time.sleep(0.5)

    def ticks() -> int:
        total = 0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total

    before = ticks()
    time.sleep(2.0)
    spent = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    assert spent <= 0.02, "under one percent of a core"
    resident = 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        resident += int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident < 45 * 1024
