"""A local stack as a child process, and what tests do with it: submit, wait, look, kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

TERMINAL = {"completed", "failed", "stopped", "terminated", "error"}


class StackProcess:
    """``asperathos up`` with ports of its own in a directory of its own; ``environment`` is added to ours."""

    def __init__(self, home: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self.addresses: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--any-port", "--home", str(self.home), "--json", *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stack did not start: {(self.home / 'up.log').read_text()}")
        self.addresses = json.loads(line)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        code = process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
        return code

    def kill(self) -> None:
        """kill -9 of ``asperathos up`` itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def manager(self) -> str:
        return str(self.addresses["manager"])

    def cli(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run an asperathos command against this stack."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env={**os.environ, "ASPERATHOS_MANAGER_URL": self.manager, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def submit(self, document: dict[str, Any]) -> str:
        answer = requests.post(f"{self.manager}/submissions", json=document, timeout=10)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def status(self, id: str) -> dict[str, Any]:
        """The status; a manager that is being restarted is waited for."""
        end = time.monotonic() + 60
        while True:
            try:
                answer = requests.get(f"{self.manager}/submissions/{id}", timeout=10)
                if answer.status_code == 200:
                    status: dict[str, Any] = answer.json()
                    return status
                if answer.status_code not in (502, 503):
                    raise AssertionError(f"{answer.status_code}: {answer.text}")
            except requests.ConnectionError:
                pass
            if time.monotonic() > end:
                raise AssertionError("the manager does not come back")
            time.sleep(0.2)

    def wait(self, id: str, within: float = 60.0) -> dict[str, Any]:
        """The status at the end."""
        end = time.monotonic() + within
        while True:
            status = self.status(id)
            if status["state"] in TERMINAL:
                return status
            if time.monotonic() > end:
                raise AssertionError(f"not ended within {within} s: {json.dumps(status, indent=1)}")
            time.sleep(0.1)

    def wait_for(self, id: str, condition: Any, within: float = 60.0) -> dict[str, Any]:
        """The first status for which ``condition(status)`` holds."""
        end = time.monotonic() + within
        while True:
            status = self.status(id)
            if condition(status):
                return status
            if time.monotonic() > end:
                raise AssertionError(f"not so within {within} s: {json.dumps(status, indent=1)}")
            time.sleep(0.1)

    def results(self, id: str) -> list[dict[str, Any]]:
        lines = self.cli("results", id, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]


def descendants(pid: int) -> set[int]:
    """All processes below ``pid``, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {pid}
        found |= more


def marked(marker: str) -> set[int]:
    """Processes whose environment or command line holds ``marker``."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found
