"""A service with its arbiter and workers in a process group of their own: to be killed in part or as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 30.0


class GunicornProcess:
    """``python -m <service>``; ``environment`` holds its settings, ``log_path`` is where it logs to."""

    def __init__(self, service: str, port: int, log_path: Path, environment: dict[str, str]) -> None:
        self.service = service
        self.base = f"http://127.0.0.1:{port}"
        self.log_path = log_path
        self._command = [sys.executable, "-m", service, "--port", str(port)]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> GunicornProcess:
        """Start it and, unless told otherwise, wait until it answers."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while wait and not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.service} did not start: {self.log}")
            time.sleep(0.02)
        return self

    @property
    def pid(self) -> int:
        """The arbiter's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    def workers(self) -> list[int]:
        """Process ids of the gunicorn workers."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True)
        return [int(pid) for pid in children.stdout.split() if is_alive(int(pid))]

    def answers(self) -> bool:
        """Whether it is healthy."""
        try:
            return requests.get(self.base + "/healthz", timeout=2.0).status_code == 200
        except requests.RequestException:
            return False

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """A request on a connection of its own."""
        return requests.request(method, self.base + path, json=body, timeout=10.0, headers={"Connection": "close"})

    def wait(self) -> int:
        """Its exit code; killed when it takes too long."""
        assert self._process is not None
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_group()
            raise

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def kill_group(self) -> None:
        """kill -9 of all its processes, where any are left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(10.0)


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
