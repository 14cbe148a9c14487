"""Control as a user meets it: many deadlines on one small cluster, plans, forecasts, changes while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.stack_process import TERMINAL, StackProcess

pytestmark = pytest.mark.e2e
JOBS = 20
REPLICAS = 12
ITEMS = 30
SECONDS = 1.5


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose cluster has few replicas for all submissions together."""
    running = StackProcess(tmp_path_factory.mktemp("small"), "--capacity", str(REPLICAS))
    running.start()
    yield running
    running.stop()


def naps(count: int, seconds: float = SECONDS, **given: Any) -> dict[str, Any]:
    """Items that sleep: they need time, not a processor."""
    return {
        "run": "sleep {item}",
        "workload": [str(seconds)] * count,
        "replicas": {"min": 1, "max": 6},
        "control": {"interval": 2},
        "monitoring": {"interval": 1},
        **given,
    }


def test_what_runs_can_be_changed(small: StackProcess) -> None:
    """First of all: where deadlines met lately, a batch may be given more than it asks for."""
    id = small.submit(naps(400, 0.5, deadline="10m", expected_item_time="500ms"))
    small.wait_for(id, lambda now: now["state"] == "ongoing" and now["replicas"]["observed"] == 1, within=30)
    changed = small.cli("change", id, "--deadline", "1h", "--min", "4", "--max", "5", "--priority", "high").stdout
    assert changed.splitlines() == [
        "deadline: 600.0 -> 3600.0",
        "replicas.min: 1 -> 4",
        "replicas.max: 6 -> 5",
        "priority: normal -> high",
    ]
    now = small.wait_for(id, lambda now: now["replicas"]["observed"] == 4, within=20)
    assert now["deadline"] == 3600.0
    small.cli("change", id, "--law", "scripted", "--set", "steps=[[0, 5]]")
    now = small.wait_for(id, lambda now: now["replicas"]["observed"] == 5, within=20)
    assert now["law"] == "scripted"
    wrong = small.cli("change", id, "--law", "scirpted", check=False)
    assert wrong.returncode != 0 and "did you mean scripted?" in wrong.stderr
    lines = small.cli("decisions", id, "-n", "3").stdout.splitlines()
    assert 2 <= len(lines) <= 4 and "the script says 5" in lines[-1]
    events = small.cli("events", id).stdout
    assert "changed: " in events and "-> 5: the script says 5" in events
    assert small.cli("stop", id, "--now").stdout.split() == [id, "terminated"]
    late = small.cli("change", id, "--max", "3", check=False)
    assert late.returncode != 0 and "terminated" in late.stderr


def test_nearly_all_of_twenty_deadlines_are_met_on_a_cluster_too_small_for_all_at_once(small: StackProcess) -> None:
    """Together they want up to 30 replicas of 12; by each deadline the work due until then fits."""
    began = time.monotonic()
    deadlines = {
        small.submit(naps(ITEMS, name=f"nap-{number}", deadline=50 + 5 * number, expected_item_time=SECONDS)): number
        for number in sorted(range(JOBS), key=lambda number: number * 7 % JOBS)
    }
    running = set(deadlines)
    most = 0
    while running:
        assert time.monotonic() - began < 170, f"still running: {running}"
        time.sleep(1.0)
        statuses = requests.get(f"{small.manager}/submissions", timeout=10).json()
        running = {id for id in deadlines if statuses[id]["state"] not in TERMINAL}
        most = max(most, sum(statuses[id]["replicas"]["requested"] for id in running))
    ends = {id: small.status(id) for id in deadlines}
    assert {end["state"] for end in ends.values()} == {"completed"}
    missed = {deadlines[id]: end["deadline_margin"] for id, end in ends.items() if not end["deadline_met"]}
    assert len(missed) <= 1, missed
    told = [reason for id in deadlines for reason in reasons(small, id)]
    assert any("arbiter: " in reason for reason in told), "nothing had to be shared"


def reasons(stack: StackProcess, id: str) -> list[str]:
    answer = requests.get(f"{stack.manager}/submissions/{id}/decisions?count=1000", timeout=10).json()
    return [decision["reason"] for decision in answer["decisions"]]


def test_a_plan_comes_true_enough_and_what_was_learned_is_kept(small: StackProcess, tmp_path: Path) -> None:
    prices = {"prices": {"replica": 3.6}}
    document = naps(20, 1.0, name="planned", deadline="40s", expected_item_time="1s", monitoring=prices)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(document))
    plan = json.loads(small.cli("submit", str(path), "--dry-run", "--json").stdout)
    assert plan["items"] == 20
    assert plan["forecast"]["feasible"] is True
    assert 5 <= plan["forecast"]["finish"]["p50"] <= 40
    projected = plan["forecast"]["cost"]["projected"]
    assert projected["money"] == pytest.approx(projected["replica_seconds"] / 1000.0)
    assert "planned" not in {
        status["name"] for status in requests.get(f"{small.manager}/submissions", timeout=10).json().values()
    }
    id = small.submit(document)
    running = small.wait_for(id, lambda now: now["state"] == "ongoing" and now["forecast"]["finish"]["p50"] is not None)
    assert running["forecast"]["replicas"]["reason"]
    assert running["forecast"]["age"] < 40
    assert "in all" in small.cli("forecast", id).stdout
    ended = small.wait(id, within=90)
    assert ended["state"] == "completed"
    assert ended["spent"] == pytest.approx(ended["replica_seconds"] / 1000.0)
    assert ended["forecast"]["cost"]["so_far"]["money"] == ended["spent"] > 0.01
    histories = json.loads(small.cli("history", "list", "--json").stdout)
    (key,) = [key for key, told in histories.items() if told["name"] == "planned"]
    known = requests.get(f"{small.manager}/history/{key}", timeout=10).json()
    assert (known["submissions"], known["items"]) == (1, 20)
    assert 1.0 <= known["mean"] < 5.0
    assert small.cli("history", "forget", key).stdout.strip() == f"{key} forgotten"
    assert small.cli("history", "forget", key, check=False).returncode != 0
