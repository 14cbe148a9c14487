"""The manager as a process, with a real Redis and a real controller to ask about laws; no cluster, no loop."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters import redis_client
from common.adapters.redis_records import RedisRecords
from common.domain.states import Intent, State
from common.domain.submission import Submission
from tests.support.items_site import ItemsSite
from tests.support.manager_door import NATIVE, payload
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

Eventually = Callable[..., None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def manager(redis_url: str, controller_url: str, log: Path, **settings: str) -> ServiceProcess:
    return ServiceProcess(
        "manager",
        free_port(),
        log,
        "--api-only",
        redis_url=redis_url,
        redis_timeout="0.5",
        controller_url=controller_url,
        monitor_url="http://127.0.0.1:1",
        kubeconfig=str(log.with_name("no-kubeconfig")),
        workload_read_timeout="0.5",
        **settings,
    )


@dataclass(frozen=True)
class World:
    """A manager and what it leans on. ``records`` and ``redis_url`` let a test look, and play the loop."""

    url: str
    site: str
    redis: RedisProcess
    records: RedisRecords[Submission]
    log: Path

    def post(self, document: Any, **headers: str) -> requests.Response:
        return requests.post(f"{self.url}/submissions", json=document, headers=headers, timeout=10)

    def submit(self, document: Any) -> str:
        answer = self.post(document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}/submissions{path}", timeout=10)

    def change(self, id: str, **fields: Any) -> None:
        present = self.records.get(id)
        assert present is not None
        self.records.update(id, present.value.model_copy(update=fields), present.version)


@pytest.fixture(scope="module")
def world(redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("manager")
    site = ItemsSite()
    site.start()
    controller = ServiceProcess(
        "controller", free_port(), directory / "controller.log", "--api-only", redis_url=redis_server.url
    )
    controller.start()
    log = directory / "manager.log"
    process = manager(redis_server.url, controller.url, log)
    process.start()
    with redis_client.connect(redis_server.url) as client:
        yield World(process.url, site.url, redis_server, RedisRecords(client, "submission", Submission), log)
    process.stop()
    controller.stop()
    site.stop()


def fields_of(answer: requests.Response) -> list[str]:
    return [fault["field"] for fault in answer.json()["details"]]


def test_a_submission_is_taken_in_and_told_of(world: World) -> None:
    id = world.submit({**NATIVE, "workload": f"{world.site}/items", "name": "first"})
    told = world.get(f"/{id}").json()
    assert {"app_id", "starting_time", "status", "visualizer_url", "redis_ip", "redis_port"} <= told.keys()
    assert (told["app_id"], told["status"], told["name"]) == (id, "created", "first")
    assert world.get("?name=first").json()[id]["status"] == "created"
    assert requests.put(f"{world.url}/submissions/{id}/stop", timeout=10).status_code == 204
    present = world.records.get(id)
    assert present is not None
    assert present.value.intent is Intent.STOP


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_originals_payloads_are_accepted(world: World, number: int) -> None:
    answer = world.post(payload(number, f"{world.site}/items"))
    assert answer.status_code == 202
    assert answer.json()["job_id"].startswith("kj-")
    shown = world.get(f"/{answer.json()['job_id']}?spec=true").json()
    assert shown["law"] == "threshold"
    assert shown["spec"]["queue"] == "dedicated"


def test_no_password_is_kept_or_told(world: World) -> None:
    document = payload(1, f"{world.site}/items", username="admin", password="correct-horse-battery")
    id = world.submit({**document, "enable_auth": True, "password": "correct-horse-battery"})
    requests.put(f"{world.url}/submissions/{id}/stop", json={"password": "correct-horse-battery"}, timeout=10)
    with world.redis.client() as client:
        record = client.hgetall(f"asp:rec:submission:{id}")
    assert record
    assert "correct-horse" not in json.dumps(record) + world.get(f"/{id}?spec").text + world.log.read_text()


def test_laws_are_checked_by_the_controller(world: World) -> None:
    before = world.records.ids()
    answer = world.post({**NATIVE, "control": {"law": "thresold"}})
    assert (answer.status_code, fields_of(answer)) == (400, ["control.law"])
    assert "threshold" in answer.text
    answer = world.post({**NATIVE, "control": {"law": "threshold", "settings": {"trigger_up": "x", "trigger": 1}}})
    assert answer.status_code == 400
    assert set(fields_of(answer)) == {"control.settings.trigger_up", "control.settings.trigger"}
    wrong = payload(1, f"{world.site}/items")
    wrong["plugin_info"]["control_parameters"]["actuation_size"] = 0
    assert fields_of(world.post(wrong)) == ["plugin_info.control_parameters.actuation_size"]
    assert world.records.ids() == before


@pytest.mark.parametrize("path", ["/missing", "/broken", "/page", "/loop", "/silent"])
def test_a_workload_that_cannot_be_read_is_refused(world: World, path: str) -> None:
    before = world.records.ids()
    assert fields_of(world.post({**NATIVE, "workload": world.site + path})) == ["workload.url"]
    assert fields_of(world.post(payload(1, world.site + path))) == ["plugin_info.redis_workload"]
    assert world.records.ids() == before


def test_files_of_the_manager_are_closed(world: World) -> None:
    for workload in ("file:///etc/hostname", {"glob": "/etc/*"}):
        answer = world.post({**NATIVE, "workload": workload})
        assert answer.status_code == 400
        assert "ASPERATHOS_ALLOW_LOCAL_FILES" in answer.text


def test_a_repeated_request_makes_one_submission(world: World) -> None:
    before = set(world.records.ids())
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: world.post(NATIVE, **{"Idempotency-Key": "once"}), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(set(world.records.ids()) - before) == 1
    other = world.post({**NATIVE, "name": "other"}, **{"Idempotency-Key": "once"})
    assert other.status_code == 422
    with world.redis.client() as client:
        claims = list(client.scan_iter("asp:claim:submit:*"))
        assert all(0 < client.ttl(claim) <= 86400 for claim in claims)


def test_many_clients_at_once_lose_nothing(world: World) -> None:
    before = set(world.records.ids())
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda number: world.submit({**NATIVE, "name": f"job-{number}"}), range(100)))
    assert len(set(ids)) == 100
    assert set(world.records.ids()) - before == set(ids)


def test_results_and_dead_items_are_read_from_the_queue(world: World) -> None:
    id = world.submit({**NATIVE, "workload": ["a", "b", "c"]})
    queue = RedisQueue.connect(world.redis.url, id)
    try:
        queue.open(QueueConfig(retries=0))
        queue.put([NewItem(text, str(place)) for place, text in enumerate("abc")])
        queue.close()
        for lease in queue.take("w", 0, 3).leases:
            if lease.payload == "b":
                queue.fail("w", lease, "exit code 3: no b's")
            else:
                queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt, lease.payload.upper())], 0)
        world.change(id, state=State.FAILED, loaded=3, finished_at=1.0, reason="1 item is dead")
        page = world.get(f"/{id}/results?count=1").json()
        assert (page["results"][0]["result"], page["more"]) == ("A", True)
        lines = world.get(f"/{id}/results?format=jsonl").text.splitlines()
        assert [json.loads(line)["result"] for line in lines] == ["A", "C"]
        assert any("no b's" in error for error in world.get(f"/{id}/errors").json())
        assert world.get(f"/{id}/items?ids=1").json()["items"][0]["place"] == "dead"
        retried = requests.post(f"{world.url}/submissions/{id}/retry", timeout=10)
        assert retried.status_code == 202
        again = world.records.get(retried.json()["job_id"])
        assert again is not None
        assert again.value.spec.workload is not None
        assert again.value.spec.workload.items == ("b",)
    finally:
        queue.purge()
        queue.disconnect()


def test_a_stream_takes_items(world: World) -> None:
    id = world.submit({"run": "cat", "target": {"latency": "5s"}})
    url = f"{world.url}/submissions/{id}/items"
    early = requests.post(url, json=["a"], timeout=10)
    assert (early.status_code, "Retry-After" in early.headers) == (503, True)
    queue = RedisQueue.connect(world.redis.url, id)
    try:
        queue.open(QueueConfig(stream=True))
        items = [f"item {number}" for number in range(2500)]
        assert requests.post(url, json={"items": items}, timeout=10).json() == {"added": 2500}
        assert queue.stats().put == 2500
        queue.close()
        assert requests.post(url, json=["late"], timeout=10).status_code == 409
    finally:
        queue.purge()
        queue.disconnect()


def test_what_the_monitor_keeps_is_unavailable_without_it(world: World) -> None:
    id = world.submit(NATIVE)
    assert world.get(f"/{id}/report").json() == {"message": "Job is running yet!"}
    world.change(id, state=State.COMPLETED, finished_at=1.0)
    assert world.get(f"/{id}/report").status_code == 503


def test_reading_never_needs_the_cluster(world: World) -> None:
    id = world.submit(NATIVE)
    world.change(id, state=State.ONGOING, generation=1)
    for path in ("", "/log", "/events", "/errors", "/forecast"):
        assert world.get(f"/{id}{path}").status_code == 200, path
    assert requests.get(f"{world.url}/nodes", timeout=20).status_code in (502, 503)


def test_without_redis_and_controller(own_redis: RedisProcess, tmp_path: Path, eventually: Eventually) -> None:
    process = manager(own_redis.url, "http://127.0.0.1:1", tmp_path / "manager.log")
    process.start()
    try:
        answer = requests.post(f"{process.url}/submissions", json=NATIVE, timeout=20)
        assert answer.status_code == 202
        assert any("could not be checked" in warning for warning in answer.json()["warnings"])
        own_redis.kill()
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/kj-0000000"), ("PUT", "/kj-0000000/stop")):
            answer = requests.request(method, f"{process.url}/submissions{path}", json=NATIVE, timeout=20)
            assert answer.status_code == 503, (method, path)
            assert answer.headers["Retry-After"]
            assert answer.json()["error_name"] == "SERVICE_UNAVAILABLE"
        own_redis.start()
        eventually(lambda: requests.post(f"{process.url}/submissions", json=NATIVE, timeout=20).status_code == 202)
        assert len(requests.get(f"{process.url}/submissions", timeout=20).json()) == 2
    finally:
        process.stop()
