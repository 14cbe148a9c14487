"""``asperathos up``: who holds a port, Ctrl-C, kill -9, and what is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.stack_process import StackProcess, marked

pytestmark = pytest.mark.e2e
SLEEPER = {"name": "sleeper", "run": "sleep 600", "workload": ["a", "b"], "deadline": "1h", "replicas": {"min": 2}}


def up(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "up", "--home", str(home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_second_up_says_who_runs(stack: StackProcess) -> None:
    second = up(stack.home, "--any-port")
    assert second.returncode == 6
    assert f"process {stack.pid}" in second.stderr
    assert stack.manager in second.stderr


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        free = [f"--port={part}=0" for part in ("redis", "cluster", "controller", "monitor", "visualizer")]
        answer = up(tmp_path / "home", f"--port=manager={port}", *free)
    assert answer.returncode == 6
    assert f"port {port}" in answer.stderr
    assert f"process {os.getpid()}" in answer.stderr
    assert "--any-port" in answer.stderr


def test_a_wrong_port_option_is_a_usage_error(tmp_path: Path) -> None:
    answer = up(tmp_path / "home", "--port", "mangaer=1")
    assert answer.returncode == 2
    assert "manager" in answer.stderr


def test_ctrl_c_ends_everything_and_the_next_up_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    stack = StackProcess(home)
    stack.start()
    id = stack.submit(SLEEPER)
    stack.wait_for(id, lambda now: now["replicas"]["observed"] == 2)
    assert stack.stop() == 0
    assert not marked(str(home))
    stack.start()
    try:
        stack.wait_for(id, lambda now: now["state"] == "ongoing" and now["replicas"]["observed"] == 2)
        requests.put(f"{stack.manager}/submissions/{id}/terminate", timeout=10)
        assert stack.wait(id)["state"] == "terminated"
    finally:
        stack.stop()


def test_an_added_cluster_is_known_after_the_next_up(tmp_path: Path) -> None:
    stack = StackProcess(tmp_path / "home")
    stack.start()
    try:
        kubeconfig = Path(str(stack.addresses["kubeconfig"])).read_text()
        (tmp_path / "again.yaml").write_text(kubeconfig)
        stack.cli("cluster", "add", "again", str(tmp_path / "again.yaml"))
        assert "local-1" in stack.cli("nodes", "--cluster", "again").stdout
        assert stack.stop() == 0
        stack.start()
        assert "local-1" in stack.cli("nodes", "--cluster", "again").stdout
    finally:
        stack.stop()


def test_nothing_outlives_kill_9(tmp_path: Path, eventually: Callable[..., None]) -> None:
    home = tmp_path / "home"
    stack = StackProcess(home)
    stack.start()
    id = stack.submit(SLEEPER)
    stack.wait_for(id, lambda now: now["replicas"]["observed"] == 2)
    assert marked(str(home))
    stack.kill()
    eventually(lambda: not marked(str(home)), within=45)
    stack.stop()
