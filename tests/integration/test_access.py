"""Who may do what, on every route of every service there is: real apps on a real Redis, authentication on."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from common.adapters import redis_client
from common.bootstrap import Roles
from common.domain.policy import Need, need_of
from tests.support.guard import ADMIN_TOKEN, METRICS_TOKEN, SERVICE_TOKEN, bearer
from tests.support.redis_process import RedisProcess

SERVICES = ("manager", "controller", "monitor", "visualizer")
VOLATILE = re.compile(r"asp:(journal:audit|tries|claim:(session|items-secret)|wake)")
NATIVE: dict[str, Any] = {"run": "cat {item}", "workload": ["a"], "deadline": "10m"}


@dataclass(frozen=True)
class World:
    """The four apps, what shows each role, and what is bob's."""

    apps: Mapping[str, Flask]
    shown: Mapping[str, dict[str, str]]
    values: Mapping[str, str]
    redis: Any

    def client(self, service: str) -> FlaskClient:
        return self.apps[service].test_client()

    def state(self) -> dict[str, Any]:
        """All that is kept, but for what requests leave behind by themselves."""
        keys = [key for key in self.redis.scan_iter("*", count=1000) if not VOLATILE.match(key)]
        return {key: _content(self.redis, key) for key in sorted(keys)}


def _content(redis: Any, key: str) -> Any:
    read = {"hash": redis.hgetall, "string": redis.get, "set": redis.smembers}
    kind = redis.type(key)
    if kind == "zset":
        return redis.zrange(key, 0, -1, withscores=True)
    if kind == "stream":
        return redis.xrange(key)
    return redis.lrange(key, 0, -1) if kind == "list" else read[kind](key)


@pytest.fixture
def world(own_redis: RedisProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[World]:
    for name, value in {
        "REDIS_URL": own_redis.url,
        "AUTHENTICATION": "on",
        "SERVICE_TOKEN": SERVICE_TOKEN,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "METRICS_TOKEN": METRICS_TOKEN,
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
        **{f"{service.upper()}_URL": "http://127.0.0.1:1" for service in SERVICES},
    }.items():
        monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    apps = {}
    for service in SERVICES:
        settings = import_module(f"{service}.settings").Settings()
        apps[service] = import_module(f"{service}.bootstrap").build(settings, Roles(api=True, loop=False)).app
    manager = apps["manager"].test_client()
    operator = bearer(ADMIN_TOKEN)
    shown = {"operator": operator, "services": bearer(SERVICE_TOKEN), "scraper": bearer(METRICS_TOKEN), "nobody": {}}
    tokens = {}
    for name, role in (("alice", "submitter"), ("bob", "submitter"), ("vera", "viewer"), ("adam", "admin")):
        assert manager.post("/users", json={"name": name, "role": role}, headers=operator).status_code == 201
        answer = manager.post(f"/users/{name}/tokens", json={"label": "x"}, headers=operator)
        assert answer.status_code == 201
        shown[name], tokens[name] = bearer(answer.json["token"]), answer.json["id"]
    answer = manager.post("/submissions", json=NATIVE, headers=shown["bob"])
    assert answer.status_code == 202, answer.text
    id = answer.json["job_id"]
    services = shown["services"]
    body = {
        "namespace": "default", "job": f"{id}-g1", "queue": {"submission": id}, "kind": "batch", "law": "nop",
        "control": {}, "replicas": {"max": 3}, "initial": 1,
    }  # fmt: skip
    assert apps["controller"].test_client().post(f"/scaling/{id}", json=body, headers=services).status_code == 204
    info = {"plugin_info": {"queue": {"submission": id}, "namespace": "default", "created_at": 0, "deadline": 60}}
    assert apps["monitor"].test_client().post(f"/monitoring/{id}", json=info, headers=services).status_code == 202
    shows = apps["visualizer"].test_client()
    assert shows.post(f"/visualizing/{id}", json={"name": "bobs"}, headers=services).status_code == 202
    values = {"id": id, "user": "bob", "token": tokens["bob"], "name": "east", "certificate": "ca", "key": "k-1"}
    with redis_client.connect(own_redis.url) as client:
        yield World(apps, shown, values, client)


def routes(app: Flask) -> list[tuple[str, str]]:
    return sorted(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def ask(world: World, service: str, method: str, route: str, who: str) -> Any:
    path = re.sub(r"<(\w+)>", lambda found: world.values[found[1]], route)
    body = {} if method == "GET" else {"json": {}}
    answer = world.client(service).open(path, method=method, headers=world.shown[who], buffered=False, **body)
    answer.close()
    return answer


def walk(world: World) -> Iterator[tuple[str, str, str, Need]]:
    for service in SERVICES:
        for method, route in routes(world.apps[service]):
            yield service, method, route, need_of(service, method, route)


def test_a_stranger_gets_nothing(world: World) -> None:
    before = world.state()
    for service, method, route, need in walk(world):
        if need is not Need.PUBLIC:
            answer = ask(world, service, method, route, "nobody")
            is_page = service == "visualizer" and answer.status_code == 303
            assert answer.status_code == 401 or is_page, f"{service} {method} {route}"
    assert world.state() == before


def test_alice_can_do_nothing_to_what_is_bobs(world: World) -> None:
    """And does not see it: on any route with a submission, a user, a token; nor do lists show it."""
    before, id = world.state(), world.values["id"]
    walked = 0
    for service, method, route, need in walk(world):
        where = f"{service} {method} {route}"
        if "<id>" in route or "<user>" in route:
            answer = ask(world, service, method, route, "alice")
            expected = {Need.SEE: 404, Need.CHANGE: 404, Need.POD: 403, Need.SELF: 403, Need.ADMIN: 403}
            assert answer.status_code == expected.get(need, 403), where
            walked += 1
        elif need in (Need.LIST, Need.READ) and "stream" not in route:
            answer = world.client(service).get(route, headers=world.shown["alice"])
            assert answer.status_code in (200, 502, 503), where
            assert id not in answer.text, where
        elif need is Need.OVERVIEW:
            assert ask(world, service, method, route, "alice").status_code == 403, where
    assert walked > 30
    assert world.state() == before
    manager = world.client("manager")
    assert manager.delete("/submissions", headers=world.shown["alice"]).status_code == 204
    assert world.state() == before


def test_what_is_hidden_reads_like_what_is_not_there(world: World) -> None:
    for service, path in (("manager", "/submissions/"), ("monitor", "/monitoring/"), ("controller", "/scaling/")):
        hidden, missing = (
            world.client(service).get(f"{path}{id}", headers=world.shown["alice"]).json["error_message"]
            for id in (world.values["id"], "kj-fffffff")
        )
        assert hidden.replace(world.values["id"], "X") == missing.replace("kj-fffffff", "X")


@pytest.mark.parametrize(
    ("who", "refused"),
    [
        ("vera", {Need.SUBMIT, Need.CHANGE, Need.SELF, Need.ADMIN, Need.SERVICE}),
        ("services", {Need.SUBMIT, Need.CHANGE, Need.SELF, Need.ADMIN}),
        ("scraper", set(Need) - {Need.PUBLIC, Need.POD, Need.METRICS}),
        ("alice", {Need.ADMIN, Need.SERVICE, Need.OVERVIEW, Need.METRICS}),
        ("adam", {Need.SERVICE}),
        ("operator", {Need.SERVICE}),
    ],
)
def test_what_a_role_may_not(world: World, who: str, refused: set[Need]) -> None:
    before = world.state()
    walked = 0
    for service, method, route, need in walk(world):
        if need in refused:
            walked += 1
            assert ask(world, service, method, route, who).status_code == 403, f"{service} {method} {route}"
    assert walked > 5
    assert world.state() == before


@pytest.mark.parametrize("who", ["bob", "vera", "adam", "operator", "services"])
def test_who_may_look_gets_an_answer(world: World, who: str) -> None:
    for service, method, route, need in walk(world):
        if need in (Need.READ, Need.LIST, Need.SEE):
            code = ask(world, service, method, route, who).status_code
            assert code not in (401, 403), f"{service} {method} {route}: {code}"


def test_bob_and_administrators_can_act_on_what_is_bobs(world: World) -> None:
    manager, id = world.client("manager"), world.values["id"]
    assert manager.get(f"/submissions/{id}", headers=world.shown["bob"]).json["owner"] == "bob"
    assert id in manager.get("/submissions", headers=world.shown["bob"]).json
    assert manager.put(f"/submissions/{id}/stop", headers=world.shown["bob"]).status_code == 204
    assert manager.put(f"/submissions/{id}/terminate", headers=world.shown["adam"]).status_code == 204
    assert manager.post("/users/bob/tokens", json={}, headers=world.shown["bob"]).status_code == 201


def test_a_key_of_alices_is_none_of_bobs(world: World) -> None:
    """An Idempotency-Key finds the submissions of its own user only."""
    manager = world.client("manager")
    made = [
        manager.post("/submissions", json=NATIVE, headers={**world.shown[who], "Idempotency-Key": "nightly"})
        for who in ("bob", "alice", "bob")
    ]
    assert [answer.status_code for answer in made] == [202, 202, 202]
    ids = [answer.json["job_id"] for answer in made]
    assert ids[0] == ids[2] != ids[1]


def test_credentials_that_are_no_more_are_worth_nothing(world: World) -> None:
    manager = world.client("manager")
    operator = world.shown["operator"]
    assert manager.get("/whoami", headers=world.shown["vera"]).json["role"] == "viewer"
    assert manager.patch("/users/vera", json={"role": "submitter"}, headers=operator).status_code == 200
    assert manager.get("/whoami", headers=world.shown["vera"]).json["role"] == "submitter"
    assert manager.delete("/users/vera", headers=operator).status_code == 204
    assert manager.post("/users", json={"name": "vera", "role": "admin"}, headers=operator).status_code == 201
    assert manager.get("/whoami", headers=world.shown["vera"]).status_code == 401
    revoked = f"/users/bob/tokens/{world.values['token']}"
    assert manager.delete(revoked, headers=world.shown["bob"]).status_code == 204
    assert manager.get("/whoami", headers=world.shown["bob"]).status_code == 401
    for odd in ("asp_", "asp_0123456789ab_" + "x" * 43, "Bearer", uuid.uuid4().hex, "\u00e9"):
        assert manager.get("/whoami", headers={"Authorization": f"Bearer {odd}"}).status_code == 401
