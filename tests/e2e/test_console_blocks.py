"""What the pages type at a prompt, typed: with the exit codes and the words that a reader may expect."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests.integration.test_manager_lifecycle import ORIGINAL_WORKER
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs"
WITHOUT_KUBECTL = pytest.mark.skipif(which("kubectl") is None, reason="NOT TESTED: no kubectl on PATH")
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: python:3.12
          command: [python3, -m, http.server, "8082", --bind, $(POD_IP)]
          env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
          ports: [{name: http, containerPort: 8082}]
"""


def commands(page: str, containing: str) -> list[str]:
    """The lines after prompts of the page's block that contains this text."""
    found = re.findall(r"^```console\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [text for text in found if containing in text]
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def typing(stack: StackProcess, home: Path, lines: list[str], **replaced: str) -> str:
    """What a shell says to the lines, which must all succeed."""
    script = "\n".join(["set -e", *lines])
    for old, new in replaced.items():
        script = script.replace(old.replace("_", "-"), new)
    done = subprocess.run(
        ["bash"],
        input=script,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
        env={
            **os.environ,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "ASPERATHOS_MANAGER_URL": stack.manager,
            "KUBECONFIG": str(stack.addresses["kubeconfig"]),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_cluster_is_added_listed_activated_and_removed(stack: StackProcess, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "east.yaml").write_text(Path(str(stack.addresses["kubeconfig"])).read_text())
    said = typing(stack, tmp_path, commands("clusters.md", "cluster add east"))
    assert "east added: Kubernetes v1." in said
    assert "east is active" in said
    assert "east removed" in said
    assert list(stack_clusters(stack)) == ["default"]


def stack_clusters(stack: StackProcess) -> Any:

    return json.loads(stack.cli("cluster", "list", "--json").stdout)


def test_the_check_of_a_whole_cluster(stack: StackProcess, tmp_path: Path) -> None:
    said = typing(stack, tmp_path, commands("deployment.md", "asperathos cluster check"))
    assert "nothing is missing" in said
    assert said.splitlines()[-1] == "0", "the exit code"


@WITHOUT_KUBECTL
def test_a_deployment_on_the_local_cluster(stack: StackProcess, tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text(WEB)
    try:
        said = typing(stack, tmp_path, commands("localcluster.md", "rollout status deployment/web"))
        assert "successfully rolled out" in said
        assert "Directory listing" in said
    finally:
        typing(stack, tmp_path, ["kubectl delete deployment,service web --ignore-not-found"])


@WITHOUT_KUBECTL
def test_a_dedicated_queue_is_found(stack: StackProcess, tmp_path: Path) -> None:
    worker = ORIGINAL_WORKER.replace("    r.rpush(", "    __import__('time').sleep(3)\n    r.rpush(")
    id = stack.submit({"command": ["python3", "-c", worker], "queue": "dedicated", "workload": ["a", "b", "c"]})
    stack.wait_for(id, lambda now: now["state"] == "ongoing")
    said = typing(stack, tmp_path, commands("kubernetes.md", "kubectl get deployment,service"), kj_1234567=id)
    for kind in ("deployment.apps", "service", "secret"):
        assert f"{kind}/{id}-queue" in said
    assert len(said.splitlines()[-1]) >= 20, "the password"
    assert stack.wait(id)["state"] == "completed"
