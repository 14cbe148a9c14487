"""No secret is told: canaries are put wherever secrets go, then every answer, log line and record is searched."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import yaml

from common.domain.policy import RULES, Need
from tests.support.guard import bearer
from tests.support.items_site import ItemsSite
from tests.support.kubeconfigs import text
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
PLANTED = {
    "of the address": "canary-of-user-info",
    "of the query": "canary-of-signed-query",
    "of the environment": "canary-of-environment",
    "of the kubeconfig": "canary-of-kubeconfig",
    "of the certificate": base64.b64encode(b"canary of a key").decode(),
    "of the password": "canary of a password",
    "of the options": "canary-of-options",
    "of a wrong login": "canary-of-a-wrong-login",
    "of the original's login": "canary-of-grafana",
}
NEVER_KEPT = (
    "of the kubeconfig",
    "of the certificate",
    "of the password",
    "of a wrong login",
    "of the original's login",
)
"""What is not in Redis either, but sealed or as a hash."""


QUERIES = {
    "/submissions/<id>": ("", "?spec=true"),
    "/submissions/<id>/report": ("", *(f"?detailed=true&format={form}" for form in ("json", "html", "text", "csv"))),
    "/submissions/<id>/results": ("", "?format=jsonl"),
}
"""Where a query has more told."""


class World:
    """A stack with users, on which everything was done that secrets take part in."""

    def __init__(self, stack: StackProcess, site: ItemsSite) -> None:
        self.stack = stack
        self.admin = (stack.home / "admin.token").read_text()
        self.site = site.url.replace("http://", f"http://me:{PLANTED['of the address']}@")
        environment = _environment(int(stack.addresses["pid"]))
        self.secrets = {
            **PLANTED,
            "the administrator's token": self.admin,
            "the services' token": environment["ASPERATHOS_SERVICE_TOKEN"],
            "the key of clusters": environment["ASPERATHOS_CLUSTER_KEY"],
            "the password of Redis": re.findall(r"requirepass (\S+)", (stack.home / "redis.conf").read_text())[0],
            "the cluster's token": yaml.safe_load((stack.home / "kubeconfig").read_text())["users"][0]["user"]["token"],
        }
        self.redis = redis.Redis.from_url(environment["ASPERATHOS_REDIS_URL"], decode_responses=True)
        self.answers: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def ask(self, method: str, path: str, service: str = "manager", token: str = "", **more: Any) -> Any:
        url = f"{self.stack.addresses[service]}{path}"
        answer = requests.request(method, url, headers=bearer(token or self.admin), timeout=30, **more)
        self.answers.append((f"{service} {method} {path}", f"{answer.headers} {answer.text}"))
        return answer

    def submit(self, **document: Any) -> str:
        answer = self.ask("POST", "/submissions", json=document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])


def _environment(up: int) -> dict[str, str]:
    """That of the manager: a child of the stack's process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == up and b"manager" in command:
                return dict(line.decode().partition("=")[::2] for line in environ if line)
    raise AssertionError("the manager is not found")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = ItemsSite()
    for path in ("/items", "/short", "/missing", "/broken", "/page"):
        site.pages[f"{path}?sig={PLANTED['of the query']}"] = site.pages[path]
    site.start()
    stack = StackProcess(tmp_path_factory.mktemp("stack"), "--authentication", "--log-level", "debug")
    stack.start()
    try:
        world = World(stack, site)
        _live(world)
        yield world
        world.redis.close()
    finally:
        stack.stop()
        site.stop()


def _live(world: World) -> None:
    query = f"sig={PLANTED['of the query']}"
    common = {
        "run": "true {item}",
        "deadline": "2m",
        "env": {"API_TOKEN": PLANTED["of the environment"]},
        "monitoring": {
            "prices": {"url": f"{world.site}/missing?{query}"},
            "queries": {"q": {"url": f"{world.site}/broken?{query}", "query": "up"}},
        },
    }
    for path in ("/items", "/short"):
        world.ids.append(world.submit(**common, workload={"url": f"{world.site}{path}?{query}"}))
    for path in ("/missing", "/broken", "/page"):
        wrong = world.ask("POST", "/submissions", json={**common, "workload": {"url": f"{world.site}{path}?{query}"}})
        assert wrong.status_code == 400
    options = {"source": "none", "options": {"password": PLANTED["of the options"]}}
    assert world.ask("POST", "/submissions", json={**common, "workload": options}).status_code == 400
    world.ask("POST", "/submissions?dry_run=true", json={**common, "workload": {"url": f"{world.site}/items?{query}"}})
    login = {"username": "u", "password": PLANTED["of the original's login"]}
    original: dict[str, Any] = {
        "plugin": "kubejobs",
        "enable_auth": True,
        "username": "nobody",
        "password": PLANTED["of a wrong login"],
        "plugin_info": {**login, "img": "x", "cmd": ["true"]},
    }
    url = f"{world.stack.manager}/submissions"
    refused = requests.post(url, json=original, timeout=30)
    assert refused.status_code == 401
    world.answers.append(("a wrong login", refused.text))
    info = {**original["plugin_info"], "redis_workload": f"{world.site}/items", "control_parameters": {"max_rep": 1}}
    compatible = world.ask("POST", "/submissions", json={**original, "enable_auth": False, "plugin_info": info})
    assert compatible.status_code in (202, 400), compatible.text
    user = {"name": "alice", "role": "submitter", "password": PLANTED["of the password"]}
    assert world.ask("POST", "/users", json=user).status_code == 201
    assert world.ask("POST", "/users", json={**user, "role": "wrong"}).status_code == 400
    known = requests.get(f"{world.stack.manager}/whoami", auth=("alice", PLANTED["of the password"]), timeout=30)
    assert known.json()["name"] == "alice"
    config = text({"token": PLANTED["of the kubeconfig"]}, **{"certificate-authority": "ca.crt"})
    assert world.ask("POST", "/submissions/cluster", json={"cluster_name": "far", "cluster_config": config}).ok
    broken = config + f"\n  - {PLANTED['of the kubeconfig']}: ["
    assert not world.ask("POST", "/submissions/cluster", json={"cluster_name": "odd", "cluster_config": broken}).ok
    content = f"-----BEGIN PRIVATE KEY-----\n{PLANTED['of the certificate']}\n-----END PRIVATE KEY-----\n"
    certificate = {"certificate_name": "ca.crt", "certificate_content": content}
    world.ask("POST", "/submissions/cluster/far/certificate", json=certificate)
    token = world.ask("POST", "/users/alice/tokens", json={}).json()["token"]
    world.answers.pop()
    world.secrets["a user's token"] = token
    world.ask("POST", "/submissions", token=token, json={"run": "true", "workload": "nothing"})
    for id in world.ids:
        _wait(world, id)
        record = json.loads(world.redis.hget(f"asp:rec:submission:{id}", "d") or "{}")
        if record["queue_password"]:
            world.secrets[f"the workers' password of {id}"] = record["queue_password"]
    world.secrets["what items' tokens are made of"] = str(world.redis.get("asp:claim:items-secret"))


def _wait(world: World, id: str) -> None:
    end = time.monotonic() + 60
    while world.ask("GET", f"/submissions/{id}").json()["state"] not in ("completed", "failed", "error"):
        assert time.monotonic() < end, world.answers[-1]
        time.sleep(0.2)


def found_in(told: str, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if secret and secret in told]


def test_no_answer_tells_a_secret(world: World) -> None:
    """Of any route that only tells, to an administrator, with every submission, and of all that was done before."""
    asked = 0
    for service, rules in RULES.items():
        for (method, route), need in sorted(rules.items()):
            if method != "GET" or "stream" in route or need is Need.POD:
                continue
            for id in world.ids:
                values = {"id": id, "user": "alice", "name": "far", "key": "k", "certificate": "c", "token": "t"}
                path = re.sub(r"<(\w+)>", lambda match: values[match[1]], route)  # noqa: B023
                for query in QUERIES.get(route, ("",)):
                    world.ask("GET", path + query, service)
                    asked += 1
    assert asked > 60
    told = {where: names for where, answer in world.answers if (names := found_in(answer, world.secrets))}
    assert told == {}


def test_no_log_tells_a_secret(world: World) -> None:
    logs = {path.name: path.read_text(errors="replace") for path in (world.stack.home / "logs").iterdir()}
    logs["up.log"] = (world.stack.home / "up.log").read_text()
    assert all(logs.get(f"{name}.log") for name in ("manager", "controller", "monitor", "visualizer"))
    assert {name: found for name, told in logs.items() if (found := found_in(told, world.secrets))} == {}


def test_what_is_kept_is_sealed_or_a_hash(world: World) -> None:
    """Redis has what submissions need to run; logins and kubeconfigs are not to be read there."""
    secrets = {name: world.secrets[name] for name in (*NEVER_KEPT, "a user's token", "the administrator's token")}
    for key in world.redis.scan_iter("*", count=1000):
        kind = world.redis.type(key)
        if kind == "hash":
            kept = str(world.redis.hgetall(key))
        elif kind == "stream":
            kept = str(world.redis.xrange(key))
        else:
            kept = str(world.redis.get(key)) if kind == "string" else ""
        assert found_in(kept, secrets) == [], key


def test_what_users_keep_is_private(world: World) -> None:
    for name in ("admin.token", "redis.conf", "cluster.key", "kubeconfig"):
        path = world.stack.home / name
        assert path.stat().st_mode & 0o077 == 0, name
