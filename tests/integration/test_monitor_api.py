"""``python -m monitor`` as a process: over REST, on a real Redis and a real local cluster, and what it survives."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters import redis_client
from common.adapters.redis_records import RedisRecords
from common.domain.cluster import GENERATION_LABEL, ROLE_LABEL, SUBMISSION_LABEL, WORKER_ROLE
from common.domain.events import OBSERVATION_RECORDS
from common.domain.progress import Observation
from tests.support.gunicorn_process import GunicornProcess, is_alive
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess

Eventually = Callable[..., None]


def _environment(redis_url: str, kubeconfig: Path, **more: str) -> dict[str, str]:
    return {
        "ASPERATHOS_REDIS_URL": redis_url,
        "ASPERATHOS_KUBECONFIG": str(kubeconfig),
        "ASPERATHOS_SHUTDOWN_GRACE": "5",
        **more,
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    cluster = LocalClusterProcess(tmp_path_factory.mktemp("cluster") / "state").start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def monitor(
    redis_server: RedisProcess, cluster: LocalClusterProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GunicornProcess]:
    log = tmp_path_factory.mktemp("monitor") / "log"
    process = GunicornProcess("monitor", _free_port(), log, _environment(redis_server.url, cluster.kubeconfig))
    yield process.start()
    process.kill_group()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Work:
    """A submission of eight items in the shared Redis."""

    def __init__(self, server: RedisProcess) -> None:
        self.id = f"kj-{uuid.uuid4().hex[:7]}"
        self.server = server
        self.queue = RedisQueue.connect(server.url, self.id)
        self.queue.open(QueueConfig(lease=30.0))
        self.queue.put([NewItem(f"payload {number}", str(number)) for number in range(8)])
        self.queue.close()
        self.body: dict[str, Any] = {
            "plugin": "items",
            "collect_period": 0.1,
            "plugin_info": {
                "queue": {"submission": self.id},
                "namespace": "default",
                "created_at": time.time(),
                "deadline": 60.0,
            },
        }

    def do(self, count: int) -> None:
        for lease in self.queue.take("worker", 0, count).leases:
            self.queue.finish_and_take("worker", 0, [Ack(lease.id, lease.attempt, "done")], 0)

    def observation(self) -> Observation | None:
        with redis_client.connect(self.server.url) as client:
            kept = RedisRecords(client, OBSERVATION_RECORDS, Observation).get(self.id)
        return kept.value if kept else None

    def close(self) -> None:
        self.queue.purge()
        self.queue.disconnect()


@pytest.fixture
def work(redis_server: RedisProcess) -> Iterator[Work]:
    work = Work(redis_server)
    yield work
    work.close()


@pytest.fixture
def own_work(own_redis: RedisProcess) -> Iterator[Work]:
    """In a Redis that no other monitor looks at."""
    work = Work(own_redis)
    yield work
    work.close()


def _start(monitor: GunicornProcess, work: Work) -> None:
    answer = monitor.call("POST", f"/monitoring/{work.id}", work.body)
    assert answer.status_code == 202, answer.text


def _view(monitor: GunicornProcess, work: Work) -> dict[str, Any]:
    view: dict[str, Any] = monitor.call("GET", f"/monitoring/{work.id}").json()
    return view


def _job(work: Work, replicas: int) -> dict[str, Any]:
    labels = {SUBMISSION_LABEL: work.id, GENERATION_LABEL: "1", ROLE_LABEL: WORKER_ROLE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{work.id}-g1", "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": replicas,
            "parallelism": replicas,
            "backoffLimitPerIndex": 10,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "worker", "image": "any", "command": ["sleep", "60"]}],
                },
            },
        },
    }


def test_a_submission_is_measured_from_post_to_report(
    monitor: GunicornProcess, cluster: LocalClusterProcess, work: Work, eventually: Eventually
) -> None:
    created = cluster.call("POST", "/apis/batch/v1/namespaces/default/jobs", _job(work, 2))
    assert created["kind"] == "Job", created
    _start(monitor, work)
    _start(monitor, work)
    eventually(lambda: (_view(monitor, work)["observation"] or {}).get("replicas", {}).get("observed") == 2)
    work.queue.report("worker", {"loss": 0.5})
    work.do(3)
    eventually(lambda: _view(monitor, work)["observation"]["progress"] == 0.375)
    published = work.observation()
    assert published is not None
    assert published.counts.done == 3
    assert published.metrics == {"loss": 0.5}
    assert published.replicas.requested == 2
    assert published.startup is not None
    assert monitor.call("GET", f"/monitoring/{work.id}/report").json() == {"message": "Job is running yet!"}
    partial = monitor.call("GET", f"/monitoring/{work.id}/report/detailed?partial=true")
    assert partial.status_code == 200 and partial.json()
    work.do(5)
    assert monitor.call("PUT", f"/monitoring/{work.id}/stop").status_code == 204
    eventually(lambda: monitor.call("GET", f"/monitoring/{work.id}/report").status_code == 200)
    report = monitor.call("GET", f"/monitoring/{work.id}/report").json()
    assert report["counts"]["done"] == 8
    assert (report["peak_replicas"], report["final_replicas"]) == (2, 2)
    assert report["replica_seconds"] > 0
    rows = list(monitor.call("GET", f"/monitoring/{work.id}/report/detailed").json().values())
    errors = [row["error"] for row in rows]
    assert report["max_error"][0] == max(errors)
    assert report["min_error"][0] == min(errors)
    assert report["final_error"][0] == errors[-1]
    assert max(report["max_error"][1], report["min_error"][1]) <= report["final_error"][1]
    assert rows[-1]["job_progress"] == 1.0
    assert {row["replicas"] for row in rows} >= {2}
    assert monitor.call("PUT", f"/monitoring/{work.id}/stop.json").status_code == 204
    assert monitor.call("DELETE", f"/monitoring/{work.id}").status_code == 204
    assert monitor.call("GET", f"/monitoring/{work.id}").status_code == 404
    cluster.call("DELETE", f"/apis/batch/v1/namespaces/default/jobs/{work.id}-g1?propagationPolicy=Background")


def test_a_dead_workers_items_return_without_any_other_worker(
    monitor: GunicornProcess, work: Work, eventually: Eventually
) -> None:
    work.queue.open(QueueConfig(lease=0.2))
    work.queue.take("dies", 0, 2)
    _start(monitor, work)
    eventually(lambda: work.queue.stats().expired == 2)
    assert work.queue.stats().ready == 8
    monitor.call("PUT", f"/monitoring/{work.id}/stop")


def test_without_a_cluster_items_are_measured_and_said_to_be_all_that_is(
    own_redis: RedisProcess, own_work: Work, tmp_path: Path, free_port: int, eventually: Eventually
) -> None:
    work = own_work
    environment = _environment(own_redis.url, tmp_path / "nothing")
    monitor = GunicornProcess("monitor", free_port, tmp_path / "log", environment).start()
    try:
        _start(monitor, work)
        work.do(4)
        eventually(lambda: (_view(monitor, work)["observation"] or {}).get("progress") == 0.5, within=20)
        view = _view(monitor, work)
        assert view["observation"]["cluster_available"] is False
        assert "cluster" in view["reason"]
        monitor.call("PUT", f"/monitoring/{work.id}/stop")
        eventually(lambda: monitor.call("GET", f"/monitoring/{work.id}/report").status_code == 200, within=20)
    finally:
        monitor.kill_group()


def test_two_processes_share_the_work_without_measuring_twice(
    redis_server: RedisProcess,
    cluster: LocalClusterProcess,
    monitor: GunicornProcess,
    work: Work,
    tmp_path: Path,
    free_port: int,
    eventually: Eventually,
) -> None:
    environment = _environment(redis_server.url, cluster.kubeconfig)
    second = GunicornProcess("monitor", free_port, tmp_path / "log", environment).start()
    try:
        work.body["collect_period"] = 0.5
        _start(second, work)
        eventually(lambda: len(_rows(second, work)) >= 5)
        seconds = sorted(float(second) for second in _rows(monitor, work))
        assert len(seconds) <= (seconds[-1] - seconds[0] + 1.0) / 0.5 + 2
        monitor.call("PUT", f"/monitoring/{work.id}/stop")
        eventually(lambda: second.call("GET", f"/monitoring/{work.id}/report").status_code == 200)
        assert second.terminate() == 0
    finally:
        second.kill_group()


def _rows(monitor: GunicornProcess, work: Work) -> dict[str, Any]:
    rows: dict[str, Any] = monitor.call("GET", f"/monitoring/{work.id}/report/detailed?partial=true").json()
    return rows


# What the process survives, and how it ends.


@pytest.fixture
def own_monitor(
    own_redis: RedisProcess, cluster: LocalClusterProcess, tmp_path: Path, free_port: int
) -> Iterator[GunicornProcess]:
    environment = _environment(own_redis.url, cluster.kubeconfig)
    monitor = GunicornProcess("monitor", free_port, tmp_path / "monitor.log", environment).start()
    yield monitor
    monitor.kill_group()


def _at(work: Work) -> float:
    observation = work.observation()
    return observation.at if observation else 0.0


def test_sigterm_ends_it_cleanly_and_another_one_goes_on(
    own_monitor: GunicornProcess, own_work: Work, eventually: Eventually
) -> None:
    work = own_work
    _start(own_monitor, work)
    eventually(lambda: _at(work) > 0)
    workers = own_monitor.workers()
    assert own_monitor.terminate() == 0
    assert not any(map(is_alive, workers))
    assert "loop_stopped" in own_monitor.log
    assert "Traceback" not in own_monitor.log
    before = _at(work)
    own_monitor.start()
    eventually(lambda: _at(work) > before)
    assert own_monitor.call("PUT", f"/monitoring/{work.id}/stop").status_code == 204
    eventually(lambda: own_monitor.call("GET", f"/monitoring/{work.id}/report").status_code == 200)


def test_ctrl_c_ends_it_cleanly(own_monitor: GunicornProcess) -> None:
    workers = own_monitor.workers()
    os.killpg(own_monitor.pid, signal.SIGINT)
    assert own_monitor.wait() == 0
    assert not any(map(is_alive, workers))
    assert "Traceback" not in own_monitor.log


def test_a_killed_worker_is_replaced_and_measuring_goes_on(
    own_monitor: GunicornProcess, own_work: Work, eventually: Eventually
) -> None:
    work = own_work
    _start(own_monitor, work)
    eventually(lambda: _at(work) > 0)
    [worker] = own_monitor.workers()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not is_alive(worker))
    before = _at(work)
    eventually(lambda: own_monitor.workers() not in ([], [worker]), within=20)
    eventually(lambda: _at(work) > before, within=20)
    eventually(own_monitor.answers)
    own_monitor.call("PUT", f"/monitoring/{work.id}/stop")
    eventually(lambda: own_monitor.call("GET", f"/monitoring/{work.id}/report").status_code == 200)


def test_a_killed_arbiter_leaves_no_worker_behind(own_monitor: GunicornProcess, eventually: Eventually) -> None:
    workers = own_monitor.workers()
    os.kill(own_monitor.pid, signal.SIGKILL)
    own_monitor.wait()
    eventually(lambda: not any(map(is_alive, workers)), within=15)


def test_redis_away_is_told_by_readiness_and_passes(
    own_redis: RedisProcess,
    own_work: Work,
    cluster: LocalClusterProcess,
    tmp_path: Path,
    free_port: int,
    eventually: Eventually,
) -> None:
    work = own_work
    environment = _environment(own_redis.url, cluster.kubeconfig, ASPERATHOS_REDIS_TIMEOUT="1")
    monitor = GunicornProcess("monitor", free_port, tmp_path / "monitor.log", environment).start()
    try:
        _start(monitor, work)
        eventually(lambda: _at(work) > 0)
        own_redis.kill()
        answer = monitor.call("GET", "/readyz")
        assert answer.status_code == 503
        assert "redis" in answer.json()["broken"]
        answer = monitor.call("GET", f"/monitoring/{work.id}")
        assert (answer.status_code, answer.json()["error_name"]) == (503, "SERVICE_UNAVAILABLE")
        assert monitor.answers()
        own_redis.start()
        eventually(lambda: monitor.call("GET", "/readyz").status_code == 200)
        before = _at(work)
        eventually(lambda: _at(work) > before, within=20)
        assert monitor.terminate() == 0
    finally:
        monitor.kill_group()


def test_it_ends_promptly_also_while_redis_hangs(
    own_redis: RedisProcess,
    own_work: Work,
    cluster: LocalClusterProcess,
    tmp_path: Path,
    free_port: int,
    eventually: Eventually,
) -> None:
    work = own_work
    environment = _environment(own_redis.url, cluster.kubeconfig, ASPERATHOS_REDIS_TIMEOUT="1")
    monitor = GunicornProcess("monitor", free_port, tmp_path / "monitor.log", environment).start()
    try:
        _start(monitor, work)
        eventually(lambda: _at(work) > 0)
        own_redis.pause()
        assert monitor.terminate() == 0
    finally:
        own_redis.resume()
        monitor.kill_group()


def test_wrong_settings_are_named(redis_server: RedisProcess, tmp_path: Path, free_port: int) -> None:
    environment = {"ASPERATHOS_REDIS_TIMEOUT": "soon", "ASPERATHOS_THREADS": "0"}
    monitor = GunicornProcess("monitor", free_port, tmp_path / "log", environment).start(wait=False)
    assert monitor.wait() == 64
    assert "ASPERATHOS_REDIS_TIMEOUT" in monitor.log
    assert "ASPERATHOS_THREADS" in monitor.log
    assert "Traceback" not in monitor.log
