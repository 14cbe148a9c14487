"""The controller over REST on a real Redis; and ``python -m controller`` as a process scaling a real local cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig, Verdict
from asperathos_worker.queue.redis_queue import RedisQueue
from flask.testing import FlaskClient
from pydantic import SecretStr

from common.adapters import redis_client
from common.adapters.redis_board import RedisBoard
from common.adapters.redis_history import RedisJournal
from common.adapters.redis_records import RedisRecords
from common.bootstrap import Roles
from common.domain.events import DECISIONS, EVENTS, OBSERVATION_RECORDS, Event
from common.domain.progress import Decision, Observation
from common.http.contracts import ScalingView
from controller.arbiter import Demand
from controller.arbitration import DEMANDS
from controller.bootstrap import build
from controller.settings import Settings
from tests.support.local_cluster import LocalClusterProcess, job_object, python_container
from tests.support.redis_process import RedisProcess
from tests.unit.controller.builders import observed

Eventually = Callable[..., None]
ROOT = Path(__file__).parents[2]


def new_id() -> str:
    return f"kj-{uuid.uuid4().hex[:7]}"


def body(id: str, **given: Any) -> dict[str, Any]:
    document = {
        "namespace": "default",
        "job": f"{id}-g1",
        "queue": {"submission": id},
        "kind": "batch",
        "law": "threshold",
        "control": {"law": "threshold", "interval": 0.5, "settings": {"trigger_up": 0.1}},
        "replicas": {"min": 1, "max": 6},
        "initial": 1,
    }
    return {**document, **given}


def client_for(server: RedisProcess, token: str = "") -> FlaskClient:
    settings = Settings(redis_url=SecretStr(server.url), service_token=SecretStr(token))
    return build(settings, Roles(api=True, loop=False)).app.test_client()


@pytest.fixture(scope="module")
def client(redis_server: RedisProcess) -> FlaskClient:
    return client_for(redis_server)


@pytest.fixture
def id() -> str:
    return new_id()


def test_post_get_stop(client: FlaskClient, id: str) -> None:
    answer = client.post(f"/scaling/{id}", json=body(id))
    assert (answer.status_code, answer.data) == (204, b"")
    view = client.get(f"/scaling/{id}").get_json()
    assert (view["active"], view["law"], view["desired"], view["requested"]) == (True, "threshold", 1, 1)
    assert view["decisions"] == []
    listed = client.get("/scaling").get_json()
    assert listed[id]["active"] is True
    assert listed[id]["desired"] == 1
    assert "decisions" not in listed[id]
    for _ in range(2):
        answer = client.put(f"/scaling/{id}/stop")
        assert (answer.status_code, answer.data) == (204, b"")
    assert client.get(f"/scaling/{id}").get_json()["active"] is False


@pytest.mark.parametrize("spelling", ["scaling", "scailing", "scalinig"])
def test_every_spelling_answers_with_and_without_json(client: FlaskClient, spelling: str, id: str) -> None:
    assert client.post(f"/{spelling}/{id}", json=body(id)).status_code == 204
    for suffix in ("", ".json"):
        assert client.get(f"/{spelling}/{id}{suffix}").status_code == 200
        assert id in client.get(f"/{spelling}{suffix}").get_json()
        assert client.post(f"/{spelling}/validate{suffix}", json={"law": "nop"}).status_code == 204
        assert client.put(f"/{spelling}/{id}/stop{suffix}").status_code == 204


def test_the_same_post_again_changes_nothing(client: FlaskClient, redis_server: RedisProcess, id: str) -> None:
    client.post(f"/scaling/{id}", json=body(id))
    with redis_server.client() as redis:
        version = redis.hget(f"asp:rec:scaling:{id}", "v")
        assert client.post(f"/scaling/{id}", json=body(id)).status_code == 204
        assert redis.hget(f"asp:rec:scaling:{id}", "v") == version
        assert client.post(f"/scaling/{id}", json=body(id, job=f"{id}-g2", initial=3)).status_code == 204
        assert redis.hget(f"asp:rec:scaling:{id}", "v") != version
    view = client.get(f"/scaling/{id}").get_json()
    assert (view["job"], view["requested"]) == (f"{id}-g2", 3)


def plan(**given: Any) -> dict[str, Any]:
    document = {name: value for name, value in body("kj-0000000").items() if name not in ("namespace", "job", "queue")}
    known = {
        "law": "deadline",
        "control": {"law": "deadline"},
        "deadline": 100.0,
        "items": 50,
        "expected_item_time": 4.0,
    }
    return {**document, **known, **given}


def test_a_plan_is_answered_and_leaves_nothing(client: FlaskClient, redis_server: RedisProcess) -> None:
    with redis_server.client() as redis:
        before = set(redis.scan_iter("asp:*"))
        answer = client.post("/forecast", json=plan())
        assert set(redis.scan_iter("asp:*")) == before
    assert answer.status_code == 200
    told = answer.get_json()
    assert told["granted"] == told["wanted"] >= 2
    assert told["forecast"]["p50"] <= 100.0
    assert (told["endangered"], told["fits"], told["capacity"]) == ([], True, None)
    assert client.post("/forecast", json=plan(law="deadlin")).status_code == 400
    wrong = client.post("/forecast", json=plan(items=-1, deadline="soon"))
    assert {fault["field"] for fault in wrong.get_json()["details"]} == {"items", "deadline"}


def test_stopping_withdraws_what_was_asked_for(client: FlaskClient, redis_server: RedisProcess, id: str) -> None:
    client.post(f"/scaling/{id}", json=body(id))
    with redis_server.client() as redis:
        board = RedisBoard(redis, DEMANDS, Demand)
        board.put("default", id, Demand(wanted=1, most=1))
        client.put(f"/scaling/{id}/stop")
        assert id not in board.entries("default")


def test_shares_tell_who_asks_for_what_of_a_cluster(client: FlaskClient, redis_server: RedisProcess, id: str) -> None:
    with redis_server.client() as redis:
        board = RedisBoard(redis, DEMANDS, Demand)
        board.put("farm", id, Demand(wanted=7, most=9, holding=3, minimum=2, deadline_at=99.0))
        board.put("farm", "kj-over", Demand(wanted=1, most=1, until=5.0))
        told = client.get("/shares?cluster=farm").get_json()
        board.drop("farm", id)
    assert (told["cluster"], told["capacity"], list(told["shares"])) == ("farm", None, [id])
    share = told["shares"][id]
    assert (share["wanted"], share["granted"], share["minimum"], share["deadline_at"]) == (7, 3, 2, 99.0)
    assert client.get("/shares").status_code == 200
    assert client.get("/shares?cluster=..%2Fx").status_code == 400


def test_stopping_gives_the_record_an_end_and_posting_again_revives_it(
    client: FlaskClient, redis_server: RedisProcess, id: str
) -> None:
    client.post(f"/scaling/{id}", json=body(id))
    client.put(f"/scaling/{id}/stop")
    with redis_server.client() as redis:
        assert 0 < int(redis.ttl(f"asp:rec:scaling:{id}")) <= 7 * 86400
        client.post(f"/scaling/{id}", json=body(id))
        assert redis.ttl(f"asp:rec:scaling:{id}") == -1
    assert client.get(f"/scaling/{id}").get_json()["active"] is True


def test_deleting_forgets_it_but_not_while_it_is_scaled(
    client: FlaskClient, redis_server: RedisProcess, id: str, eventually: Eventually
) -> None:
    client.post(f"/scaling/{id}", json=body(id))
    journal = RedisJournal(redis_client.connect(redis_server.url))
    journal.append(DECISIONS, id, Decision(at=1.0, law="nop", wanted=1, granted=1, previous=1, reason="x"))
    assert client.delete(f"/scaling/{id}").status_code == 409
    client.put(f"/scaling/{id}/stop")
    for _ in range(2):
        assert client.delete(f"/scaling/{id}").status_code == 204
    assert client.get(f"/scaling/{id}").status_code == 404
    eventually(lambda: journal.read(DECISIONS, id, Decision) == [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"law": "treshold"}, "control.law"),
        ({"control": {"settings": {"trigger_upp": 1}}}, "control.settings.trigger_upp"),
        ({"control": {"settings": {"actuation_size": 0}}}, "control.settings.actuation_size"),
        ({"control": {"intervall": 1}}, "control.intervall"),
        ({"replicas": {"min": 5, "max": 2}}, "replicas.min"),
        ({"initial": -1}, "initial"),
        ({"initial": "many"}, "initial"),
        ({"kind": "cron"}, "kind"),
        ({"queue": {"submission": "kj-other00"}}, "queue.submission"),
        ({"namespace": None}, "namespace"),
    ],
)
def test_bad_requests_name_the_field_and_create_nothing(
    client: FlaskClient, id: str, change: dict[str, Any], field: str
) -> None:
    answer = client.post(f"/scaling/{id}", json=body(id, **change))
    assert answer.status_code == 400
    envelope = answer.get_json()
    assert envelope["error_code"] == 400
    assert field in [detail["field"] for detail in envelope["details"]]
    assert client.get(f"/scaling/{id}").status_code == 404


def test_not_json_not_an_object_and_wrong_methods(client: FlaskClient, id: str) -> None:
    post = client.post
    assert post(f"/scaling/{id}", data="{", content_type="application/json").status_code == 400
    assert post(f"/scaling/{id}", json=[1]).status_code == 400
    assert post(f"/scaling/{id}", data="x", content_type="text/plain").status_code == 415
    assert post("/scaling/..%2fetc", json=body(id)).status_code in (400, 404)
    assert post("/scaling/-x", json=body(id)).status_code == 400
    assert client.patch(f"/scaling/{id}", json={}).status_code == 405
    assert client.get(f"/scaling/{id}?count=x").status_code in (400, 404)


def test_unknown_ids_are_404_with_the_envelope(client: FlaskClient) -> None:
    for answer in (client.get("/scaling/kj-0000000"), client.put("/scaling/kj-0000000/stop")):
        assert answer.status_code == 404
        assert answer.get_json()["error_name"] == "NOT_FOUND"


def test_validate_says_what_a_submission_may_ask_for(client: FlaskClient) -> None:
    fine = {"law": "pid", "settings": {"proportional_gain": 3, "mode": "compatible"}}
    assert client.post("/scaling/validate", json=fine).status_code == 204
    wrong = client.post("/scaling/validate", json={"law": "pid", "settings": {"gain": 1, "mode": "fast"}})
    assert wrong.status_code == 400
    fields = {detail["field"] for detail in wrong.get_json()["details"]}
    assert fields == {"control.settings.gain", "control.settings.mode"}
    unknown = client.post("/scaling/validate", json={"law": "deadlin"}).get_json()
    assert "did you mean deadline" in unknown["error_message"]


def test_laws_are_listed_with_schemas(client: FlaskClient) -> None:
    laws = client.get("/laws").get_json()
    assert {"deadline", "default", "latency", "nop", "pid", "scripted", "threshold"} <= set(laws)
    assert "trigger_up" in laws["threshold"]["settings"]["properties"]


def test_setup_caps_are_checked_and_kept(client: FlaskClient, redis_server: RedisProcess, id: str) -> None:
    caps = {"actuator_plugin": "k8s_replicas", "instances_cap": {id: 3.7}}
    assert client.post("/setup", json=caps).status_code == 204
    with redis_server.client() as redis:
        assert redis.hget(f"asp:rec:scaling-cap:{id}", "d") == '{"replicas":3}'
        assert int(redis.ttl(f"asp:rec:scaling-cap:{id}")) > 0
        client.post(f"/scaling/{id}", json=body(id))
        client.put(f"/scaling/{id}/stop")
        assert redis.exists(f"asp:rec:scaling-cap:{id}") == 0
    for bad in ({}, {"instances_cap": {id: -1}}, {"instances_cap": {id: "x"}}, {"instances_cap": [1]}):
        assert client.post("/setup", json=bad).status_code == 400


def test_the_service_token_is_asked_for(redis_server: RedisProcess, id: str) -> None:
    client = client_for(redis_server, "secret")
    assert client.post(f"/scaling/{id}", json=body(id)).status_code == 401
    shown = {"Authorization": "Bearer secret"}
    assert client.post(f"/scaling/{id}", json=body(id), headers=shown).status_code == 204
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").get_json()["ready"] is True


def test_the_last_decisions_are_shown(client: FlaskClient, redis_server: RedisProcess, id: str) -> None:
    client.post(f"/scaling/{id}", json=body(id))
    journal = RedisJournal(redis_client.connect(redis_server.url))
    for number in range(5):
        decision = Decision(at=number, law="nop", wanted=1, granted=1, previous=1, reason=f"reason {number}")
        journal.append(DECISIONS, id, decision)
    reasons = [d["reason"] for d in client.get(f"/scaling/{id}?count=2").get_json()["decisions"]]
    assert reasons == ["reason 3", "reason 4"]
    assert client.get(f"/scaling/{id}?count=0").get_json()["decisions"] == []
    assert client.get(f"/scaling/{id}?count=99999").status_code == 400


class Controller:
    """``python -m controller`` as a child process."""

    def __init__(self, server: RedisProcess, cluster: LocalClusterProcess, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        ours = {"ASPERATHOS_REDIS_URL": server.url, "ASPERATHOS_KUBECONFIG": str(cluster.kubeconfig)}
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("ASPERATHOS_")} | ours
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "controller", "--port", str(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 30
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the controller does not start: {self._log.read_text()}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """kill -9 of all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self._process.returncode


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClusterProcess]:
    process = LocalClusterProcess(tmp_path_factory.mktemp("cluster") / "state").start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def controller(
    redis_server: RedisProcess, cluster: LocalClusterProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    process = Controller(redis_server, cluster, tmp_path_factory.mktemp("controller") / "log")
    process.start()
    yield process
    process.stop()


class Submission:
    """A Job of sleeping pods, its queue, and the observations a monitor would write."""

    def __init__(self, server: RedisProcess, cluster: LocalClusterProcess, controller: Controller) -> None:
        self.id = new_id()
        self.job = f"{self.id}-g1"
        self.cluster = cluster
        self.controller = controller
        self.redis = redis_client.connect(server.url)
        self.queue = RedisQueue.connect(server.url, self.id)
        self.queue.open(QueueConfig(lease=60.0))
        self.queue.put([NewItem("x", str(number)) for number in range(100)])
        self.queue.close()
        self.observations = RedisRecords(self.redis, OBSERVATION_RECORDS, Observation)
        self._at = time.time()

    def create(self, replicas: int) -> None:
        sleeping = python_container("import time; time.sleep(600)")
        job = job_object(self.job, sleeping, replicas)
        labels = {"asperathos.io/submission": self.id, "asperathos.io/role": "worker", "asperathos.io/generation": "1"}
        job["metadata"]["labels"] = labels
        job["spec"]["template"]["metadata"] = {"labels": labels}
        self.cluster.call("POST", "/apis/batch/v1/namespaces/default/jobs", job)

    def post(self, steps: list[list[float]], initial: int, **control: Any) -> None:
        asked = {"law": "scripted", "interval": 0.3, "settings": {"steps": steps}, "drain_timeout": 30, **control}
        document = body(self.id, job=self.job, law="scripted", control=asked, initial=initial)
        requests.post(f"{self.controller.url}/scaling/{self.id}", json=document, timeout=5).raise_for_status()

    def observe(self, elapsed: float) -> None:
        """As the monitor would, at this time of the submission."""
        stats = self.queue.stats()
        self._at += 0.001
        seen = observed(
            submission=self.id,
            at=self._at,
            elapsed=elapsed,
            total=stats.total,
            ready=stats.ready,
            leased=stats.leased,
            done=stats.done,
            requested=self.parallelism,
            observed=self.parallelism,
        )
        self.observations.put(self.id, seen)

    @property
    def parallelism(self) -> int:
        spec = self.cluster.job(self.job)["spec"]
        return 0 if spec.get("suspend") else int(spec["parallelism"])

    def view(self) -> ScalingView:
        answer = requests.get(f"{self.controller.url}/scaling/{self.id}", timeout=5)
        return ScalingView.model_validate(answer.json())

    def events(self) -> list[str]:
        return [event.message for event in RedisJournal(self.redis).read(EVENTS, self.id, Event)]

    def close(self) -> None:
        requests.put(f"{self.controller.url}/scaling/{self.id}/stop", timeout=5)
        path = f"/apis/batch/v1/namespaces/default/jobs/{self.job}?propagationPolicy=Background"
        self.cluster.call("DELETE", path)
        self.queue.purge()
        self.queue.disconnect()
        self.redis.close()


@pytest.fixture
def submission(
    redis_server: RedisProcess, cluster: LocalClusterProcess, controller: Controller
) -> Iterator[Submission]:
    made = Submission(redis_server, cluster, controller)
    yield made
    made.close()


def test_a_real_job_is_scaled_up_and_drained_down(submission: Submission, eventually: Eventually) -> None:
    submission.create(1)
    submission.observe(0.0)
    submission.post([[0, 3], [100, 1]], initial=1)
    eventually(lambda: submission.parallelism == 3)
    held = submission.queue.take("worker-2", 2)
    assert held.verdict is Verdict.ITEMS
    submission.observe(100.0)
    eventually(lambda: submission.queue.stats().limit == 1)
    assert submission.queue.take("worker-1", 1).verdict is Verdict.DRAIN
    eventually(lambda: submission.view().draining)
    assert submission.parallelism == 3
    (lease,) = held.leases
    submission.queue.finish_and_take("worker-2", 2, [Ack(lease.id, lease.attempt)], 0)
    eventually(lambda: submission.parallelism == 1)
    eventually(lambda: not submission.view().draining)
    view = submission.view()
    assert (view.desired, view.requested, view.scalings, view.peak) == (1, 1, 2, 3)
    assert [(d.previous, d.granted) for d in view.decisions if d.previous != d.granted] == [(1, 3), (3, 1)]
    assert [message.split(":")[0] for message in submission.events()] == ["1 -> 3", "3 -> 1"]


def test_zero_suspends_the_job_and_more_resumes_it(submission: Submission, eventually: Eventually) -> None:
    submission.create(2)
    submission.observe(0.0)
    asked = {"law": "scripted", "interval": 0.3, "settings": {"steps": [[0, 0], [50, 2]]}}
    document = body(
        submission.id, law="scripted", control=asked, replicas={"min": 0, "max": 4}, initial=2, kind="stream"
    )
    url = f"{submission.controller.url}/scaling/{submission.id}"
    requests.post(url, json=document, timeout=5).raise_for_status()
    eventually(lambda: submission.parallelism == 0)
    submission.observe(50.0)
    eventually(lambda: submission.parallelism == 2)


def test_kill_nine_in_the_middle_of_a_drain_loses_nothing(submission: Submission, eventually: Eventually) -> None:
    submission.create(3)
    submission.observe(0.0)
    held = submission.queue.take("worker-2", 2)
    submission.post([[0, 1]], initial=3)
    eventually(lambda: submission.view().draining)
    decided = len(submission.view().decisions)
    submission.controller.kill()
    submission.queue.set_limit(None)
    submission.controller.start()
    submission.observe(1.0)
    eventually(lambda: submission.queue.stats().limit == 1, within=20)
    assert submission.parallelism == 3
    (lease,) = held.leases
    submission.queue.finish_and_take("worker-2", 2, [Ack(lease.id, lease.attempt)], 0)
    eventually(lambda: submission.parallelism == 1)
    assert len(submission.view().decisions) > decided
    assert submission.events()[-1].startswith("3 -> 1")


def test_a_deleted_job_is_left_alone(submission: Submission, eventually: Eventually) -> None:
    submission.create(1)
    submission.observe(0.0)
    path = f"/apis/batch/v1/namespaces/default/jobs/{submission.job}?propagationPolicy=Background"
    submission.cluster.call("DELETE", path)
    submission.observations.put(
        submission.id, observed(submission=submission.id, at=time.time(), elapsed=0.0, requested=1)
    )
    submission.post([[0, 3]], initial=1)
    eventually(lambda: submission.view().desired == 3)
    time.sleep(0.7)
    assert submission.view().requested == 1
    assert "code" in submission.cluster.job(submission.job), "the Job was not made anew"


def test_it_stops_in_time_when_asked(redis_server: RedisProcess, cluster: LocalClusterProcess, tmp_path: Path) -> None:
    process = Controller(redis_server, cluster, tmp_path / "log")
    process.start()
    assert process.stop() == 0
