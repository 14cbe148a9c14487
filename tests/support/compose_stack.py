"""The compose file on a Docker engine of the test's own (``docker_engine``), without any registry.

Wheels are downloaded once, kept in ``.asperathos/compose-test``, and passed in. Images that cannot be pulled get
stand-ins.
"""

from __future__ import annotations

import hashlib
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

from tests.support.docker_engine import BASE, CACHE, ROOT, CannotRun, EngineProcess, docker_client
from tests.support.influx_process import UNPACKED

SUPPORT = Path(__file__).parent
ADMIN_TOKEN = "of-a-test-for-administrators"
_PROBE = "python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode())'"
STAND_INS: Mapping[str, str] = {
    "redis:7-bookworm": f"FROM {BASE}\nRUN mkdir /data && chown 999:999 /data\nVOLUME /data\n",
    # A real InfluxDB 1.6 behind a double of what only 2.7 has.
    "influxdb:2.7": f"""FROM {BASE}
COPY influxd influx_double.py /usr/local/bin/
RUN (echo '#!/bin/sh'; echo "exec {_PROBE} http://127.0.0.1:8086/ping") > /usr/local/bin/influx
RUN chmod 755 /usr/local/bin/*
RUN mkdir /var/lib/influxdb2 /etc/influxdb2 && chown 1000:1000 /var/lib/influxdb2 /etc/influxdb2
VOLUME /var/lib/influxdb2 /etc/influxdb2
ENTRYPOINT ["python3", "/usr/local/bin/influx_double.py"]
""",
    # A double of Grafana, that reads the provisioning files.
    "grafana/grafana-oss:11.6.0": f"""FROM {BASE}
COPY wheels /wheels
RUN python3 -m venv /opt/double && /opt/double/bin/pip install --no-index --find-links /wheels pyyaml
COPY grafana_double.py /usr/local/bin/
RUN echo 'for address; do :; done; exec {_PROBE.replace("'", '"')} "$address"' > /usr/local/bin/wget
RUN chmod 755 /usr/local/bin/* && mkdir /var/lib/grafana && chown 472:472 /var/lib/grafana
VOLUME /var/lib/grafana
ENTRYPOINT ["/opt/double/bin/python", "/usr/local/bin/grafana_double.py"]
""",
}
"""Images that compose would pull: name to the Dockerfile of what stands in for it."""


class ComposeStack:
    """Start the engine, make the images, then ``compose(...)`` and ``inside(...)``."""

    def __init__(self, directory: Path) -> None:
        self.project = directory / "project"
        self.engine = EngineProcess(directory)
        self._compose = _compose_command()

    def start(self) -> None:
        """An engine that answers, with the images and the project. Raises CannotRun."""
        self.engine.start()
        self._make_project()
        context = self._make_context()
        for name, dockerfile in STAND_INS.items():
            self.docker("build", "-t", name, "-f", "-", str(context), input=dockerfile)

    def stop(self) -> None:
        """End the engine; its containers end with it."""
        self.engine.stop()

    def docker(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the docker client against this engine."""
        return self.engine.docker(*arguments, check=check, **options)

    def compose(self, *arguments: str, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run compose in the project."""
        return self.engine.run([*self._compose, *arguments], check, timeout=timeout, cwd=self.project)

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine where the engine publishes its ports."""
        return self.engine.inside(*command, check=check)

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

    def _make_context(self) -> Path:
        """What the stand-ins are made of."""
        influxd = shutil.which("influxd") or shutil.which("influxd", path=str(UNPACKED))
        if influxd is None:
            raise CannotRun("influxd is needed, in front of which InfluxDB 2.7 is played: see .ci/run")
        context = self.project.parent / "stand-ins"
        (context / "wheels").mkdir(parents=True)
        for path in (Path(influxd), SUPPORT / "influx_double.py", SUPPORT / "grafana_double.py"):
            shutil.copy2(path, context)
        for wheel in (self.project / "wheels").glob("[Pp]y[Yy][Aa][Mm][Ll]-*"):
            shutil.copy2(wheel, context / "wheels")
        return context

    def _make_project(self) -> None:
        """What is in git or would be, the wheels, and an .env."""
        listed = self.engine.run(["git", "ls-files", "-co", "--exclude-standard"], True, cwd=ROOT).stdout.splitlines()
        for name in listed:
            if (ROOT / name).is_file():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.project / name)
        shutil.copytree(_wheels(), self.project / "wheels")
        example = (ROOT / ".env.example").read_text()
        socket = self.engine.host.removeprefix("unix://")
        values: Mapping[str, str] = {
            "REDIS_PASSWORD": "of-a-test",
            "ASPERATHOS_SERVICE_TOKEN": "of-a-test-for-services",
            "ASPERATHOS_ADMIN_TOKEN": ADMIN_TOKEN,
            "INFLUXDB_TOKEN": "of-a-test-for-series",
            "INFLUXDB_PASSWORD": "of-a-test-for-nobody",
            "GRAFANA_PASSWORD": "of-a-test-for-dashboards",
            "DOCKER_GID": str(Path(socket).stat().st_gid),
            "DOCKER_SOCKET": socket,
        }
        for name, value in values.items():
            example = re.sub(rf"^{name}=.*$", f"{name}={value}", example, flags=re.MULTILINE)
        (self.project / ".env").write_text(example)


def _compose_command() -> list[str]:
    """Compose v2, as a plugin or by itself."""
    named = os.environ.get("COMPOSE_COMMAND", "")
    if named:
        return [named]
    if shutil.which(docker_client()):
        asked = subprocess.run([docker_client(), "compose", "version"], capture_output=True, timeout=20, check=False)
        if asked.returncode == 0:
            return [docker_client(), "compose"]
    alone = shutil.which("docker-compose")
    if alone is None:
        raise CannotRun("compose v2 is needed: 'docker compose', 'docker-compose' or $COMPOSE_COMMAND")
    return [alone]


def _wheels() -> Path:
    """All locked wheels for the stand-in's Python, whatever Python runs this."""
    locks = [(ROOT / "requirements" / name).read_text() for name in ("run.lock", "runner.lock")]
    wheels = CACHE / f"wheels-{hashlib.sha256(''.join(locks).encode()).hexdigest()[:12]}"
    if not wheels.exists():
        partial = CACHE / "wheels.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for lock in locks:
            _download(lock, partial)
        partial.rename(wheels)
    return wheels


def _download(lock: str, directory: Path) -> None:
    # Markers would be judged by the Python that runs this, not by the image's.
    entries = re.findall(r"^[^\s#].*(?:\n[ \t]+.*)*", lock, re.MULTILINE)
    wanted = [re.sub(r" ; [^\\\n]*", " ", entry) for entry in entries if "sys_platform == 'win32'" not in entry]
    unmarked = CACHE / "unmarked.lock"
    unmarked.write_text("\n".join(wanted) + "\n")
    platforms = [
        f"--platform=manylinux{tag}" for tag in ("_2_34_x86_64", "_2_28_x86_64", "_2_17_x86_64", "2014_x86_64")
    ]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    target = ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:", *platforms]
    subprocess.run([*command, *target, "-d", str(directory), "-r", str(unmarked)], check=True, timeout=600)
