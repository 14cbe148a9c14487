"""Following a submission's logs through real servers: lines arrive while it runs, and readers that leave make room."""

from __future__ import annotations

import time

import pytest
import requests

from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e


def follow(stack: StackProcess, id: str, query: str = "") -> requests.Response:
    address = f"{stack.manager}/submissions/{id}/log?follow=true{query}"
    return requests.get(address, stream=True, timeout=(10, 60))


def test_lines_arrive_while_it_runs(stack: StackProcess) -> None:
    run = "sh -c 'echo working on {item} >&2; sleep 1'"
    id = stack.submit({"run": run, "workload": ["a", "b", "c", "d"], "replicas": {"min": 2, "initial": 2}})
    with follow(stack, id) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        lines = response.iter_lines(decode_unicode=True)
        first = next(line for line in lines if "working on" in line)
        assert stack.status(id)["state"] == "ongoing"
        told = [first, *(line for line in lines if "working on" in line)]
    assert sorted(line[-1] for line in told) == ["a", "b", "c", "d"]
    assert len({line.partition(" | ")[0] for line in told}) == 2
    assert stack.status(id)["state"] == "completed"


def test_the_command_follows_to_the_end(stack: StackProcess) -> None:
    run = "sh -c 'echo working on {item} >&2; sleep 0.5'"
    id = stack.submit({"run": run, "workload": ["a", "b"]})
    said = stack.cli("logs", "-f", id).stdout
    assert stack.status(id)["state"] == "completed"
    assert said.count("working on a") == said.count("working on b") == 1
    assert len(stack.cli("logs", "--tail", "1", id).stdout.splitlines()) == 1


def test_readers_are_bounded_and_those_that_leave_make_room(stack: StackProcess) -> None:
    id = stack.submit({"run": "sleep 60", "workload": ["a"], "grace_period": 0})
    stack.wait_for(id, lambda now: now["state"] == "ongoing")
    readers = [follow(stack, id) for _ in range(8)]
    assert [reader.status_code for reader in readers] == [200] * 8
    refused = follow(stack, id)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    for reader in readers:
        reader.close()
    end = time.monotonic() + 20
    while True:
        with follow(stack, id) as again:
            if again.status_code == 200:
                break
        assert time.monotonic() < end
        time.sleep(0.3)
    requests.put(f"{stack.manager}/submissions/{id}/terminate", timeout=10)
    stack.wait(id)
