"""Workloads and containers that do not work: each has a clear outcome, nothing is lost, nothing leaks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import FileSite
from tests.support.stack_process import StackProcess, marked

pytestmark = pytest.mark.e2e


def document(**fields: Any) -> dict[str, Any]:
    return {"name": "bad", "run": "cat", "deadline": "5m", "workload": ["a"], "control": {"interval": 1}, **fields}


def rejection(stack: StackProcess, body: dict[str, Any]) -> str:
    before = requests.get(f"{stack.manager}/submissions", timeout=10).json().keys()
    answer = requests.post(f"{stack.manager}/submissions", json=body, timeout=30)
    assert 400 <= answer.status_code < 500, answer.text
    assert requests.get(f"{stack.manager}/submissions", timeout=10).json().keys() == before
    fields = [fault["field"] for fault in answer.json()["details"]]
    assert any(field.startswith("workload") for field in fields), answer.text
    return str(answer.json()["error_message"])


def test_an_unreachable_workload_is_refused(stack: StackProcess) -> None:
    assert "127.0.0.1:1" in rejection(stack, document(workload="http://127.0.0.1:1/items"))


def test_a_workload_that_is_not_there_is_refused(stack: StackProcess, site: FileSite) -> None:
    assert "404" in rejection(stack, document(workload=site.put("here", b"x") + "-not"))


def test_an_empty_workload_completes_at_once(stack: StackProcess, site: FileSite) -> None:
    end = stack.wait(stack.submit(document(workload=site.put("empty", b""))))
    assert end["state"] == "completed"
    assert end["counts"]["total"] == 0


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"good\nb\xff\xfed\n", "UTF-8"), (b"good\n" + b"x" * 10_000_000 + b"\n", "line 2")],
    ids=["not UTF-8", "a line of 10 MB"],
)
def test_a_workload_with_a_bad_line_says_which(stack: StackProcess, site: FileSite, content: bytes, word: str) -> None:
    end = stack.wait(stack.submit(document(workload=site.put("w", content))))
    assert end["state"] == "error"
    assert word in end["reason"]
    assert "line 2" in end["reason"]


def test_a_command_that_is_not_there_says_so(stack: StackProcess) -> None:
    end = stack.wait(stack.submit(document(run="no-such-program {item}")), within=90)
    assert end["state"] == "error"
    assert "no-such-program" in end["reason"]
    assert "127" in end["reason"]


def test_a_container_that_exits_at_once_says_so(stack: StackProcess) -> None:
    body = document(run=None, command=["sh", "-c", "echo cannot start because of reasons >&2; exit 3"])
    end = stack.wait(stack.submit(body), within=90)
    assert end["state"] == "error"
    assert "3" in end["reason"]
    assert "because of reasons" in end["reason"]


def test_a_container_that_exits_0_without_working_says_what_to_do(stack: StackProcess) -> None:
    end = stack.wait(stack.submit(document(run=None, command=["true"])), within=90)
    assert end["state"] == "error"
    assert "run:" in end["reason"]


def test_a_failing_item_is_dead_and_the_rest_is_done(stack: StackProcess) -> None:
    body = document(run="sh -c 'if test $ASPERATHOS_ITEM = bad; then echo spoiled >&2; exit 9; fi'", retries=0)
    id = stack.submit({**body, "workload": ["good", "bad", "fine"]})
    end = stack.wait(id)
    assert end["state"] == "failed"
    assert (end["counts"]["done"], end["counts"]["dead"]) == (2, 1)
    errors = requests.get(f"{stack.manager}/submissions/{id}/errors", timeout=10).json()
    assert any("spoiled" in error and "9" in error for error in errors)


def test_a_worker_that_ignores_sigterm_is_killed(stack: StackProcess, tmp_path: Path) -> None:
    marker = f"stubborn-{tmp_path.name}-{time.time_ns()}"
    stubborn = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)  # {marker}"
    body = document(run=None, command=["python3", "-c", stubborn], grace_period=1)
    id = stack.submit(body)
    stack.wait_for(id, lambda now: now["replicas"]["observed"] == 1)
    requests.put(f"{stack.manager}/submissions/{id}/stop", timeout=10)
    end = stack.wait(id)
    assert end["state"] == "stopped"
    wait_until_gone(marker)


def wait_until_gone(marker: str) -> None:
    end = time.monotonic() + 20
    while marked(marker):
        assert time.monotonic() < end, f"still there: {marked(marker)}"
        time.sleep(0.1)
