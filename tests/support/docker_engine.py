"""A Docker engine of a test's own, in a network namespace of its own, without any registry. Needs root.

The base image is made from Debian packages (mmdebstrap) once, kept in ``.asperathos/compose-test``, and tagged as the
ones that cannot be pulled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".asperathos" / "compose-test"
TOOLS = ("dockerd", "unshare", "nsenter", "curl", "git")
SUITE = "bookworm"
"""Debian's release in the stand-ins: its Python is 3.11."""
PACKAGES = "python3,python3-venv,redis-server,ca-certificates"
BASE = "python:3.12-slim"
_DOCKER = "/usr/bin/docker"
_ONE_BY_ONE = {"COMPOSE_PARALLEL_LIMIT": "1"}
"""The classic builder shares layers between services only when they are built in turn."""


class CannotRun(Exception):
    """No engine can be had here; the message says why."""


class EngineProcess:
    """Start the engine with the base image in it; ``docker(...)`` speaks to it."""

    def __init__(self, directory: Path, daemon: str = "dockerd") -> None:
        self.directory = directory
        self._daemon = daemon
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """The engine's address."""
        return f"unix://{self.directory}/docker.sock"

    @property
    def pid(self) -> int:
        """A process in the engine's network namespace."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """An engine that answers, with the base image. Raises CannotRun."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            raise CannotRun(f"root is needed, and {', '.join(missing) or 'nothing else'}")
        self.launch()
        self.docker("import", str(_base_image()), BASE)

    def launch(self) -> None:
        """Start the engine (again), and wait until it answers. Raises CannotRun."""
        with (self.directory / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *self._command()],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while self.docker("info", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                tail = (self.directory / "engine.log").read_text()[-2000:]
                self.stop()
                raise CannotRun(f"the engine does not start: {tail}")
            time.sleep(0.2)

    def daemon_pid(self) -> int:
        """The engine itself."""
        return int((self.directory / "pid").read_text())

    def wait(self) -> None:
        """Until the engine has ended."""
        assert self._process is not None
        self._process.wait(60)

    def stop(self) -> None:
        """End the engine; its containers end with it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def docker(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the docker client against this engine."""
        return self.run([docker_client(), *arguments], check, **options)

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine where the engine publishes its ports."""
        return self.run(["nsenter", "-t", str(self.pid), "-n", *command], check, cwd=ROOT)

    def run(
        self, command: list[str], check: bool, timeout: float = 300, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with this engine as its own; AssertionError with its output when it fails."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0", **_ONE_BY_ONE}
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, check=False, **options
        )
        if check and ran.returncode:
            raise AssertionError(f"{command} exited {ran.returncode}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}")
        return ran

    def _command(self) -> list[str]:
        base = self.directory
        places = ("--data-root", str(base / "data"), "--exec-root", str(base / "exec"), "--pidfile", str(base / "pid"))
        return [self._daemon, *places, "--host", self.host]


def docker_client() -> str:
    """Debian's client where it is installed."""
    return _DOCKER if Path(_DOCKER).exists() else "docker"


def _base_image() -> Path:
    base = CACHE / "base.tar"
    if not base.exists():
        if shutil.which("mmdebstrap") is None:
            raise CannotRun("mmdebstrap is needed to make the base image")
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = CACHE / "partial.tar"
        command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(partial)]
        subprocess.run(command, check=True, capture_output=True, timeout=900)
        partial.rename(base)
    return base
