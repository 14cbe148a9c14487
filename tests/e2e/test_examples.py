"""Each example runs as printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_demo() -> None:
    command = [sys.executable, str(EXAMPLES / "stdlib-metrics" / "demo.py")]
    demo = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "complexity  function" in demo.stdout
    assert "met by" in demo.stdout
    assert "replica-seconds" in demo.stdout
    changes = [(int(old), int(new)) for old, new in re.findall(r"^  (\d+) -> (\d+): ", demo.stdout, re.MULTILINE)]
    assert any(new > old for old, new in changes), "it never scaled up"
    assert any(new < old for old, new in changes), "it never scaled down"


def test_the_originals_contract(stack: StackProcess) -> None:
    submitted = stack.cli("submit", str(EXAMPLES / "original-contract" / "submission.yaml"), "--watch")
    id = submitted.stderr.split()[0]
    results = {result["result"] for result in stack.results(id)}
    assert len(results) == 12
    assert "ALPHA" in results


def test_the_stream(stack: StackProcess) -> None:
    id = stack.cli("submit", str(EXAMPLES / "stream" / "submission.yaml")).stdout.strip()
    feed = [sys.executable, str(EXAMPLES / "stream" / "feed.py"), stack.manager, id]
    fed = subprocess.run(feed, capture_output=True, text=True, timeout=240, check=False)
    assert fed.returncode == 0, fed.stdout + fed.stderr
    assert stack.wait(id)["state"] == "stopped"
    assert len(stack.results(id)) == 40


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH: the example is not tried")
def test_the_worker_without_python(stack: StackProcess) -> None:
    submitted = stack.cli("submit", str(EXAMPLES / "http-worker" / "submission.yaml"), "--watch")
    id = submitted.stderr.split()[0]
    results = {result["id"]: result["result"] for result in stack.results(id)}
    quotes = "QUOTES \" AND ' AND $HOME AND \\ AND %41"
    assert results == {"0": "PLAIN WORDS", "1": quotes, "2": "TWO\nLINES", "3": results["3"]}
    # What becomes of ö and ß is tr's affair.
    assert results["3"].startswith("GR")
