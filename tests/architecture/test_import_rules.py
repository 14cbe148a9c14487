"""The import rules hold, and each of them can fail: a planted violation breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("manager", "controller", "monitor", "visualizer", "common", "cli", "localcluster", "simulator")
VIOLATIONS = {
    "Services, cli and localcluster never import each other": ("monitor/measure.py", "import controller.guard"),
    "common: bootstrap > http > loop and adapters > ports > domain": ("common/domain/units.py", "import common.ports"),
    "common and the worker import no service, cli, localcluster or simulator": ("common/clock.py", "import cli.home"),
    "The worker needs redis only": ("asperathos_worker/clock.py", "import yaml"),
    "The domain is pure": ("common/domain/states.py", "import time"),
    "redis is imported in its adapters only": ("manager/lifecycle.py", "import redis"),
    "kubernetes is imported in its adapter only": ("controller/actuation.py", "import kubernetes"),
    "The visualizer speaks HTTP to Grafana in its client only": ("visualizer/boards.py", "import requests"),
    "influxdb_client is imported in its adapters only": ("monitor/points.py", "import influxdb_client"),
    "docker is imported in its adapter only": ("localcluster/kubelet.py", "import docker"),
    "localcluster: runtimes know the seam, not the cluster above it": (
        "localcluster/runtime/port.py",
        "import localcluster.store",
    ),
    "services: main > bootstrap > api and loop > service": ("visualizer/service.py", "import visualizer.api"),
    "Nothing imports the simulator": ("controller/guard.py", "import simulator.room"),
    "The simulator uses the pure middle of the services only": ("simulator/room.py", "import monitor.loop"),
    "Only bootstraps build adapters": ("controller/service.py", "import common.adapters.redis_client"),
}


def lint(directory: Path) -> dict[str, str]:
    """Each contract's verdict for the packages in ``directory``."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200"}
    answer = subprocess.run(
        [*command, "--no-cache", "--config", str(ROOT / ".importlinter")],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", answer.stdout, re.MULTILINE))
    assert verdicts, answer.stdout + answer.stderr
    return verdicts


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Our packages in a directory of their own."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "worker" / "asperathos_worker", tmp_path / "asperathos_worker")
    return tmp_path


def test_the_rules_hold(copy: Path) -> None:
    assert lint(copy) == dict.fromkeys(VIOLATIONS, "KEPT")


def test_each_rule_can_fail(copy: Path) -> None:
    for path, line in VIOLATIONS.values():
        with (copy / path).open("a") as module:
            module.write(f"\n{line}\n")
    assert lint(copy) == dict.fromkeys(VIOLATIONS, "BROKEN")


@pytest.mark.parametrize("service", ["manager", "controller", "monitor", "visualizer"])
def test_the_services_have_the_same_files(service: str) -> None:
    for name in ("__init__", "__main__", "settings", "bootstrap", "api", "service", "loop"):
        assert (ROOT / service / f"{name}.py").is_file()
