"""The compose file on a Docker engine of the test's own, in a network namespace of its own, without any registry.

Base images are made from Debian packages (mmdebstrap) and tagged as the ones that cannot be pulled; wheels are
downloaded once and passed in. Both are kept in ``.asperathos/compose-test``. Needs root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".asperathos" / "compose-test"
TOOLS = ("dockerd", "unshare", "nsenter", "curl", "git")
SUITE = "bookworm"
"""Debian's release in the stand-ins: its Python is 3.11."""
PACKAGES = "python3,python3-venv,redis-server,ca-certificates"
BASE, REDIS = "python:3.12-slim", "redis:7-bookworm"
REDIS_STAND_IN = f"FROM {BASE}\nRUN mkdir /data && chown 999:999 /data\nVOLUME /data\n"
_DOCKER = "/usr/bin/docker"
_ONE_BY_ONE = {"COMPOSE_PARALLEL_LIMIT": "1"}
"""The classic builder shares layers between services only when they are built in turn."""


class CannotRun(Exception):
    """No engine can be had here; the message says why."""


class ComposeStack:
    """Start the engine, make the base images, then ``compose(...)`` and ``inside(...)``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.project = directory / "project"
        self._engine: subprocess.Popen[bytes] | None = None
        self._compose = _compose_command()

    def start(self) -> None:
        """An engine that answers, with the base images. Raises CannotRun."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            raise CannotRun(f"root is needed, and {', '.join(missing) or 'nothing else'}")
        with (self.directory / "engine.log").open("wb") as log:
            self._engine = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *self._dockerd()],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while self.docker("info", check=False).returncode:
            if self._engine.poll() is not None or time.monotonic() > end:
                tail = (self.directory / "engine.log").read_text()[-2000:]
                self.stop()
                raise CannotRun(f"the engine does not start: {tail}")
            time.sleep(0.2)
        self._make_images()
        self._make_project()

    def stop(self) -> None:
        """End the engine; its containers end with it."""
        if self._engine is None:
            return
        self._engine.terminate()
        try:
            self._engine.wait(60)
        except subprocess.TimeoutExpired:
            self._engine.kill()
            self._engine.wait(10)
        self._engine = None

    def docker(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the docker client against this engine."""
        return self._run([_docker(), *arguments], check, **options)

    def compose(self, *arguments: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run compose in the project."""
        return self._run([*self._compose, *arguments], check, timeout=timeout, cwd=self.project)

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine where the engine publishes its ports."""
        assert self._engine is not None
        return self._run(["nsenter", "-t", str(self._engine.pid), "-n", *command], check, cwd=ROOT)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = self.compose("ps", "-a", "-q", service).stdout.strip()
        (found,) = json.loads(self.docker("inspect", container).stdout)
        described: dict[str, Any] = found
        return described

    def wait_healthy(self, service: str, within: float = 60.0) -> None:
        """Until the service's container is healthy (again)."""
        end = time.monotonic() + within
        while self.inspect(service)["State"].get("Health", {}).get("Status") != "healthy":
            if time.monotonic() > end:
                raise AssertionError(f"{service} is not healthy: {self.compose('logs', service).stdout[-3000:]}")
            time.sleep(0.5)

    def _dockerd(self) -> list[str]:
        base = self.directory
        places = ("--data-root", str(base / "data"), "--exec-root", str(base / "exec"), "--pidfile", str(base / "pid"))
        return ["dockerd", *places, "--host", self._host()]

    def _host(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    def _run(
        self, command: list[str], check: bool, timeout: float = 300, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_HOST": self._host(), "DOCKER_BUILDKIT": "0", **_ONE_BY_ONE}
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, check=False, **options
        )
        if check and ran.returncode:
            raise AssertionError(f"{command} exited {ran.returncode}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}")
        return ran

    def _make_images(self) -> None:
        base = CACHE / "base.tar"
        if not base.exists():
            if shutil.which("mmdebstrap") is None:
                raise CannotRun("mmdebstrap is needed to make the base image")
            CACHE.mkdir(parents=True, exist_ok=True)
            partial = CACHE / "partial.tar"
            self._run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(partial)], True)
            partial.rename(base)
        self.docker("import", str(base), BASE)
        self.docker("build", "-t", REDIS, "-", input=REDIS_STAND_IN)

    def _make_project(self) -> None:
        """What is in git or would be, the wheels, and an .env."""
        listed = self._run(["git", "ls-files", "-co", "--exclude-standard"], True, cwd=ROOT).stdout.splitlines()
        for name in listed:
            if (ROOT / name).is_file():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.project / name)
        shutil.copytree(_wheels(), self.project / "wheels")
        example = (ROOT / ".env.example").read_text()
        secrets: Mapping[str, str] = {"REDIS_PASSWORD": "of-a-test", "ASPERATHOS_SERVICE_TOKEN": "of-a-test-too"}
        for name, value in secrets.items():
            example = example.replace(f"{name}=\n", f"{name}={value}\n")
        (self.project / ".env").write_text(example)


def _docker() -> str:
    return _DOCKER if Path(_DOCKER).exists() else "docker"


def _compose_command() -> list[str]:
    """Compose v2, as a plugin or by itself."""
    named = os.environ.get("COMPOSE_COMMAND", "")
    if named:
        return [named]
    if shutil.which(_docker()):
        asked = subprocess.run([_docker(), "compose", "version"], capture_output=True, timeout=20, check=False)
        if asked.returncode == 0:
            return [_docker(), "compose"]
    alone = shutil.which("docker-compose")
    if alone is None:
        raise CannotRun("compose v2 is needed: 'docker compose', 'docker-compose' or $COMPOSE_COMMAND")
    return [alone]


def _wheels() -> Path:
    """All locked wheels for the stand-in's Python, whatever Python runs this."""
    lock = (ROOT / "requirements" / "run.lock").read_text()
    wheels = CACHE / "wheels"
    if not wheels.exists():
        partial = CACHE / "wheels.partial"
        partial.mkdir(parents=True, exist_ok=True)
        unmarked = CACHE / "run.lock"
        # Markers would be judged by the Python that runs this, not by the image's.
        unmarked.write_text(re.sub(r" ; [^\\\n]*", " ", lock))
        platforms = [
            f"--platform=manylinux{tag}" for tag in ("_2_34_x86_64", "_2_28_x86_64", "_2_17_x86_64", "2014_x86_64")
        ]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        target = ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:", *platforms]
        subprocess.run([*command, *target, "-d", str(partial), "-r", str(unmarked)], check=True, timeout=600)
        partial.rename(wheels)
    return wheels
