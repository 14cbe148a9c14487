"""Memory while great workloads come in: the manager's, and what Redis takes for an item.

    python -m benchmarks.queue_memory [source|inline] [--items 10000000] [--quick] [--json] [--check]

``source``: a real manager reads a file with one item of 20 bytes a line into a real Redis; then the benchmark's worker
finishes the first items, to tell what a finished one takes. ``inline``: a thousand submissions with 5,000 items each in
their documents are taken in and loaded, and stay active. No pod starts.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from asperathos_worker.queue.records import Ack
from asperathos_worker.queue.redis_queue import RedisQueue

from benchmarks.soak import resident
from benchmarks.verdict import verdict
from tests.faults.stage import Options, Stage
from tests.support.stack_process import TERMINAL

BAR_MANAGER = 300.0
"""Megabytes of the manager at most."""
BAR_ITEM = 200.0
"""Bytes of Redis for an item of 20 bytes, waiting or done."""
ITEM_BYTES = 20
INLINE, INLINE_ITEMS = 1000, 5000
"""Submissions, and items of each."""
_CLIENTS = 8
_SETTLE = 20.0
"""Seconds for which all are looked at once they are active."""
_PATIENCE = 1800.0
_FINISHED = 100_000
_BATCH = 500


def write_items(path: Path, count: int) -> None:
    """A line of 20 bytes for each item."""
    with path.open("w", encoding="ascii") as file:
        for start in range(0, count, 10_000):
            file.writelines(f"item {number:015d}\n" for number in range(start, min(count, start + 10_000)))


def used(client: redis.Redis) -> int:
    """Bytes of Redis's data and what it needs to keep it, buffers of clients and of the file left out."""
    told: Any = client.info("memory")
    return int(told["used_memory_dataset"])


def finish(client: redis.Redis, id: str, count: int) -> int:
    """Finish so many items, with empty results."""
    queue, worker = RedisQueue(client, id), f"{id}-g1-0"
    done = 0
    leases = queue.take(worker, 0, _BATCH).leases
    while leases and done < count:
        taken = queue.finish_and_take(worker, 0, [Ack(each.id, each.attempt) for each in leases], _BATCH)
        done += sum(taken.accepted)
        leases = taken.leases
    queue.release(worker, leases)
    return done


def batch(name: str, workload: Any) -> dict[str, Any]:
    """A document whose pods stay pending."""
    return {
        "name": name,
        "command": ["none"],
        "node_selector": {"benchmark": "no-node-has-this"},
        "workload": workload,
        "deadline": "8h",
        "lease": 3600,
        "replicas": {"min": 1, "max": 1, "initial": 1},
    }


def measure_inline(submissions: int, items: int) -> dict[str, Any]:
    """The figures by name, of submissions that bring their items along."""
    workload = [f"item {number:015d}" for number in range(items)]
    with (
        tempfile.TemporaryDirectory(prefix="asperathos-memory-") as directory,
        Stage(Path(directory), Options()) as stage,
        stage.connect() as client,
    ):
        before, manager = used(client), stage.services("manager")[0]
        memory = [resident(manager.pid)]

        def submit(number: int) -> None:
            answer = stage.call("POST", "/submissions", json=batch(f"inline-{number}", workload))
            assert answer.status_code == 202, answer.text
            memory.append(resident(manager.pid))

        began = time.monotonic()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(submit, range(submissions)))
        posted, calm_at = time.monotonic() - began, float("inf")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < min(end, calm_at + _SETTLE):
            states = [each["state"] for each in stage.call("GET", "/submissions").json().values()]
            if calm_at == float("inf") and states.count("ongoing") == submissions:
                calm_at = time.monotonic()
            print(f"{states.count('ongoing')} of {len(states)} are active", file=sys.stderr)
            memory.append(resident(manager.pid))
            time.sleep(2.0)
        loaded = sum(RedisQueue(client, id).stats().put for id in stage.call("GET", "/submissions").json())
        done = used(client)
    return {
        "submissions": submissions,
        "items": loaded,
        "seconds_to_post": round(posted, 1),
        "seconds_to_all_active": round(calm_at - began, 1),
        "manager_megabytes": round(max(memory), 1),
        "manager_megabytes_at_first": round(memory[0], 1),
        "manager_megabytes_at_last": round(memory[-1], 1),
        "bytes_a_waiting_item": round((done - before) / max(1, loaded), 1),
    }


def measure(items: int) -> dict[str, Any]:
    """The figures by name, of one submission that reads its items from a file."""
    with tempfile.TemporaryDirectory(prefix="asperathos-memory-") as directory:
        home = Path(directory)
        source = home / "items.txt"
        write_items(source, items)
        with Stage(home, Options()) as stage, stage.connect() as client:
            before, manager = used(client), stage.services("manager")[0]
            began = time.monotonic()
            answer = stage.call("POST", "/submissions", json=batch("memory", {"url": source.as_uri()}))
            assert answer.status_code == 202, answer.text
            id, memory = str(answer.json()["job_id"]), []
            while (status := stage.status(id))["state"] in ("created", "loading"):
                memory.append(resident(manager.pid))
                time.sleep(0.5)
            took = time.monotonic() - began
            assert status["state"] not in TERMINAL, status["reason"]
            loaded = RedisQueue(client, id).stats().put
            waiting = used(client)
            finished = finish(client, id, min(items, _FINISHED))
            done = used(client)
            stage.call("PUT", f"/submissions/{id}/terminate")
            stage.wait_end(id, 120)
    each = (waiting - before) / loaded
    return {
        "items": loaded,
        "seconds": round(took, 1),
        "items_a_second": round(loaded / took),
        "manager_megabytes": round(max(memory), 1),
        "manager_megabytes_at_first": round(memory[0], 1),
        "bytes_a_waiting_item": round(each, 1),
        "bytes_a_finished_item": round(each + (done - waiting) / finished, 1),
    }


def judge(figures: dict[str, Any], items: int) -> list[str]:
    """The bars that are missed."""
    missed = []
    if figures["items"] != items:
        missed.append(f"{figures['items']} items were loaded, not {items}")
    if figures["manager_megabytes"] >= BAR_MANAGER:
        missed.append(f"the manager takes {figures['manager_megabytes']} MB, not under {BAR_MANAGER:.0f}")
    for place in ("waiting", "finished"):
        each = figures.get(f"bytes_a_{place}_item", 0.0)
        if each > BAR_ITEM:
            missed.append(f"a {place} item takes {each} bytes of Redis, not {BAR_ITEM:.0f} at most")
    return missed


def main() -> int:
    """The command line."""
    # Whatever was started ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue_memory", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("source", "inline"), default="source")
    parser.add_argument("--items", type=int, default=10_000_000, help="how many (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="200,000 items; 100 submissions")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 naming every bar that is missed")
    given = parser.parse_args()
    if given.part == "inline":
        submissions = INLINE // 10 if given.quick else INLINE
        items = submissions * INLINE_ITEMS
        figures = measure_inline(submissions, INLINE_ITEMS)
    else:
        items = 200_000 if given.quick else given.items
        figures = measure(items)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):<32} {value}")
    return verdict(judge(figures, items)) if given.check else 0


if __name__ == "__main__":
    sys.exit(main())
