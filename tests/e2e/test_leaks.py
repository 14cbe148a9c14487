"""Submissions of all kinds, kept for a moment: not an object, a Redis key or a Redis user of them is left then."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
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
KINDS = ("jobs", "pods", "secrets", "configmaps", "services")


def redis_of(stack: StackProcess) -> redis.Redis:
    """As the suite's own user."""
    lines = (stack.home / "redis.conf").read_text().splitlines()
    given = dict(line.split(" ", 1) for line in lines)
    return redis.Redis(port=int(given["port"]), password=given["requirepass"], decode_responses=True)


def objects(stack: StackProcess) -> set[str]:
    """All objects that carry a submission's label."""
    api = KubernetesApi(ApiSettings(kubeconfig=str(kubeconfig(stack))), SystemClock())
    found = set()
    for kind in KINDS:
        group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        listed = api.call("GET", f"{group}/{kind}", [("labelSelector", SUBMISSION_LABEL)]).json()
        found |= {f"{kind}/{item['metadata']['name']}" for item in listed.get("items") or ()}
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


def test_nothing_is_left_of_submissions_of_all_kinds(own_stack: StackProcess) -> None:
    stack = own_stack
    common = {"keep": KEEP, "job_lifetime": 1, "grace_period": 1}
    slow = {"run": "sleep 60", "workload": ["a", "b"], **common}
    original = {"command": ["python3", "-c", ORIGINAL_WORKER], "queue": "dedicated", **common}
    good = [stack.submit({"run": "echo {item}", "workload": [str(n) for n in range(20)], **common}) for _ in range(2)]
    failing = [stack.submit({"run": "false", "workload": ["x"], "retries": 0, **common}) for _ in range(2)]
    broken = [stack.submit({"command": ["no-such-program"], "workload": ["x"], "replicas": {"min": 2}, **common})]
    empty = [stack.submit({"run": "true", "workload": [], **common})]
    streams = [stack.submit({"run": "echo {item}", "target": {"latency": 5}, **common})]
    stopped, terminated = [stack.submit(slow)], [stack.submit(slow)]
    dedicated = [stack.submit({**original, "workload": ["a", "b", "c"]})]
    cut = [stack.submit({**original, "command": ["sleep", "60"], "workload": ["a"]})]
    deleted = [stack.submit({"run": "true", "workload": ["a"], **common, "keep": "1d", "job_lifetime": "1d"})]
    ids = [*good, *failing, *broken, *empty, *streams, *stopped, *terminated, *dedicated, *cut, *deleted]
    assert len(ids) == 12

    with redis_of(stack) as client:
        for id in (*stopped, *terminated, *streams, *cut):
            stack.wait_for(id, lambda now: now["state"] == "ongoing", within=120)
        assert len(users(client)) >= 3
        assert objects(stack)
        for id in (*stopped, *streams):
            end(stack, id, "stop")
        for id in (*terminated, *cut):
            end(stack, id, "terminate")
        stack.wait(deleted[0], within=120)
        # What is to be kept is there, though its pods are long done; then it is deleted.
        assert keys_of(client, deleted)
        assert requests.delete(f"{stack.manager}/submissions/{deleted[0]}", timeout=10).status_code == 204

        until(lambda: [id for id in ids if id in requests.get(f"{stack.manager}/submissions", timeout=10).json()], 180)
        until(lambda: objects(stack))
        until(lambda: users(client))
        until(lambda: keys_of(client, ids))
