"""The original's integration tests as black-box checks, each stronger: through REST only, on a whole stack."""

from __future__ import annotations

import copy
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import FileSite
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
PAYLOADS = Path(__file__).parent.parent / "data" / "compat"
WORKER = Path(__file__).parents[2] / "examples" / "original-contract" / "worker.py"
BASE_KEYS = {"app_id", "status", "starting_time", "visualizer_url", "redis_ip", "redis_port"}
UTC = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


def payload(name: str, workload: str, work_seconds: float = 0.05, **control: Any) -> dict[str, Any]:
    """One of the original's payloads with a local image and workload."""
    document: dict[str, Any] = copy.deepcopy(json.loads((PAYLOADS / name).read_text()))
    info = document["plugin_info"]
    info["cmd"] = ["python3", str(WORKER)]
    info["redis_workload"] = workload
    info["env_vars"] = {"WORK_SECONDS": str(work_seconds)}
    info["job_resources_lifetime"] = 0
    info["control_parameters"].update(control)
    return document


def lines(count: int) -> bytes:
    return "".join(f"line {number}\n" for number in range(count)).encode()


def detailed(stack: StackProcess, id: str) -> dict[str, dict[str, float]]:
    answer = requests.get(f"{stack.manager}/submissions/{id}/report", timeout=10)
    assert answer.status_code == 200
    series: dict[str, dict[str, float]] = answer.json()
    return series


def test_1_post_status_stop(stack: StackProcess, site: FileSite) -> None:
    id = stack.submit(payload("payload1.json", site.put("w", lines(400)), work_seconds=0.5))
    assert re.fullmatch(r"kj-[0-9a-f]{7}", id)
    status = stack.wait_for(id, lambda now: now["status"] == "ongoing")
    assert status.keys() >= BASE_KEYS
    assert status["app_id"] == id
    assert UTC.match(status["starting_time"])
    stopped = requests.put(f"{stack.manager}/submissions/{id}/stop", timeout=10)
    assert (stopped.status_code, stopped.content) == (204, b"")
    end = stack.wait(id)
    assert end["status"] == "stopped"
    assert end["progress"] < 1


@pytest.mark.parametrize("name", ["payload1.json", "payload2.json", "payload3.json"])
def test_the_originals_payloads_complete(stack: StackProcess, site: FileSite, name: str) -> None:
    id = stack.submit(payload(name, site.put("w", lines(12))))
    assert stack.wait(id)["status"] == "completed"


def test_3_scale_up(stack: StackProcess, site: FileSite) -> None:
    document = payload("payload2.json", site.put("w", lines(120)), work_seconds=0.3)
    id = stack.submit(document)
    end = stack.wait(id)
    assert end["status"] == "completed"
    replicas = [entry["replicas"] for entry in detailed(stack, id).values()]
    assert max(replicas) > 1
    assert max(replicas) <= 10
    decisions = requests.get(f"{stack.addresses['controller']}/scaling/{id}", timeout=10).json()["decisions"]
    assert max(decision["granted"] for decision in decisions) <= 10
    events = requests.get(f"{stack.manager}/submissions/{id}/events", timeout=10).json()["events"]
    finished = next(event["at"] for event in events if event["kind"] == "state" and "completed" in event["message"])
    assert all(event["at"] <= finished for event in events if event["kind"] == "scaling")


def test_4_scale_down(stack: StackProcess, site: FileSite) -> None:
    document = payload("payload3.json", site.put("w", lines(60)), work_seconds=1.0, trigger_down=0.1, trigger_up=0.1)
    document["plugin_info"]["init_size"] = 4
    document["plugin_info"]["monitor_info"]["expected_time"] = 1_000_000
    id = stack.submit(document)
    down = stack.wait_for(
        id, lambda now: now["replicas"]["observed"] == 1 and (now["counts"]["done"] or 0) > 6, within=60
    )
    assert down["counts"]["done"] < 60
    requests.put(f"{stack.manager}/submissions/{id}/terminate", timeout=10)
    assert stack.wait(id)["status"] == "terminated"


def test_5_errors_of_the_simple_report_are_in_the_detailed_one(stack: StackProcess, site: FileSite) -> None:
    document = payload("payload1.json", site.put("w", lines(40)), work_seconds=0.2)
    id = stack.submit(document)
    end = stack.wait(id)
    errors = [entry["error"] for entry in detailed(stack, id).values()]
    for name in ("max_error", "min_error", "final_error"):
        value, at = end[name]
        assert any(value == pytest.approx(error, abs=1e-9) for error in errors), name
        assert UTC.match(at)
        assert at <= end["final_error"][1]
    assert {"execution_time", "final_replicas", "scaling_strategy", "heuristic_options"} <= end.keys()


def test_6_restart_of_every_service(own_stack: StackProcess, site: FileSite) -> None:
    first = own_stack.submit(payload("payload1.json", site.put("w", lines(60)), work_seconds=0.2))
    second = own_stack.submit(payload("payload1.json", site.put("v", lines(600)), work_seconds=0.2))
    own_stack.wait_for(first, lambda now: (now["counts"]["done"] or 0) > 5)
    kill_services(own_stack)
    assert own_stack.wait(first)["status"] == "completed"
    ids = requests.get(f"{own_stack.manager}/submissions", timeout=10).json().keys()
    assert set(ids) == {first, second}
    assert requests.put(f"{own_stack.manager}/submissions/{second}/stop", timeout=10).status_code == 204
    assert own_stack.wait(second)["status"] == "stopped"
    assert detailed(own_stack, first)


def kill_services(stack: StackProcess) -> None:
    """kill -9 of every process of the four services."""
    import os
    import signal

    from tests.support.stack_process import descendants

    for name in ("manager", "controller", "monitor", "visualizer"):
        for pid in descendants(stack.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if command[1:3] == [b"-m", name.encode()]:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
    time.sleep(0.5)


def test_7_results_are_exactly_the_workloads(stack: StackProcess, site: FileSite) -> None:
    workload = ["same", "same", "other", "last without newline"]
    id = stack.submit(payload("payload1.json", site.put("w", "\n".join(workload).encode())))
    assert stack.wait(id)["status"] == "completed"
    results = Counter(result["result"] for result in stack.results(id))
    assert results == Counter(item.upper() for item in workload)
