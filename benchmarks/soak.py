"""A stack under steady load for long: does anything grow? Run: python -m benchmarks.soak --minutes 30

A stream takes a thousand items a second, and small submissions come, end and are deleted beside it. Resident memory of
every service is sampled; at the end everything is deleted and Redis's keys are counted again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from cli.stack.plan import SERVICES
from tests.faults.stage import Options, Stage, wait_until
from tests.support.stack_process import TERMINAL

SECONDS_A_BATCH = 0.25
GROWTH = 0.05
GROWTH_MEGABYTES = 4.0
RETAIN = 20_000
HANDLER = "import asperathos_worker; asperathos_worker.run(str.upper)"
_OTHERS = ("asp:wake:", "asp:lease:", "asp:ids:", "asp:rec:history:", "asp:rec:cluster-offer:")
"""Keys that come and go by themselves, or of which there is one a kind, a name or a cluster, however many submissions
there are."""


@dataclass
class Samples:
    """Resident memory in MB by service, one value a sample; and items by second of their feeding."""

    memory: dict[str, list[float]] = field(default_factory=dict)
    fed: int = 0
    feeding: float = 0.0
    rejected: int = 0
    churned: int = 0


def resident(pid: int) -> float:
    """Megabytes of a process and its children that are in memory, without what they share with others."""
    total = 0.0
    for each in (pid, *_children(pid)):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def feed(stage: Stage, id: str, rate: float, stop: threading.Event, samples: Samples) -> None:
    """Put items into the stream at that rate until told to stop."""
    batch = [f"item of the soak {number:06d}" for number in range(max(1, round(rate * SECONDS_A_BATCH)))]
    url = f"{stage.layouts[0].url('manager')}/submissions/{id}/items"
    began = due = time.monotonic()
    with requests.Session() as session:
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += SECONDS_A_BATCH
            answer = session.post(url, json={"items": batch}, timeout=30)
            if answer.status_code == 202:
                samples.fed += answer.json()["added"]
            else:
                samples.rejected += 1
    samples.feeding = time.monotonic() - began


def churn(stage: Stage, every: float, stop: threading.Event, samples: Samples) -> None:
    """Small submissions that end and are deleted."""
    running: list[str] = []
    while not stop.wait(every):
        running.append(_submit(stage, workload=[str(number) for number in range(20)], deadline="10m"))
        for id in [id for id in running if stage.status(id)["state"] in TERMINAL]:
            stage.call("DELETE", f"/submissions/{id}")
            running.remove(id)
            samples.churned += 1
    for id in running:
        stage.wait_end(id, 120)
        stage.call("DELETE", f"/submissions/{id}")


def _submit(stage: Stage, **fields: Any) -> str:
    document = {
        "name": "soak",
        "command": [sys.executable, "-c", HANDLER],
        "replicas": {"min": 1, "max": 2, "initial": 1},
        "control": {"law": "nop", "interval": 5},
        "grace_period": 5,
        "job_lifetime": 0,
        **fields,
    }
    answer = stage.call("POST", "/submissions", json=document)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def keys(stage: Stage) -> set[str]:
    """What Redis holds of submissions."""
    return {key for key in stage.redis_keys() if not key.startswith(_OTHERS)}


def soak(stage: Stage, minutes: float, rate: float, every: float) -> tuple[Samples, set[str], set[str]]:
    """The samples, and Redis's keys before and after."""
    samples = Samples()
    first = _submit(stage, workload=["warm", "up"], deadline="10m")
    stage.wait_end(first, 60)
    stage.call("DELETE", f"/submissions/{first}")
    wait_until(lambda: not stage.redis_keys(f"*{first}*"), 60, "the first submission is not forgotten")
    before = keys(stage)
    stream = _submit(stage, target={"latency": "5s"}, replicas={"min": 2, "max": 2, "initial": 2})
    wait_until(lambda: stage.status(stream)["state"] == "ongoing", 60, "the stream does not begin")
    stop = threading.Event()
    threads = [
        threading.Thread(target=feed, args=(stage, stream, rate, stop, samples)),
        threading.Thread(target=churn, args=(stage, every, stop, samples)),
    ]
    for thread in threads:
        thread.start()
    parts = {part.name: part for part in (stage.redis, stage.cluster, *stage.every_service())}
    end = time.monotonic() + 60 * minutes
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, max(1.0, 60 * minutes / 240)))
        for name, part in parts.items():
            samples.memory.setdefault(name, []).append(resident(part.pid))
    stop.set()
    for thread in threads:
        thread.join(180)
    stage.call("PUT", f"/submissions/{stream}/stop")
    stage.wait_end(stream, 120)
    stage.call("DELETE", f"/submissions/{stream}")
    wait_until(lambda: not stage.call("GET", "/submissions").json(), 60, "submissions are left")
    wait_until(lambda: not stage.redis_keys(f"*{stream}*"), 60, "the stream is not forgotten")
    return samples, before, keys(stage)


def growth(values: list[float]) -> tuple[float, float]:
    """Medians of the second and of the last quarter: what grows steadily differs, what swings does not."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def judge(samples: Samples, before: set[str], after: set[str], rate: float) -> list[str]:
    """What is missed."""
    missed = []
    for name, values in samples.memory.items():
        if name not in SERVICES:
            # Redis has its keys counted; the local cluster keeps events for an hour, as Kubernetes does.
            continue
        early, late = growth(values)
        if late > early * (1 + GROWTH) and late - early > GROWTH_MEGABYTES:
            missed.append(f"the {name} grew from {early:.1f} to {late:.1f} MB")
    more = after - before
    if more:
        missed.append(f"{len(more)} keys more in Redis than before: {sorted(more)[:5]}")
    if samples.feeding and samples.fed / samples.feeding < 0.95 * rate:
        missed.append(f"{samples.fed / samples.feeding:.0f} items/s were taken, not {rate:.0f}")
    if samples.rejected:
        missed.append(f"{samples.rejected} requests with items were refused")
    return missed


def _table(memory: Mapping[str, list[float]]) -> str:
    rows = [f"{'':12} {'2nd quarter':>12} {'last quarter':>12} {'most':>8}  (MB)"]
    for name, values in memory.items():
        early, late = growth(values)
        rows.append(f"{name:12} {early:12.1f} {late:12.1f} {max(values):8.1f}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--rate", type=float, default=1000.0, help="items a second into the stream (default 1000)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between small submissions (default 5)")
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 when something grew")
    given = parser.parse_args()
    minutes = 2.0 if given.quick else given.minutes
    with tempfile.TemporaryDirectory(prefix="asperathos-soak-") as directory:
        options = Options(environment={"ASPERATHOS_STREAM_RETAIN": str(RETAIN)})
        with Stage(Path(directory), options) as stage:
            samples, before, after = soak(stage, minutes, given.rate, given.every)
    missed = judge(samples, before, after, given.rate)
    rate = samples.fed / samples.feeding if samples.feeding else 0.0
    if given.json:
        memory = {name: growth(values) for name, values in samples.memory.items()}
        told = {
            "minutes": minutes,
            "items_a_second": rate,
            "submissions": samples.churned,
            "memory": memory,
            "samples": samples.memory,
        }
        print(json.dumps({**told, "keys": [len(before), len(after)], "missed": missed}))
    else:
        print(_table(samples.memory))
        print(f"{minutes:g} min at {rate:.0f} items/s, {samples.churned} submissions came and went")
        print(f"Redis keys: {len(before)} before, {len(after)} after")
    for sentence in missed:
        print(f"bar missed: {sentence}", file=sys.stderr)
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
