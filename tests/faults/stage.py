"""The embedded stack in pieces: what ``asperathos up`` starts, each part to be broken by itself.

The services speak to the cluster through ``api_proxy``, the workers to Redis through a relay, and any number of sets of
the four services may run on the one Redis.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
import requests

from cli.stack.plan import SERVICES, Layout, parts, redis_config
from cli.stack.ports import any_free
from cli.stack.redis_server import find_redis_server
from tests.faults.api_proxy import ApiProxy
from tests.faults.parts import PartProcess
from tests.faults.shapes import BATCH, Shape
from tests.support.stack_process import TERMINAL, marked
from tests.support.tcp_relay import TcpRelay

PATIENCE = 90.0
"""Seconds that a client goes on asking services that do not answer."""


class Away(AssertionError):
    """The services did not answer for too long."""


@dataclass
class Submitted:
    """What the client knows of a submission: when it was acknowledged, what is in it, and what must become of it: which
    items ``dead``, and the state it ``ends`` in when somebody asked for that."""

    id: str
    items: list[dict[str, Any]]
    lease: float
    at: float
    dead: frozenset[str] = frozenset()
    key: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    ends: str = ""
    shape: Shape = BATCH

    def payload(self, number: int) -> str:
        """An item as its worker gets it."""
        return json.dumps(self.items[number])


@dataclass(frozen=True)
class Options:
    """``sets``: how many of each service. ``environment`` is added to every service's own; ``skew``: by how many
    seconds the clocks of the four services are ahead; ``logs`` and ``redis_directory``: elsewhere than at home."""

    sets: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    redis_directory: Path | None = None
    logs: Path | None = None
    skew: tuple[float, ...] = ()


class Stage:
    """Starts on ``start``; everything is ended by ``stop``."""

    def __init__(self, home: Path, options: Options | None = None) -> None:
        self.home = home
        self.options = options or Options()
        self.logs = (self.options.logs or home) / "logs"
        for directory in (self.logs, home / "redis", home / "cluster"):
            directory.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self.layouts = _layouts(home, self.options.sets)
        layout = self.layouts[0]
        lines = redis_config(layout)
        if self.options.redis_directory is not None:
            lines += f"dir {self.options.redis_directory}\n"
        layout.redis_config.write_text(lines)
        planned = {part.name: part for part in parts(layout)}
        self.redis = PartProcess(planned["redis"], self.logs / "redis.log")
        self.cluster = PartProcess(planned["cluster"], self.logs / "cluster.log")
        self.sets: list[dict[str, PartProcess]] = []

    def start(self) -> None:
        """Raises AssertionError when a part does not come up."""
        for part in (self.redis, self.cluster):
            self._stack.callback(part.stop)
            part.start()
            part.wait_ready()
        self._admin = self.connect()
        end = time.monotonic() + 30
        while not self.kubeconfig.exists() and time.monotonic() < end:
            time.sleep(0.05)
        document = json.loads(self.kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        server = urlsplit(cluster["server"])
        self._server = cluster["server"]
        self._token = document["users"][0]["user"]["token"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        (self.home / "authority.pem").write_text(authority)
        self.proxy = ApiProxy((str(server.hostname), int(server.port or 443)), authority)
        self._stack.callback(self.proxy.close)
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.proxy.port}"}
        through = self.home / "kubeconfig.proxied"
        through.write_text(json.dumps(document))
        self.relay = TcpRelay(("127.0.0.1", self.layouts[0].ports["redis"]))
        self._stack.callback(self.relay.cut)
        password = self.layouts[0].redis_password
        environment = {
            "ASPERATHOS_KUBECONFIG": str(through),
            "ASPERATHOS_WORKER_REDIS_URL": f"redis://:{password}@127.0.0.1:{self.relay.port}/0",
            **self.options.environment,
        }
        for number, layout in enumerate(self.layouts):
            planned = {part.name: part for part in parts(layout)}
            services = {
                name: PartProcess(
                    planned[name], self.logs / f"{name}-{number}.log", {**environment, **self._clock(place, number)}
                )
                for place, name in enumerate(SERVICES)
            }
            self.sets.append(services)
            for service in services.values():
                self._stack.callback(service.stop)
                service.start()
        for services in self.sets:
            for service in services.values():
                service.wait_ready()

    def stop(self) -> None:
        self._stack.close()

    def __enter__(self) -> Stage:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def settle(self) -> None:
        """End and forget what an unhappy run has left."""
        for id in self.call("GET", "/submissions").json():
            self.call("PUT", f"/submissions/{id}/terminate")
        wait_until(
            lambda: all(each["state"] in TERMINAL for each in self.call("GET", "/submissions").json().values()),
            60,
            "what is left does not end",
        )
        self.call("DELETE", "/submissions")

    def _clock(self, place: int, number: int) -> dict[str, str]:
        """A service's own clock, in a file that may be written again."""
        if not self.options.skew:
            return {}
        path = self.home / f"{place}-{number}.clock"
        path.write_text(f"{self.options.skew[place]:+.3f}\n")
        return {"FAULTS_CLOCK": str(path), "PYTHONPATH": str(Path(__file__).with_name("clocks"))}

    # Its pieces.

    @property
    def kubeconfig(self) -> Path:
        return self.layouts[0].kubeconfig

    def services(self, name: str) -> list[PartProcess]:
        """All processes of one service."""
        return [services[name] for services in self.sets]

    def every_service(self) -> list[PartProcess]:
        return [service for services in self.sets for service in services.values()]

    def connect(self, **options: Any) -> redis.Redis:
        """A client of the Redis itself, past every relay."""
        return redis.Redis.from_url(self.layouts[0].redis_url, decode_responses=True, socket_timeout=5, **options)

    @property
    def admin(self) -> redis.Redis:
        return self._admin

    def redis_answers(self) -> bool:
        try:
            return bool(self._admin.ping())
        except redis.RedisError:
            return False

    def await_redis(self, within: float = 30.0) -> None:
        end = time.monotonic() + within
        while not self.redis_answers():
            if time.monotonic() > end or not self.redis.running:
                raise AssertionError(f"Redis does not come back: {self.redis.tail()}")
            time.sleep(0.02)

    def kube(self, path: str) -> Any:
        """A GET of the cluster's API, past the proxy."""
        answer = requests.get(
            self._server + path,
            headers={"Authorization": f"Bearer {self._token}"},
            verify=str(self.home / "authority.pem"),
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json()

    def workers(self, submitted: Submitted) -> list[int]:
        """Processes of the submission's pods that speak to the queue."""
        return self.processes(submitted.id, submitted.shape.process)

    def processes(self, id: str, name: str) -> list[int]:
        """Processes of the submission's pods that have this in their command lines."""
        found = []
        for pid in marked(id):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if name.encode() in command:
                found.append(pid)
        return sorted(found)

    # As a client.

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask a manager, the next one when that does not answer; the answer, which may be an error below 500. Raises
        Away."""
        end = time.monotonic() + PATIENCE
        tries = 0
        while True:
            base = self.layouts[tries % len(self.layouts)].url("manager")
            tries += 1
            said = ""
            try:
                answer = requests.request(method, base + path, timeout=20, **options)
                if answer.status_code < 500:
                    return answer
                said = f"{answer.status_code}: {answer.text[:300]}"
            except requests.RequestException as error:
                said = repr(error)
            if time.monotonic() > end:
                raise Away(f"{method} {path}: no answer for {PATIENCE:.0f} s; the last one: {said}")
            time.sleep(0.1)

    def submit(
        self,
        items: list[dict[str, Any]],
        lease: float = 2.0,
        replicas: int = 3,
        dead: frozenset[str] = frozenset(),
        key: str = "",
        shape: Shape = BATCH,
        **fields: Any,
    ) -> Submitted:
        """POST it as a careful client would: with a key, and again until there is an answer."""
        key = key or uuid.uuid4().hex
        document = {
            "name": "faults",
            "replicas": {"min": replicas, "max": replicas + 2, "initial": replicas},
            "control": {"law": "nop", "interval": 1},
            "monitoring": {"interval": 1},
            "retries": 20,
            "lease": lease,
            "grace_period": 5,
            **shape.document(items),
            **fields,
        }
        answer = self.call("POST", "/submissions", json=document, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        return Submitted(answer.json()["job_id"], items, lease, time.time(), dead, key, document, shape=shape)

    def status(self, id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/submissions/{id}")
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        status: dict[str, Any] = answer.json()
        return status

    def wait_end(self, id: str, within: float) -> dict[str, Any]:
        end = time.monotonic() + within
        while True:
            status = self.status(id)
            if status["state"] in TERMINAL:
                return status
            if time.monotonic() > end:
                raise AssertionError(f"{id} has not ended within {within:.0f} s: {_brief(status)}")
            time.sleep(0.1)

    def results(self, id: str) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/submissions/{id}/results?format=jsonl")
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def finished(self, id: str) -> int | None:
        """How many items are done or dead, as Redis has it; None when it does not answer."""
        try:
            pipeline = self._admin.pipeline(transaction=False)
            pipeline.llen(f"asp:{{{id}}}:q:finished")
            pipeline.hlen(f"asp:{{{id}}}:q:dead")
            return sum(pipeline.execute())
        except redis.RedisError:
            return None

    def progress(self, submitted: Submitted) -> int | None:
        """The same of any shape; what is in a queue of its own only the manager tells."""
        if not submitted.shape.listed:
            return self.finished(submitted.id)
        answer = self.call("GET", f"/submissions/{submitted.id}")
        if answer.status_code != 200:
            return None
        done: int = answer.json()["counts"]["done"]
        return done

    def redis_keys(self, pattern: str = "*") -> set[str]:
        return set(self._admin.scan_iter(match=pattern, count=1000))

    def log_lines(self, event: str) -> Iterator[dict[str, Any]]:
        """Log lines of the services with this event."""
        for path in sorted(self.logs.glob("*-*.log")):
            for line in path.read_text(errors="replace").splitlines():
                if event in line:
                    try:
                        told = json.loads(line)
                    except ValueError:
                        continue
                    if told.get("event") == event:
                        yield told


def _layouts(home: Path, sets: int) -> list[Layout]:
    """A layout for each set of services; Redis and the cluster are the first one's."""
    taken: set[int] = set()

    def ports(*names: str) -> dict[str, int]:
        found = {}
        for name in names:
            found[name] = any_free(taken)
            taken.add(found[name])
        return found

    first = Layout(
        home=home.resolve(),
        ports=ports("redis", "cluster", *SERVICES),
        python=sys.executable,
        redis_server=find_redis_server(),
        redis_password=secrets.token_hex(16),
        service_token=secrets.token_hex(16),
        cluster_key=secrets.token_urlsafe(32),
    )
    return [first, *(replace(first, ports={**first.ports, **ports(*SERVICES)}) for _ in range(sets - 1))]


def _brief(status: Mapping[str, Any]) -> str:
    return json.dumps({name: status.get(name) for name in ("state", "reason", "counts", "replicas")})


def wait_until(check: Callable[[], object], within: float, what: str) -> float:
    """Seconds until ``check`` held. Raises AssertionError."""
    began = time.monotonic()
    while not check():
        if time.monotonic() - began > within:
            raise AssertionError(f"{what}: not within {within:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - began


def empty(directory: Path) -> None:
    """Remove what is in it."""
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
