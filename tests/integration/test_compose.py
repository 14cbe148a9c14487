"""docker-compose.yml on a real Docker engine: ``make test-compose`` (minutes; root; not part of ``make test``)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose_stack import ADMIN_TOKEN, ComposeStack
from tests.support.docker_engine import BASE, ROOT, CannotRun

pytestmark = pytest.mark.skipif(
    os.environ.get("ASPERATHOS_TEST_COMPOSE") != "1", reason="the compose stack is NOT tested here: make test-compose"
)
CLUSTER_LABEL = "asperathos.io/localcluster"
TOOL = "user-tool:1"
TOOL_DOCKERFILE = f"""FROM {BASE}
RUN printf '#!/bin/sh\\necho "$1" | tr a-z A-Z\\n' > /usr/local/bin/shout && chmod 755 /usr/local/bin/shout
"""
"""An image of a user's: it has Python, as every image for run: must, and a program that no other image has."""
SERVICES = ("manager", "controller", "monitor", "visualizer", "localcluster")
MANAGER = "http://127.0.0.1:1500"
SHOWN = ("-H", f"Authorization: Bearer {ADMIN_TOKEN}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    try:
        stack = ComposeStack(tmp_path_factory.mktemp("compose"))
    except CannotRun as error:
        pytest.skip(f"NO DOCKER ENGINE, the compose stack is NOT tested: {error}")
    try:
        try:
            stack.start()
        except CannotRun as error:
            pytest.skip(f"The compose stack is NOT tested: {error}")
        stack.docker("build", "-t", TOOL, "-", input=TOOL_DOCKERFILE)
        stack.compose("build")
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "180")
        yield stack
        stack.compose("down", "--volumes", "--timeout", "20")
        assert stack.docker("ps", "-a", "-q").stdout == ""
        assert stack.docker("volume", "ls", "-q").stdout == ""
    finally:
        stack.stop()


def fetch(stack: ComposeStack, path: str) -> Any:
    return json.loads(stack.inside("curl", "-sS", *SHOWN, "--max-time", "20", f"{MANAGER}{path}").stdout)


def submit(stack: ComposeStack, document: Path) -> str:
    """The README's POST."""
    header = "Content-Type: application/yaml"
    posted = stack.inside(
        "curl", "-sS", *SHOWN, "-H", header, "--data-binary", f"@{document}", f"{MANAGER}/submissions"
    )
    return str(json.loads(posted.stdout)["job_id"])


def wait(stack: ComposeStack, id: str, within: float = 120.0) -> dict[str, Any]:
    end = time.monotonic() + within
    while True:
        status: dict[str, Any] = fetch(stack, f"/submissions/{id}")
        if status["state"] in ("completed", "failed", "stopped", "terminated", "error"):
            return status
        assert time.monotonic() < end, status
        time.sleep(0.5)


def pods(stack: ComposeStack) -> list[dict[str, Any]]:
    """The engine's containers that are pods."""
    found = stack.docker("ps", "-a", "-q", "--filter", f"label={CLUSTER_LABEL}").stdout.split()
    inspected: list[dict[str, Any]] = json.loads(stack.docker("inspect", *found, check=False).stdout or "[]")
    return [each for each in inspected if not each["Name"].endswith("_fill")]


def pods_since(stack: ComposeStack, began: float) -> list[dict[str, Any]]:
    """The containers of pods that were started since then, by the engine's own account."""
    filters = ("--filter", f"label={CLUSTER_LABEL}", "--filter", "event=start")
    told = stack.docker("events", "--since", f"{began:.3f}", "--until", "0s", *filters, "--format", "{{json .}}").stdout
    return [json.loads(line)["Actor"]["Attributes"] for line in told.splitlines()]


def wait_for_no_pods(stack: ComposeStack, within: float = 30.0) -> None:
    end = time.monotonic() + within
    while stack.docker("ps", "-a", "-q", "--filter", f"label={CLUSTER_LABEL}").stdout:
        assert time.monotonic() < end, pods(stack)
        time.sleep(0.5)
    volumes = stack.docker("volume", "ls", "-q", "--filter", f"label={CLUSTER_LABEL}").stdout
    assert volumes == ""


def test_the_readmes_submission_runs(stack: ComposeStack, tmp_path: Path) -> None:
    document = re.search(r"cat > job.yaml <<'YAML'\n(.*?)\nYAML", (ROOT / "README.md").read_text(), re.DOTALL)
    assert document is not None
    (tmp_path / "job.yaml").write_text(document[1])
    began = time.time()
    id = submit(stack, tmp_path / "job.yaml")
    status = wait(stack, id)
    assert (status["state"], status["counts"]["dead"]) == ("completed", 0), status
    listed = stack.compose("exec", "-T", "manager", "ls", "/usr/share/common-licenses").stdout.split()
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert len(results) == len(listed) > 5
    assert all(re.fullmatch(r"[0-9a-f]{64}  /usr/share/common-licenses/\S+\n?", one["result"]) for one in results)
    page = stack.inside("curl", "-sS", *SHOWN, status["visualizer_url"]).stdout
    assert status["visualizer_url"].startswith("http://127.0.0.1:5002/") and "<html" in page
    ran = pods_since(stack, began)
    assert ran and {pod["image"] for pod in ran} == {BASE}
    assert all(pod["io.kubernetes.pod.name"].startswith(id) for pod in ran)
    wait_for_no_pods(stack)


def test_a_submissions_image_really_runs_within_its_limits(stack: ComposeStack, tmp_path: Path) -> None:
    document = {
        "image": TOOL,
        "run": "sh -c 'sleep 2; shout $ASPERATHOS_ITEM'",
        "workload": ["one", "two", "three", "four"],
        "deadline": "2m",
        "replicas": {"min": 2, "max": 2, "initial": 2},
        "resources": {"cpu": "0.1", "cpu_limit": "1.5", "memory": "32Mi", "memory_limit": "192Mi"},
        "env": {"FLAVOUR": "mild"},
    }
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    id = submit(stack, tmp_path / "job.yaml")
    end = time.monotonic() + 60
    while not (running := [pod for pod in pods(stack) if pod["State"]["Running"]]):
        assert time.monotonic() < end
        time.sleep(0.2)
    (worker, *_) = running
    host = worker["HostConfig"]
    assert worker["Config"]["Image"] == TOOL and "FLAVOUR=mild" in worker["Config"]["Env"]
    assert (host["CpuQuota"] / host["CpuPeriod"], host["Memory"]) == (1.5, 192 * 2**20)
    assert worker["Config"]["User"] == "65532:65532" and host["CapDrop"] == ["ALL"]
    assert list(worker["NetworkSettings"]["Networks"]) == ["asperathos-jobs"]
    status = wait(stack, id)
    assert status["state"] == "completed", status
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert sorted(one["result"].strip() for one in results) == ["FOUR", "ONE", "THREE", "TWO"]
    wait_for_no_pods(stack)


def test_an_image_that_cannot_be_pulled_is_the_submissions_reason(stack: ComposeStack, tmp_path: Path) -> None:
    document = {"image": "registry.invalid/none:1", "run": "true {item}", "workload": ["a"], "deadline": "2m"}
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    id = submit(stack, tmp_path / "job.yaml")
    end = time.monotonic() + 15
    while "registry.invalid" not in (reason := fetch(stack, f"/submissions/{id}")["reason"] or ""):
        assert time.monotonic() < end, reason
        time.sleep(0.5)
    assert "ErrImagePull" in reason or "ImagePullBackOff" in reason
    stack.inside("curl", "-sS", *SHOWN, "-X", "PUT", f"{MANAGER}/submissions/{id}/terminate")
    assert wait(stack, id)["state"] == "terminated"
    wait_for_no_pods(stack)


def test_an_image_of_the_originals_contract_has_a_redis_of_its_own(stack: ComposeStack, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM asperathos/manager:dev\nCOPY worker.py /app/worker.py\nENTRYPOINT []\n")
    shutil.copy(ROOT / "examples" / "original-contract" / "worker.py", tmp_path)
    stack.docker("build", "-t", "original-worker:1", str(tmp_path))
    document = {
        "image": "original-worker:1",
        "command": ["python3", "/app/worker.py"],
        "queue": "dedicated",
        "workload": ["alpha", "beta", "gamma"],
        "deadline": "2m",
    }
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    began = time.time()
    id = submit(stack, tmp_path / "job.yaml")
    status = wait(stack, id)
    assert status["state"] == "completed", status
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert sorted(one["result"] for one in results) == ["ALPHA", "BETA", "GAMMA"]
    assert {pod["image"] for pod in pods_since(stack, began)} == {"original-worker:1", "redis:7-bookworm"}
    wait_for_no_pods(stack)


def test_pods_reach_their_queue_and_the_manager_but_not_the_clusters_api(stack: ComposeStack) -> None:
    reach = (
        "import socket, sys\n"
        "for name, port in (('redis', 6379), ('manager', 1500), ('localcluster', 6443)):\n"
        "    try: socket.create_connection((name, port), 3).close(); print(name)\n"
        "    except OSError: pass\n"
    )
    found = stack.docker("run", "--rm", "--network", "asperathos-jobs", BASE, "python3", "-c", reach)
    assert found.stdout.split() == ["redis", "manager"]


GRAFANA = "http://127.0.0.1:3000"


def grafana(stack: ComposeStack, path: str, **query: str) -> Any:
    """What Grafana (its double) answers to its admin."""
    more = [part for name, value in query.items() for part in ("--data-urlencode", f"{name}={value}")]
    asked = ["curl", "-sS", "--fail-with-body", "-G", "-u", "admin:of-a-test-for-dashboards", *more, f"{GRAFANA}{path}"]
    return json.loads(stack.inside(*asked).stdout)


def test_grafana_shows_the_job(stack: ComposeStack, tmp_path: Path) -> None:
    """Provisioned files, each panel's query through the data source they name, with its token, to InfluxDB."""
    run = "sh -c 'sleep 1; echo $ASPERATHOS_ITEM'"
    # Long enough to be forecast.
    document = {"run": run, "workload": [str(number) for number in range(24)], "deadline": "2m"}
    (tmp_path / "job.yaml").write_text(
        json.dumps({**document, "replicas": {"max": 2}, "dashboard": {"plugin": "grafana"}})
    )
    id = submit(stack, tmp_path / "job.yaml")
    status = wait(stack, id)
    assert status["state"] == "completed", status
    assert status["visualizer_url"].startswith(f"{GRAFANA}/d/asperathos-batch/") and id in status["visualizer_url"]
    view = json.loads(stack.inside("curl", "-sS", *SHOWN, f"http://127.0.0.1:5002/visualizing/{id}").stdout)
    assert view["reason"] == ""
    listed = {one["uid"] for one in grafana(stack, "/api/search", type="dash-db")}
    assert listed == {f"asperathos-{kind}" for kind in ("overview", "batch", "stream", "cost")}
    shown = grafana(stack, "/api/dashboards/uid/asperathos-batch")
    assert shown["meta"]["provisioned"] is True
    queries = {
        (panel["title"], target["refId"]): target["query"]
        for panel in shown["dashboard"]["panels"]
        for target in panel["targets"]
    }
    for (title, _), query in queries.items():
        for name, value in (("$timeFilter", "time > now() - 1h"), ("$__interval", "2s"), ("$submission", id)):
            query = query.replace(name, value)
        path = "/api/datasources/proxy/uid/asperathos-influxdb/query"
        (result,) = grafana(stack, path, db="asperathos", q=query)["results"]
        assert result["series"][0]["values"], title


def test_nothing_is_missing_in_the_cluster(stack: ComposeStack) -> None:
    checked = stack.inside(
        sys.executable, "-m", "cli", "cluster", "check", "--manager", MANAGER, "--token", ADMIN_TOKEN
    )
    assert checked.stdout.splitlines()[-1] == "nothing is missing"


def test_a_user_whom_the_administrator_makes_gets_in(stack: ComposeStack, tmp_path: Path) -> None:
    """As the documentation says: the token of .env, ``users add``, a token of the user's; on the pages the operator."""

    def ask(token: str, *command: str) -> str:
        environment = ("env", f"ASPERATHOS_MANAGER_URL={MANAGER}", f"ASPERATHOS_TOKEN={token}")
        return stack.inside(*environment, sys.executable, "-m", "cli", *command).stdout

    ask(ADMIN_TOKEN, "users", "add", "alice")
    made = json.loads(ask(ADMIN_TOKEN, "tokens", "create", "--user", "alice", "--json"))
    (tmp_path / "job.json").write_text(json.dumps({"run": "echo {item}", "workload": ["a"], "deadline": "2m"}))
    id = json.loads(ask(made["token"], "submit", "--json", str(tmp_path / "job.json")))["job_id"]
    status = wait(stack, id)
    assert (status["state"], status["owner"]) == ("completed", "alice")
    jar = tmp_path / "cookies"
    form = ("--data-urlencode", "name=operator", "--data-urlencode", f"password={ADMIN_TOKEN}")
    pages = "http://127.0.0.1:5002"
    entry = stack.inside(
        "curl", "-sS", "-c", str(jar), "-o", "/dev/null", "-w", "%{http_code}", *form, f"{pages}/login"
    )
    assert entry.stdout == "303"
    assert id in stack.inside("curl", "-sS", "-b", str(jar), f"{pages}/api/submissions").stdout
    browser = ("-H", "Accept: text/html")
    shown = stack.inside("curl", "-sS", *browser, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"{pages}/")
    assert shown.stdout == f"303 {pages}/login"


def test_a_stranger_gets_nothing(stack: ComposeStack) -> None:
    for url in (f"{MANAGER}/submissions", "http://127.0.0.1:5000/scaling", "http://127.0.0.1:5001/monitoring"):
        told = stack.inside("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url).stdout
        assert told == "401", url


def test_containers_are_locked_down(stack: ComposeStack) -> None:
    for service in (*SERVICES, "redis", "influxdb", "grafana"):
        found = stack.inspect(service)
        assert found["Config"]["User"] in ("65532:65532", "999:999", "1000:1000", "472:472")
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert found["HostConfig"]["CapDrop"] == ["ALL"] and not found["HostConfig"]["Privileged"]
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        for bindings in (found["HostConfig"]["PortBindings"] or {}).values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]


def test_images_have_no_compiler_and_only_their_service_writes(stack: ComposeStack) -> None:
    for service in SERVICES:
        tools = stack.compose("exec", "-T", service, "sh", "-c", "command -v cc gcc g++ make ld", check=False)
        assert tools.stdout.strip() == ""
        written = stack.compose("exec", "-T", service, "sh", "-c", "touch /opt/asperathos/x", check=False)
        assert "Read-only" in written.stderr or "Permission denied" in written.stderr
    mode = stack.compose("exec", "-T", "manager", "stat", "-c", "%a %u", "/run/asperathos/kubeconfig").stdout
    assert mode.split() == ["600", "65532"]


def test_everything_comes_back_after_a_crash(stack: ComposeStack, tmp_path: Path) -> None:
    run = "sh -c 'sleep 1; echo $ASPERATHOS_ITEM'"
    document = {"run": run, "workload": [str(n) for n in range(12)], "deadline": "3m"}
    (tmp_path / "job.yaml").write_text(json.dumps({**document, "lease": 10, "replicas": {"min": 2, "max": 3}}))
    id = submit(stack, tmp_path / "job.yaml")
    end = time.monotonic() + 60
    while fetch(stack, f"/submissions/{id}")["counts"]["done"] < 2:
        assert time.monotonic() < end
        time.sleep(0.5)
    # Redis syncs each second; what it acknowledged before that must be there again.
    time.sleep(1.5)
    orphans = {pod["Id"] for pod in pods(stack)}
    assert orphans
    for service in ("redis", "manager", "localcluster"):
        os.kill(stack.inspect(service)["State"]["Pid"], signal.SIGKILL)
    for service in ("redis", "localcluster", "manager"):
        stack.wait_healthy(service)
    status = wait(stack, id)
    assert status["state"] == "completed", status
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert sorted(int(one["result"]) for one in results) == list(range(12))
    assert not orphans & {pod["Id"] for pod in pods(stack)}
    wait_for_no_pods(stack)


def test_a_signal_ends_each_part_in_time(stack: ComposeStack) -> None:
    began = time.monotonic()
    stack.compose("stop", "--timeout", "20")
    assert time.monotonic() - began < 60
    codes = {service: stack.inspect(service)["State"]["ExitCode"] for service in (*SERVICES, "redis")}
    assert codes == dict.fromkeys((*SERVICES, "redis"), 0)
