"""The manager as it is built, on a real Redis and the embedded cluster, with real workers; the others are away."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from cli.stack.redis_server import find_redis_server
from common.adapters.kubernetes_cluster import KubernetesCluster
from common.bootstrap import Roles
from common.http.server import Service
from manager.bootstrap import build
from manager.settings import Settings
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess

ORIGINAL_WORKER = """
import hashlib, os, redis
r = redis.Redis(os.environ["REDIS_HOST"], decode_responses=True)
while r.llen("job") + r.llen("job:processing") > 0:
    item = r.brpoplpush("job", "job:processing", 1)
    if item is None:
        continue
    lease = "job:leased_by_session:" + hashlib.sha224(item.encode()).hexdigest()
    r.setex(lease, 10, "me")
    r.rpush("job:results", item.upper())
    r.lrem("job:processing", 0, item)
    r.delete(lease)
"""

Eventually = Callable[..., None]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    flags = ("--backoff-base", "0.3", "--shutdown-grace", "1")
    process = LocalClusterProcess(tmp_path_factory.mktemp("localcluster") / "state", flags)
    process.start()
    yield process
    process.stop()


class Manager:
    """A manager in this process; ``restart`` drops its loop as a crash would and builds another."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.service = self._built()
        self.cluster = KubernetesCluster(settings.kubeconfig)

    def _built(self) -> Service:
        service = build(self.settings, Roles(api=True, loop=True))
        assert service.loop is not None
        service.loop.start()
        self.client = service.app.test_client()
        return service

    def restart(self) -> None:
        self.stop()
        self.service = self._built()

    def stop(self) -> None:
        assert self.service.loop is not None
        self.service.loop.stop(10.0)

    def close(self) -> None:
        self.stop()
        self.cluster.close()

    def submit(self, **document: Any) -> str:
        answer = self.client.post("/submissions", json=document)
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["job_id"])

    def status(self, id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/submissions/{id}").get_json())

    def results(self, id: str) -> list[str]:
        answer = self.client.get(f"/submissions/{id}/results?limit=10000")
        return [result["result"] for result in answer.get_json()["results"]]

    def is_gone_from_cluster(self, id: str) -> bool:
        view = self.cluster.view("default", id)
        return not view.jobs and not view.pods


@pytest.fixture
def manager(embedded: LocalClusterProcess, own_redis: RedisProcess, free_port: int) -> Iterator[Manager]:
    nobody = f"http://127.0.0.1:{free_port}"
    manager = Manager(
        Settings(
            redis_url=SecretStr(own_redis.url),
            kubeconfig=str(embedded.kubeconfig),
            controller_url=nobody,
            monitor_url=nobody,
            visualizer_url=nobody,
            queue_command=(find_redis_server(),),
            crash_pods=2,
        )
    )
    yield manager
    manager.close()


def test_a_batch_runs_to_its_end_with_one_result_per_item(manager: Manager, eventually: Eventually) -> None:
    items = [f"item-{n}" for n in range(40)]
    id = manager.submit(run="echo {item}", workload=items, deadline="5m", replicas={"initial": 2})
    eventually(lambda: manager.status(id)["status"] == "completed", within=60)
    assert Counter(manager.results(id)) == Counter(items)
    status = manager.status(id)
    assert status["deadline_met"] is True
    assert status["counts"]["done"] == 40
    eventually(lambda: manager.is_gone_from_cluster(id))
    log = manager.client.get(f"/submissions/{id}/log").get_json()
    assert len(log["pods"]) == 2
    assert "worker_started" in log["stdout"]


def test_a_restart_in_the_middle_costs_nothing(manager: Manager, eventually: Eventually) -> None:
    items = [str(n) for n in range(60)]
    id = manager.submit(run="sh -c 'sleep 0.05; echo {item}'", workload=items, replicas={"initial": 2})
    eventually(lambda: manager.status(id)["counts"]["done"] > 5 or manager.results(id), within=60)
    manager.restart()
    eventually(lambda: manager.status(id)["status"] == "completed", within=60)
    assert Counter(manager.results(id)) == Counter(items)


def test_stop_and_terminate_leave_nothing_in_the_cluster(manager: Manager, eventually: Eventually) -> None:
    document = {"run": "sleep 30", "workload": [str(n) for n in range(10)], "grace_period": 1}
    stopped, terminated = manager.submit(**document), manager.submit(**document)
    for id in (stopped, terminated):
        eventually(lambda id=id: any(pod.running for pod in manager.cluster.view("default", id).workers()), within=60)
    assert manager.client.put(f"/submissions/{terminated}/terminate").status_code == 204
    assert manager.client.put(f"/submissions/{stopped}/stop").status_code == 204
    eventually(lambda: manager.status(terminated)["status"] == "terminated", within=30)
    eventually(lambda: manager.status(stopped)["status"] == "stopped", within=30)
    for id in (stopped, terminated):
        eventually(lambda id=id: manager.is_gone_from_cluster(id), within=30)
    assert manager.status(stopped)["counts"]["total"] == 10


def test_a_program_that_is_not_there_is_named(manager: Manager, eventually: Eventually) -> None:
    id = manager.submit(command=["no-such-program"], workload=["a"], replicas={"min": 2})
    eventually(lambda: manager.status(id)["status"] == "error", within=60)
    assert "no-such-program" in manager.status(id)["reason"]
    eventually(lambda: manager.is_gone_from_cluster(id))


def test_what_a_failing_container_says_is_the_reason(manager: Manager, eventually: Eventually) -> None:
    script = "echo the license has expired >&2; exit 3"
    id = manager.submit(command=["sh", "-c", script], workload=["a"], replicas={"min": 2})
    eventually(lambda: manager.status(id)["status"] == "error", within=60)
    assert manager.status(id)["reason"] == "the container exits at once with code 3: the license has expired"
    events = manager.client.get(f"/submissions/{id}/events").get_json()["events"]
    assert any(event["kind"] == "pod" and "failed with code 3" in event["message"] for event in events)


def test_an_image_of_the_original_contract_runs_unchanged(manager: Manager, eventually: Eventually) -> None:
    items = [f"line {n}" for n in range(20)]
    id = manager.submit(command=["python3", "-c", ORIGINAL_WORKER], workload=items, queue="dedicated")
    eventually(lambda: manager.status(id)["status"] == "completed", within=90)
    eventually(lambda: manager.is_gone_from_cluster(id), within=30)
    assert Counter(manager.results(id)) == Counter(item.upper() for item in items)


def queue_objects(embedded: LocalClusterProcess, id: str) -> dict[str, dict[str, Any]]:
    """The Deployment, the Service and the Secret of a dedicated queue."""
    places = {"Deployment": "/apis/apps/v1", "Service": "/api/v1", "Secret": "/api/v1"}
    path = "{}/namespaces/default/{}s/{}-queue"
    return {kind: embedded.call("GET", path.format(group, kind.lower(), id)) for kind, group in places.items()}


def queue_server(embedded: LocalClusterProcess, id: str, as_admin: bool = True) -> redis.Redis:
    """A client of a dedicated queue's Redis, by its Service's address."""
    found = queue_objects(embedded, id)
    password = b64decode(found["Secret"]["data"]["password"]).decode()
    user = {"username": "asperathos", "password": password} if as_admin else {}
    return redis.Redis(found["Service"]["spec"]["clusterIP"], socket_timeout=5, decode_responses=True, **user)


def test_a_dedicated_queue_is_a_deployment_with_its_service_and_password(
    manager: Manager, embedded: LocalClusterProcess, eventually: Eventually
) -> None:
    id = manager.submit(command=["sleep", "60"], workload=["a", "b"], queue="dedicated", grace_period=0)
    eventually(lambda: manager.status(id)["status"] == "ongoing", within=60)
    found = queue_objects(embedded, id)
    owner = found["Deployment"]["metadata"]["uid"]
    for kind in ("Service", "Secret"):
        assert [reference["uid"] for reference in found[kind]["metadata"]["ownerReferences"]] == [owner]
    assert manager.status(id)["redis_ip"] == found["Service"]["spec"]["clusterIP"]
    with queue_server(embedded, id, as_admin=False) as anyone, queue_server(embedded, id) as admin:
        assert anyone.lrange("job", 0, -1) == ["b", "a"], "an image of the original sends no password"
        for refused in (["FLUSHALL"], ["CONFIG", "GET", "*"], ["ACL", "LIST"], ["SHUTDOWN"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                anyone.execute_command(*refused)
        with pytest.raises(redis.exceptions.AuthenticationError):
            anyone.execute_command("AUTH", "asperathos", "guessed")
        assert admin.acl_whoami() == "asperathos"
    shown = manager.client.get(f"/submissions/{id}").get_data(as_text=True)
    assert b64decode(found["Secret"]["data"]["password"]).decode() not in shown
    assert manager.client.put(f"/submissions/{id}/terminate").status_code == 204
    eventually(lambda: manager.is_gone_from_cluster(id), within=30)
    assert {item.get("code") for item in queue_objects(embedded, id).values()} == {404}


def test_a_dedicated_queue_whose_server_dies_goes_on_with_its_items(
    manager: Manager, embedded: LocalClusterProcess, eventually: Eventually
) -> None:
    slow = ORIGINAL_WORKER.replace("    r.rpush(", "    __import__('time').sleep(0.3)\n    r.rpush(")
    patient = slow.replace("decode_responses=True", "decode_responses=True, retry=redis.retry.Retry(B(1, 0.1), 60)")
    head = "import redis.retry\nfrom redis.backoff import ExponentialBackoff as B\n"
    items = [f"line {n}" for n in range(12)]
    id = manager.submit(command=["python3", "-c", head + patient], workload=items, queue="dedicated")
    eventually(lambda: manager.status(id)["counts"]["done"] > 1 or manager.results(id), within=60)
    with queue_server(embedded, id) as server:
        # What was written in the last second before a crash may be lost; this is not about that.
        server.execute_command("BGREWRITEAOF")
        time.sleep(1.2)
        with suppress(redis.RedisError):
            server.execute_command("SHUTDOWN", "NOSAVE", "NOW")
    eventually(lambda: manager.status(id)["status"] == "completed", within=90)
    assert set(manager.results(id)) == {item.upper() for item in items}


def test_a_dedicated_queue_whose_pod_is_deleted_is_an_error(
    manager: Manager, embedded: LocalClusterProcess, eventually: Eventually
) -> None:
    id = manager.submit(command=["sleep", "60"], workload=["a"], queue="dedicated", grace_period=0)
    eventually(lambda: manager.status(id)["status"] == "ongoing", within=60)
    (pod,) = (pod for pod in manager.cluster.view("default", id).pods if pod.role == "queue")
    embedded.call("DELETE", f"/api/v1/namespaces/default/pods/{pod.name}")
    eventually(lambda: manager.status(id)["status"] == "error", within=60)
    assert manager.status(id)["reason"].startswith("the dedicated queue")
    assert "its items" in manager.status(id)["reason"]
    eventually(lambda: manager.is_gone_from_cluster(id), within=30)
    assert {item.get("code") for item in queue_objects(embedded, id).values()} == {404}


def test_a_worker_has_its_own_user_of_redis_also_after_redis_forgot_it(
    manager: Manager, own_redis: RedisProcess, eventually: Eventually
) -> None:
    items = [str(n) for n in range(40)]
    id = manager.submit(run="sh -c 'sleep 0.1; echo {item}'", workload=items, replicas={"initial": 2})
    eventually(lambda: manager.results(id), within=60)
    with own_redis.client() as client:
        assert f"asp-{id}" in client.acl_users()
        assert any(connection["user"] == f"asp-{id}" for connection in client.client_list())
    time.sleep(1.1)
    own_redis.stop()
    own_redis.start()
    eventually(lambda: manager.status(id)["status"] == "completed", within=90)
    assert set(manager.results(id)) == set(items)
    with own_redis.client() as client:
        eventually(lambda: f"asp-{id}" not in client.acl_users(), within=30)


def test_logs_are_followed_until_the_end(manager: Manager, eventually: Eventually) -> None:
    script = "for n in 1 2 3 4 5 6; do echo line-$n; sleep 0.5; done; exit 3"
    id = manager.submit(command=["sh", "-c", script], workload=["a"], replicas={"min": 2})
    eventually(lambda: manager.status(id)["status"] == "ongoing", within=30)
    answer = manager.client.get(f"/submissions/{id}/log?follow=true")
    assert answer.mimetype == "text/plain"
    told = Counter(line.partition(" | ")[2] for line in answer.text.splitlines())
    assert manager.status(id)["status"] == "error"
    pods = manager.client.get(f"/submissions/{id}/log").get_json()["pods"]
    # A pod that was removed at the end may have written more than what was kept of it.
    assert Counter(line for text in pods.values() for line in text.splitlines()) <= told
    assert told["line-6"] >= 2
    tail = manager.client.get(f"/submissions/{id}/log?tail=1").get_json()["pods"]
    assert tail == {name: text.splitlines(keepends=True)[-1] for name, text in pods.items()}


class _KnowsNothing(BaseHTTPRequestHandler):
    """A service that came back and has no record."""

    def do_DELETE(self) -> None:
        self.send_error(404)

    do_PUT = do_GET = do_DELETE

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_nothing_is_left_in_redis_after_keep(
    manager: Manager, own_redis: RedisProcess, free_port: int, eventually: Eventually
) -> None:
    """It is forgotten when the other services say that they know nothing of it."""
    id = manager.submit(run="echo {item}", workload=["a", "b"], keep="1s", dashboard=False)
    eventually(lambda: manager.status(id)["status"] == "completed", within=60)
    with ThreadingHTTPServer(("127.0.0.1", free_port), _KnowsNothing) as others:
        threading.Thread(target=others.serve_forever, daemon=True).start()
        eventually(lambda: manager.client.get(f"/submissions/{id}").status_code == 404, within=60)
        others.shutdown()
    with own_redis.client() as client:
        eventually(lambda: [key for key in client.scan_iter(f"*{id}*") if "fence" not in key] == [], within=10)


def test_ten_thousand_items_are_loaded_before_the_work_begins(manager: Manager, eventually: Eventually) -> None:
    items = [f"item-{n}" for n in range(10_000)]
    id = manager.submit(command=["sleep", "60"], workload=items, grace_period=0)
    eventually(lambda: manager.status(id)["status"] == "ongoing", within=30)
    assert manager.client.put(f"/submissions/{id}/terminate").status_code == 204
    eventually(lambda: manager.status(id)["status"] == "terminated", within=30)
    assert manager.status(id)["counts"]["ready"] == 10_000


def test_several_managers_do_everything_once(manager: Manager, eventually: Eventually) -> None:
    others = [Manager(manager.settings) for _ in range(2)]
    try:
        ids = [manager.submit(run="echo {item}", workload=[f"{n}-{k}" for k in range(10)]) for n in range(6)]
        for id in ids:
            eventually(lambda id=id: manager.status(id)["status"] == "completed", within=60)
            assert len(set(manager.results(id))) == len(manager.results(id)) == 10
            events = manager.client.get(f"/submissions/{id}/events").get_json()["events"]
            states = [event["message"] for event in events if event["kind"] == "state"]
            assert states == ["created", "loading", "ongoing", "completed"]
            assert sum("was created" in event["message"] for event in events) == 1
    finally:
        for other in others:
            other.stop()
