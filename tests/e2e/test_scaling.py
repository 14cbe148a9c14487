"""Scaling and lost pods while items run, on the whole stack: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.adapters.kubernetes_cluster import KubernetesCluster
from common.clock import SystemClock
from common.domain.cluster import PodView
from tests.e2e.test_faults import processes
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
HANDLER = Path(__file__).parent / "handlers" / "diary.py"


class Watched:
    """A submission whose items are noted, and its pods."""

    def __init__(self, stack: StackProcess, diary: Path, items: int, seconds: float, **document: Any) -> None:
        self.stack = stack
        self.diary = diary
        self.items = items
        kubeconfig = str(stack.addresses["kubeconfig"])
        self.cluster = KubernetesCluster(kubeconfig)
        self.api = KubernetesApi(ApiSettings(kubeconfig=kubeconfig), SystemClock())
        self.id = stack.submit(
            {
                "command": ["python3", str(HANDLER), str(seconds), str(diary)],
                "workload": [f"item {number}" for number in range(items)],
                "retries": 0,
                "lease": 30,
                "grace_period": 10,
                "monitoring": {"interval": 1},
                **document,
            }
        )

    def close(self) -> None:
        self.cluster.close()
        self.api.close()

    def pods(self) -> list[PodView]:
        return [pod for pod in self.cluster.view("default", self.id).workers() if not pod.ended]

    def running(self) -> list[PodView]:
        return [pod for pod in self.pods() if pod.running]

    def until(self, check: Any, within: float) -> float:
        """Seconds until it held."""
        began = time.monotonic()
        while not check():
            assert time.monotonic() - began < within, f"not within {within} s: {self.pods()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def delete_all_pods(self) -> set[str]:
        """As ``kubectl delete pods`` does; the names of those that were there."""
        there = {pod.name for pod in self.pods()}
        self.api.call(
            "DELETE", "/api/v1/namespaces/default/pods", [("labelSelector", f"asperathos.io/submission={self.id}")]
        )
        return there

    def check_exactly_once(self, attempts: bool) -> None:
        """Every item was begun once and has one result; with ``attempts`` of its first attempt."""
        end = self.stack.wait(self.id, within=180)
        assert end["state"] == "completed", end
        results = self.stack.results(self.id)
        assert sorted(int(result["id"]) for result in results) == list(range(self.items))
        if attempts:
            assert {result["attempt"] for result in results} == {1}
            begun = self.diary.read_text().splitlines()
            assert sorted(begun) == sorted({f"item {number}" for number in range(self.items)})


@pytest.fixture
def watched(stack: StackProcess, tmp_path: Path) -> Iterator[Any]:
    made: list[Watched] = []

    def start(items: int, seconds: float, **document: Any) -> Watched:
        made.append(Watched(stack, tmp_path / "diary", items, seconds, **document))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_from_twenty_to_two_no_item_is_lost_or_done_twice(watched: Any) -> None:
    case = watched(
        160,
        1.0,
        replicas={"min": 1, "max": 20, "initial": 20},
        control={"law": "scripted", "interval": 1, "settings": {"steps": [[0, 20], [6, 2], [14, 16]]}},
    )
    case.until(lambda: len(case.running()) >= 18, 60)
    case.until(lambda: len(case.running()) <= 2, 60)
    assert {pod.index for pod in case.running()} <= {0, 1}
    case.check_exactly_once(attempts=True)


def test_all_pods_deleted_three_times_are_back_soon(watched: Any) -> None:
    """With as many replicas as there may be, so that no other index can be asked for."""
    replicas = 3
    case = watched(
        150,
        0.4,
        replicas={"min": replicas, "max": replicas, "initial": replicas},
        control={"law": "nop", "interval": 5},
    )
    case.until(lambda: len(case.running()) == replicas, 30)
    for _ in range(3):
        time.sleep(1.0)
        gone = case.delete_all_pods()
        assert len(gone) == replicas

        def are_back(gone: set[str] = gone) -> bool:
            running = case.running()
            return len(running) == replicas and not gone & {pod.name for pod in running}

        case.until(are_back, 15)
    assert len(case.pods()) <= replicas
    case.check_exactly_once(attempts=False)


def test_a_silent_cluster_pauses_control_and_stops_no_work(own_stack: StackProcess, tmp_path: Path) -> None:
    case = Watched(
        own_stack,
        tmp_path / "diary",
        120,
        0.4,
        replicas={"min": 2, "max": 2, "initial": 2},
        control={"law": "nop", "interval": 1},
    )
    case.close()
    own_stack.wait_for(case.id, lambda now: (now["counts"]["done"] or 0) > 3)
    # The API server alone; its node agent, another process, lets the pods run on.
    server = min(processes(own_stack, "localcluster"))
    os.kill(server, signal.SIGSTOP)
    try:
        paused = own_stack.wait_for(case.id, lambda now: "the work goes on" in now["reason"], within=40)
        assert "does not answer" in paused["reason"]
        before = paused["counts"]["done"]
        own_stack.wait_for(case.id, lambda now: now["counts"]["done"] > before + 5, within=30)
    finally:
        os.kill(server, signal.SIGCONT)
    own_stack.wait_for(case.id, lambda now: not now["reason"], within=40)
    case.check_exactly_once(attempts=True)


def test_who_is_idle_beside_the_last_item_leaves_whatever_its_index(stack: StackProcess) -> None:
    """Lowering an Indexed Job removes its highest indexes only, so an idle worker below the busy one ends by itself."""
    id = stack.submit(
        {
            "run": "sleep {item}",
            "workload": ["0.5", "0.5", "0.5", "0.5", "20"],
            "replicas": {"min": 1, "max": 5, "initial": 5},
            "control": {"law": "scripted", "interval": 1, "settings": {"steps": [[0, 5], [4, 1]]}},
            "monitoring": {"interval": 1},
        }
    )
    cluster = KubernetesCluster(str(stack.addresses["kubeconfig"]))
    try:
        live, began = 5, time.monotonic()
        while live > 2 and time.monotonic() - began < 60:
            assert stack.status(id)["state"] not in ("completed", "failed"), "they stayed until the end"
            pods = cluster.view("default", id).workers()
            live = sum(not pod.ended and not pod.deleting for pod in pods) or 5
            time.sleep(0.2)
        # The busy one, and index 0 in case that one dies.
        assert live <= 2
    finally:
        cluster.close()
    end = stack.wait(id, within=90)
    assert (end["state"], len(stack.results(id))) == ("completed", 5)
