"""The four services as processes, for requests of any kind: with a Redis and a local cluster, and submissions in every
state. Their loops do not run: nothing that is handed in is carried out, and what there is stays as it was put there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters import redis_client
from common.adapters.redis_history import RedisJournal, RedisMetrics, RedisTexts
from common.adapters.redis_records import RedisRecords
from common.clock import SystemClock
from common.domain import metrics
from common.domain.events import DECISIONS, EVENTS, OBSERVATION_RECORDS, SUBMISSION_RECORDS, Event
from common.domain.forecast import Forecast
from common.domain.metrics import Point
from common.domain.progress import Counts, Decision, Observation, Replicas, ServiceTimes
from common.domain.states import State
from common.domain.submission import Submission, Summary
from manager.histories import HISTORY_RECORDS, Histories, PastRuns, history_id
from monitor.record import MONITORING_RECORDS, Monitoring
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

SERVICES = ("controller", "monitor", "manager", "visualizer")
SERVICE_TOKEN = "the token of the services"
ADMIN_TOKEN = "the token of the operator"
METRICS_TOKEN = "the token of Prometheus"
PASSWORD = "long enough, surely"
"""Of the first of the known users."""
ITEMS_SECRET = "the secret of the items"
_BATCH: dict[str, Any] = {"run": "cat {item}", "workload": ["a", "b", "c"], "deadline": "10m"}
_STREAM: dict[str, Any] = {"run": "cat {item}", "target": {"latency": 5}}


@dataclass
class FuzzWorld:
    """``urls`` are the services' addresses, ``shown`` the headers that show each role."""

    urls: dict[str, str]
    redis: RedisProcess
    cluster: LocalClusterProcess
    shown: dict[str, dict[str, str]]
    logs: dict[str, Path]
    known: dict[str, list[str]] = field(default_factory=dict)
    """Names that mean something, by the parameter they are given for."""
    _rounds: int = 0

    @property
    def has_users(self) -> bool:
        """Whether everybody has to say who they are."""
        return "nobody" in self.shown

    def populate(self) -> None:
        """Make what requests may find: it replaces what ``known`` named before."""
        self._rounds += 1
        _Population(self).make(self._rounds)

    def log(self, service: str) -> str:
        """What a service has logged."""
        return self.logs[service].read_text()


@contextmanager
def fuzz_world(directory: Path, authentication: bool) -> Iterator[FuzzWorld]:
    """The running services. With ``authentication`` everybody has to say who they are."""
    with ExitStack() as stack:
        (directory / "redis").mkdir(parents=True)
        redis = RedisProcess(directory / "redis")
        redis.start()
        stack.callback(redis.stop)
        cluster = LocalClusterProcess(directory / "cluster").start()
        stack.callback(cluster.stop)
        ports = {service: _free_port() for service in SERVICES}
        urls = {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
        logs = {service: directory / f"{service}.log" for service in SERVICES}
        for service in SERVICES:
            process = ServiceProcess(
                service,
                ports[service],
                logs[service],
                "--api-only",
                redis_url=redis.url,
                kubeconfig=str(cluster.kubeconfig),
                authentication="on" if authentication else "off",
                service_token=SERVICE_TOKEN,
                admin_token=ADMIN_TOKEN,
                metrics_token=METRICS_TOKEN,
                items_secret=ITEMS_SECRET,
                workload_read_timeout="0.5",
                workload_connect_timeout="0.5",
                check_timeout="5",
                log_follow_limit="2",
                **{f"{name}_url": url for name, url in urls.items()},
            )
            process.start()
            stack.callback(process.stop)
        shown = {"operator": _bearer(ADMIN_TOKEN)}
        world = FuzzWorld(urls, redis, cluster, shown, logs)
        if authentication:
            shown.update(_users(world))
        yield world


def _users(world: FuzzWorld) -> dict[str, dict[str, str]]:
    shown = {"services": _bearer(SERVICE_TOKEN), "scraper": _bearer(METRICS_TOKEN), "nobody": {}}
    for name, role in (("alice", "submitter"), ("bob", "submitter"), ("vera", "viewer"), ("adam", "admin")):
        _post(world, "/users", {"name": name, "role": role})
        shown[name] = _bearer(_post(world, f"/users/{name}/tokens", {"label": "x"})["token"])
    return shown


class _Population:
    """One round of what there is."""

    def __init__(self, world: FuzzWorld) -> None:
        self._world = world
        self._client = redis_client.connect(world.redis.url)
        self._records = RedisRecords(self._client, SUBMISSION_RECORDS, Submission)
        self._observations = RedisRecords(self._client, OBSERVATION_RECORDS, Observation)
        self._journal = RedisJournal(self._client)
        self._now = time.time()

    def make(self, number: int) -> None:
        world = self._world
        with self._client:
            batches = [self._batch(state) for state in (State.CREATED, State.ONGOING, *_ENDED)]
            streams = [self._stream(closed) for closed in (False, False, True)]
            ids = [*batches, *streams]
            for id in ids:
                self._told(id)
            for id in batches[1:3]:
                self._scaled(id)
                self._measured(id)
            self._measured(batches[3], ended=True)
            history = self._history(batches[2])
        cluster = f"east-{number}"
        config = {"cluster_name": cluster, "cluster_config": world.cluster.kubeconfig.read_text()}
        _post(world, "/submissions/cluster", config)
        certificate = {"certificate_name": "ca.crt", "certificate_content": "not needed"}
        _post(world, f"/submissions/cluster/{cluster}/certificate", certificate)
        user = f"user-{number}"
        _post(world, "/users", {"name": user, "role": "viewer", "password": PASSWORD})
        token = _post(world, f"/users/{user}/tokens", {"label": "x"})["id"]
        world.known.clear()
        world.known.update(
            {
                "id": ids,
                "opened": ids[1:],
                "name": [cluster, "default", "app.css"],
                "certificate": ["ca.crt"],
                "key": [history],
                "user": [user, "alice"],
                "token": [token],
                "pod": ["a-pod"],
                "cluster": [cluster, "default"],
                "item": ["0", "1", "2"],
            }
        )

    def _submit(self, document: dict[str, Any]) -> str:
        return str(_post(self._world, "/submissions", document)["job_id"])

    def _change(self, id: str, **fields: Any) -> Submission:
        present = self._records.get(id)
        assert present is not None
        changed = present.value.model_copy(update=fields)
        self._records.update(id, changed, present.version)
        return changed

    def _queue(self, id: str, stream: bool = False) -> RedisQueue:
        queue = RedisQueue(self._client, id)
        queue.open(QueueConfig(retries=0, stream=stream))
        queue.put([NewItem(payload, None if stream else str(place)) for place, payload in enumerate("abc")])
        return queue

    def _batch(self, state: State) -> str:
        id = self._submit(_BATCH)
        if state is State.CREATED:
            return id
        queue = self._queue(id)
        queue.close()
        first, second = queue.take("a-pod", 0, 2).leases
        queue.finish_and_take("a-pod", 0, [Ack(first.id, first.attempt, "well done")], 0)
        if state is not State.ONGOING:
            queue.fail("a-pod", second, "it is broken", permanent=True)
        fields: dict[str, Any] = {"state": state, "started_at": self._now - 50, "loaded": 3, "generation": 1}
        if state in _ENDED:
            summary = Summary(
                counts=Counts(total=3, done=1, dead=1, ready=1),
                execution_time=40.0,
                replica_seconds=80.0,
                final_error=(0.5, self._now),
                max_error=(0.7, self._now),
                deadline_met=state is State.COMPLETED,
                deadline_margin=3.0,
            )
            fields |= {"finished_at": self._now, "summary": summary, "job_deleted": True, "reason": "as the test wants"}
        self._change(id, **fields)
        return id

    def _stream(self, closed: bool) -> str:
        id = self._submit(_STREAM)
        queue = self._queue(id, stream=True)
        if closed:
            queue.stop()
        self._change(id, state=State.ONGOING, started_at=self._now - 50, generation=1)
        return id

    def _told(self, id: str) -> None:
        """What monitor and controller found out, and the log of a pod."""
        observed = Observation(
            submission=id,
            at=self._now,
            elapsed=60.0,
            deadline=600.0,
            counts=Counts(total=3, ready=1, leased=1, done=1),
            progress=0.3,
            throughput=0.1,
            service=ServiceTimes(count=1, mean=2.0, deviation=0.1, p50=2.0, p95=2.0, p99=2.0, longest=2.0),
            replicas=Replicas(desired=2, requested=2, observed=1, pending=1),
            price=0.5,
            metrics={"loss": 0.1},
        )
        foreseen = Forecast(at=self._now, p5=70, p10=80, p50=100, p90=120, p95=130, chance=0.9, replica_seconds=10.0)
        decided = Decision(
            at=self._now,
            law="deadline",
            wanted=2,
            granted=2,
            previous=1,
            reason="it is late",
            asked=2,
            forecast=foreseen,
        )
        self._observations.put(id, observed)
        self._journal.append(DECISIONS, id, decided)
        self._journal.append(EVENTS, id, Event(at=self._now, kind="pod", message="it fell over", warning=True))
        RedisTexts(self._client).put(id, "a-pod", "first line\nsecond line\n")
        RedisMetrics(self._client).write(
            [
                Point(measurement.name, id, self._now - age, dict.fromkeys(measurement.fields, 0.5))
                for measurement in (metrics.JOB_PROGRESS, metrics.REPLICAS, metrics.FLOW, metrics.SERVICE)
                for age in (20.0, 10.0)
            ]
        )

    def _scaled(self, id: str) -> None:
        body = {
            "kind": "batch",
            "law": "deadline",
            "control": {},
            "replicas": {"min": 1, "max": 4},
            "initial": 1,
            "namespace": "default",
            "job": f"{id}-1",
            "queue": {"submission": id},
        }
        self._tell("controller", f"/scaling/{id}", body)

    def _measured(self, id: str, ended: bool = False) -> None:
        info = {"queue": {"submission": id}, "namespace": "default", "created_at": self._now, "deadline": 600}
        self._tell("monitor", f"/monitoring/{id}", {"plugin_info": info})
        self._tell("visualizer", f"/visualizing/{id}", {"name": "a board"})
        records = RedisRecords(self._client, MONITORING_RECORDS, Monitoring)
        kept = records.get(id)
        assert kept is not None
        observed = self._observations.get(id)
        assert observed is not None
        records.update(id, kept.value.model_copy(update={"ended": ended, "observation": observed.value}), kept.version)

    def _history(self, id: str) -> str:
        found = self._records.get(id)
        assert found is not None
        past = RedisRecords(self._client, HISTORY_RECORDS, PastRuns)
        Histories(past, self._observations, SystemClock(), 1000.0, 100).learn(id, found.value.spec)
        return history_id(found.value.spec)

    def _tell(self, service: str, path: str, body: dict[str, Any]) -> None:
        answer = requests.post(self._world.urls[service] + path, json=body, headers=_bearer(SERVICE_TOKEN), timeout=20)
        assert answer.ok, answer.text


_ENDED = (State.COMPLETED, State.FAILED, State.STOPPED, State.ERROR)


def _post(world: FuzzWorld, path: str, body: dict[str, Any]) -> Any:
    answer = requests.post(world.urls["manager"] + path, json=body, headers=world.shown["operator"], timeout=20)
    assert answer.ok, f"{path}: {answer.text}"
    return answer.json()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
