"""Fifty submissions of all kinds, kept for a moment: no object, Redis key or Redis user of them is left then."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import redis
import requests

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.clock import SystemClock
from common.domain.cluster import SUBMISSION_LABEL
from common.domain.queues import QUEUE_USER_PREFIX
from tests.integration.test_manager_lifecycle import ORIGINAL_WORKER
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
KEEP = 2
KINDS = {
    "/apis/batch/v1": ("jobs",),
    "/apis/apps/v1": ("deployments", "replicasets"),
    "/api/v1": ("pods", "secrets", "configmaps", "services"),
}
HTTP_WORKER = Path(__file__).parents[2] / "examples" / "http-worker" / "worker.sh"


def redis_of(stack: StackProcess) -> redis.Redis:
    """As the suite's own user."""
    lines = (stack.home / "redis.conf").read_text().splitlines()
    given = dict(line.split(" ", 1) for line in lines)
    return redis.Redis(port=int(given["port"]), password=given["requirepass"], decode_responses=True)


def objects(stack: StackProcess) -> set[str]:
    """All objects that carry a submission's label, or a name like a submission's."""
    api = KubernetesApi(ApiSettings(kubeconfig=str(kubeconfig(stack))), SystemClock())
    found = set()
    for group, kinds in KINDS.items():
        for kind in kinds:
            for item in api.call("GET", f"{group}/{kind}").json().get("items") or ():
                name, labels = item["metadata"]["name"], item["metadata"].get("labels") or {}
                if SUBMISSION_LABEL in labels or name.startswith("kj-"):
                    found.add(f"{kind}/{name}")
    return found


def kubeconfig(stack: StackProcess) -> Path:
    return Path(str(stack.addresses["kubeconfig"]))


def keys_of(client: redis.Redis, ids: Iterable[str]) -> list[str]:
    """Keys of these submissions, and members of indexes that name them; what expires by itself within a minute is
    none (leases, wake-ups)."""
    wanted = set(ids)
    found: list[str] = []
    for key in client.scan_iter("*", count=1000):
        if wanted & set(re.findall(r"kj-[0-9a-f]{7}", key)):
            if not 0 <= client.ttl(key) <= 60:
                found.append(key)
        elif client.type(key) == "zset":
            found += [f"{key}: {member}" for member in client.zrange(key, 0, -1) if member in wanted]
        elif client.type(key) == "set":
            found += [f"{key}: {member}" for member in client.smembers(key) if member in wanted]
    return found


def users(client: redis.Redis) -> list[str]:
    return [user for user in client.acl_users() if user.startswith(QUEUE_USER_PREFIX)]


def until(check: Any, within: float = 60.0) -> None:
    end = time.monotonic() + within
    while left := check():
        assert time.monotonic() < end, f"left: {left}"
        time.sleep(0.2)


def end(stack: StackProcess, id: str, how: str) -> None:
    assert requests.put(f"{stack.manager}/submissions/{id}/{how}", timeout=10).status_code == 204


def test_nothing_is_left_of_fifty_submissions_of_all_kinds(own_stack: StackProcess) -> None:
    stack = own_stack
    common = {"keep": KEEP, "job_lifetime": 1, "grace_period": 1, "replicas": {"max": 2}}
    original = {"command": ["python3", "-c", ORIGINAL_WORKER], "queue": "dedicated", **common}

    def several(count: int, **document: Any) -> list[str]:
        return [stack.submit({**common, **document}) for _ in range(count)]

    slow: dict[str, Any] = {"run": "sleep 60", "workload": ["a", "b"]}
    to_be_stopped = [
        *several(4, **slow),
        *several(3, run="echo {item}", target={"latency": 5}),
        *several(1, **{**original, "command": ["sleep", "60"], "workload": ["a"]}),
    ]
    to_be_terminated = [
        *several(4, **slow),
        *several(2, **{**original, "command": ["sleep", "60"], "workload": ["a"]}),
    ]
    to_lose_its_job = several(1, **slow)
    http = {"command": ["sh", str(HTTP_WORKER)], "env": {"HANDLE": "cat"}} if which("curl") else {"run": "cat"}
    others = [
        *several(13, run="echo {item}", workload=[str(n) for n in range(20)]),
        *several(5, run="false", workload=["x"], retries=0),
        *several(2, command=["no-such-program"], workload=["x"], replicas={"min": 2, "max": 2}),
        *several(2, run="true", workload=[]),
        *several(2, **{**original, "workload": ["a", "b", "c"]}),
        *several(2, **{**original, "command": ["false"], "workload": ["a"]}),
        *several(4, **http, workload=["a", "b"]),
        *several(1, run="true", workload=["a"], namespace="nowhere"),
    ]
    kept: dict[str, Any] = {"workload": ["a"], "keep": "1d"}
    deleted = [*several(4, run="true", **kept), *several(2, **{**original, **kept})]
    ids = [*to_be_stopped, *to_be_terminated, *to_lose_its_job, *others, *deleted]
    assert len(ids) == 52

    with redis_of(stack) as client:
        for id in (*to_be_stopped, *to_be_terminated, *to_lose_its_job):
            stack.wait_for(id, lambda now: now["state"] == "ongoing", within=240)
        assert len(users(client)) >= 8
        assert {name.split("/")[0] for name in objects(stack)} == {kind for kinds in KINDS.values() for kind in kinds}
        lost = to_lose_its_job[0]
        KubernetesApi(ApiSettings(kubeconfig=str(kubeconfig(stack))), SystemClock()).call(
            "DELETE", f"/apis/batch/v1/namespaces/default/jobs/{lost}-g1?propagationPolicy=Background"
        )
        until(lambda: f"jobs/{lost}-g2" not in objects(stack))
        for id in (*to_be_stopped, lost):
            end(stack, id, "stop")
        for id in to_be_terminated:
            end(stack, id, "terminate")
        for id in deleted:
            stack.wait(id, within=240)
            until(lambda id=id: [name for name in objects(stack) if id in name])  # type: ignore[misc]
            # What is to be kept is there, though its pods are gone; then it is deleted.
            assert keys_of(client, [id])
            assert requests.delete(f"{stack.manager}/submissions/{id}", timeout=10).status_code == 204

        until(lambda: [id for id in ids if id in requests.get(f"{stack.manager}/submissions", timeout=10).json()], 240)
        until(lambda: objects(stack))
        until(lambda: users(client))
        until(lambda: keys_of(client, ids))
