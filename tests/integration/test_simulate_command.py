"""``asperathos simulate`` as a program: the command line starts the simulator and hands everything on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def simulate(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "simulate", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)


def test_options_input_output_and_exit_code_go_through(tmp_path: Path) -> None:
    document = "{run: 'x {item}', workload: [a, b, c, d], deadline: 5m}"
    page = tmp_path / "page.html"
    done = simulate("-", "--service", "10s", "--runs", 2, "--json", "--plot", page, text=document)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["chance"] == 1.0
    assert page.read_text().startswith("<!doctype html>")


def test_refusals_and_help_come_from_the_simulator(tmp_path: Path) -> None:
    refused = simulate(tmp_path / "none.yaml", "--service", "10s")
    assert refused.returncode == 2
    assert "cannot be read" in refused.stderr
    assert simulate("-", "--service", "1s", text="{run: x}").returncode == 4
    shown = simulate("--help")
    assert shown.returncode == 0
    assert "asperathos simulate" in shown.stdout and "--service" in shown.stdout
