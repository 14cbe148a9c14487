"""Two thousand items while workers, every service and Redis are killed: each item has exactly one accepted result.

One fault at a time, and everything else that must hold: tests/faults.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.stack_process import StackProcess, descendants

pytestmark = pytest.mark.e2e
ITEMS = 2000
HANDLER = Path(__file__).parent / "handlers" / "slow_echo.py"


def processes(stack: StackProcess, *words: str) -> list[int]:
    """Pids below the stack whose command line holds all words."""
    found = []
    for pid in descendants(stack.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if all(any(word in part for part in command) for word in words):
            found.append(pid)
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_exactly_one_result_per_item(own_stack: StackProcess) -> None:
    id = own_stack.submit(
        {
            "name": "faults",
            "command": ["python3", str(HANDLER)],
            "workload": [f"item {number}" for number in range(ITEMS)],
            "deadline": "10m",
            "replicas": {"min": 4, "max": 4, "initial": 4},
            "control": {"law": "nop", "interval": 1},
            "monitoring": {"interval": 1},
            "retries": 20,
            "lease": 2,
        }
    )
    own_stack.wait_for(id, lambda now: (now["counts"]["done"] or 0) > 50)
    ending = threading.Event()
    killed = _kill_workers_in_background(own_stack, ending)
    try:
        for service in ("manager", "controller", "monitor", "visualizer"):
            for pid in processes(own_stack, "-m", service):
                kill(pid)
            time.sleep(1.0)
        for pid in processes(own_stack, "redis.conf") or processes(own_stack, "redis-server"):
            kill(pid)
        time.sleep(1.0)
    finally:
        ending.set()
    end = own_stack.wait(id, within=240)
    assert end["state"] == "completed", end
    results = own_stack.results(id)
    assert sorted(int(result["id"]) for result in results) == list(range(ITEMS))
    assert {result["result"] for result in results} == {f"done item {number}" for number in range(ITEMS)}
    assert end["counts"] == {"total": ITEMS, "ready": 0, "delayed": 0, "leased": 0, "done": ITEMS, "dead": 0}
    assert killed["workers"] >= 3


def _kill_workers_in_background(stack: StackProcess, ending: threading.Event) -> dict[str, int]:
    chance = random.Random(20)
    killed = {"workers": 0}

    def kill_one_now_and_then() -> None:
        while not ending.wait(0.7):
            workers = processes(stack, "slow_echo.py")
            if workers:
                kill(chance.choice(workers))
                killed["workers"] += 1

    threading.Thread(target=kill_one_now_and_then, daemon=True).start()
    return killed
