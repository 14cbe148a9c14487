"""docker-compose.yml on a real Docker engine: ``make test-compose`` (minutes; root; not part of ``make test``)."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose_stack import ROOT, CannotRun, ComposeStack

pytestmark = pytest.mark.skipif(
    os.environ.get("ASPERATHOS_TEST_COMPOSE") != "1", reason="the compose stack is NOT tested here: make test-compose"
)
SERVICES = ("manager", "controller", "monitor", "visualizer", "localcluster")
MANAGER = "http://127.0.0.1:1500"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    try:
        stack = ComposeStack(tmp_path_factory.mktemp("compose"))
        stack.start()
    except CannotRun as error:
        pytest.skip(f"NO DOCKER ENGINE, the compose stack is NOT tested: {error}")
    try:
        stack.compose("build")
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "180")
        yield stack
        stack.compose("down", "--volumes", "--timeout", "20")
        assert stack.docker("ps", "-a", "-q").stdout == ""
    finally:
        stack.stop()


def fetch(stack: ComposeStack, path: str) -> Any:
    return json.loads(stack.inside("curl", "-sS", "--max-time", "20", f"{MANAGER}{path}").stdout)


def submit(stack: ComposeStack, document: Path) -> str:
    """The README's POST."""
    header = "Content-Type: application/yaml"
    posted = stack.inside("curl", "-sS", "-H", header, "--data-binary", f"@{document}", f"{MANAGER}/submissions")
    return str(json.loads(posted.stdout)["job_id"])


def wait(stack: ComposeStack, id: str, within: float = 120.0) -> dict[str, Any]:
    end = time.monotonic() + within
    while True:
        status: dict[str, Any] = fetch(stack, f"/submissions/{id}")
        if status["state"] in ("completed", "failed", "stopped", "terminated", "error"):
            return status
        assert time.monotonic() < end, status
        time.sleep(0.5)


def test_the_readmes_submission_runs(stack: ComposeStack, tmp_path: Path) -> None:
    document = re.search(r"cat > job.yaml <<'YAML'\n(.*?)\nYAML", (ROOT / "README.md").read_text(), re.DOTALL)
    assert document is not None
    (tmp_path / "job.yaml").write_text(document[1])
    id = submit(stack, tmp_path / "job.yaml")
    status = wait(stack, id)
    assert (status["state"], status["counts"]["dead"]) == ("completed", 0), status
    listed = stack.compose("exec", "-T", "manager", "ls", "/usr/share/common-licenses").stdout.split()
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert len(results) == len(listed) > 5
    assert all(re.fullmatch(r"[0-9a-f]{64}  /usr/share/common-licenses/\S+\n?", one["result"]) for one in results)
    page = stack.inside("curl", "-sS", status["visualizer_url"]).stdout
    assert status["visualizer_url"].startswith("http://127.0.0.1:5002/") and "<html" in page


def test_nothing_is_missing_in_the_cluster(stack: ComposeStack) -> None:
    checked = stack.inside(sys.executable, "-m", "cli", "cluster", "check", "--manager", MANAGER)
    assert checked.stdout.splitlines()[-1] == "nothing is missing"


def test_containers_are_locked_down(stack: ComposeStack) -> None:
    for service in (*SERVICES, "redis"):
        found = stack.inspect(service)
        assert found["Config"]["User"] in ("65532:65532", "999:999")
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
    for service in ("redis", "manager", "localcluster"):
        os.kill(stack.inspect(service)["State"]["Pid"], signal.SIGKILL)
    for service in ("redis", "localcluster", "manager"):
        stack.wait_healthy(service)
    status = wait(stack, id)
    assert status["state"] == "completed", status
    results = fetch(stack, f"/submissions/{id}/results")["results"]
    assert sorted(int(one["result"]) for one in results) == list(range(12))


def test_a_signal_ends_each_part_in_time(stack: ComposeStack) -> None:
    began = time.monotonic()
    stack.compose("stop", "--timeout", "20")
    assert time.monotonic() - began < 60
    codes = {service: stack.inspect(service)["State"]["ExitCode"] for service in (*SERVICES, "redis")}
    assert codes == dict.fromkeys((*SERVICES, "redis"), 0)
