"""Thousands of submissions on one stack: taking them in, running hundreds at once, steering a thousand.

    python -m benchmarks.scale [intake|active] [--quick] [--json] [--check]

Redis, the local cluster's API and the four services are real processes. The pods are not: their node selector fits no
node, so that no process starts, and the benchmark plays the workers through the real queue client.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
import requests
from asperathos_worker.queue.records import Ack, Lease
from asperathos_worker.queue.redis_queue import RedisQueue

from benchmarks.idle import cpu_seconds
from benchmarks.monitor import metric
from benchmarks.verdict import verdict
from cli.stack.plan import SERVICES
from common.adapters.redis_records import RedisRecords
from common.domain.events import SUBMISSION_RECORDS
from common.domain.states import State
from common.domain.submission import Submission
from tests.faults.stage import Options, Stage, wait_until
from tests.support.stack_process import descendants

BAR_POST = 0.250
"""Seconds of the slowest but one per cent of the POSTs."""
BAR_CORE = 0.5
"""Of a core, for controller and monitor each."""
BAR_PACE = 0.95
"""Share of the decisions and measurements that the interval asks for. It falls below on a machine that others use, too:
``cores_at_pace`` is what the whole of it would take."""
BAR_GROWTH = 1.05
"""CPU of ten times as many submissions, as a share of ten times the CPU; what a window of a minute may err included."""
CLIENTS, INTAKE, AT_ONCE, ITEMS = 50, 2000, 500, 10
FEW, MANY, INTERVAL = 100, 1000, 5.0
MOST_THREADS = 64
"""Of a service with its defaults: API threads that have been used, loop workers, and a handful beside them."""
_TELL = 5.0
"""Seconds between two lines of progress."""
_BUSY_SHARE = 0.1
"""Items a second that are finished for each active submission."""


def document(number: int, items: int, interval: float) -> dict[str, Any]:
    """A batch whose pods stay pending."""
    return {
        "name": f"scale-{number}",
        "command": ["none"],
        "node_selector": {"benchmark": "no-node-has-this"},
        "workload": [f"item {number} {each}" for each in range(items)],
        "deadline": "8h",
        "expected_item_time": 1,
        "replicas": {"min": 1, "max": 4, "initial": 1},
        "control": {"interval": interval},
        "monitoring": {"interval": interval},
        "lease": 3600,
        "job_lifetime": 0,
        "grace_period": 1,
    }


def post_all(
    port: int, documents: Sequence[dict[str, Any]], clients: int
) -> tuple[list[float], list[str], Counter[str]]:
    """Have so many clients POST them, each its next one as soon as it has its answer. Seconds each took, the ids, and
    what was answered by status."""
    bodies = [json.dumps(each).encode() for each in documents]
    shares = [bodies[start::clients] for start in range(clients)]
    seconds: list[float] = []
    ids: list[str] = []
    answers: Counter[str] = Counter()

    def client(share: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        for body in share:
            began = time.perf_counter()
            connection.request("POST", "/submissions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            seconds.append(time.perf_counter() - began)
            answers[str(answer.status)] += 1
            if answer.status == 202:
                ids.append(json.loads(text)["job_id"])
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client, share) for share in shares]:
            done.result()
    return seconds, ids, answers


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed."""
    return sorted(values)[max(0, round(share * len(values)) - 1)]


class Watcher:
    """Looks at all records, as the services keep them."""

    def __init__(self, client: redis.Redis) -> None:
        self._records = RedisRecords(client, SUBMISSION_RECORDS, Submission)

    def states(self) -> Counter[State]:
        return Counter(each.state for each in self._records.all().values())

    def ids(self, state: State) -> list[str]:
        return [id for id, each in self._records.all().items() if each.state is state]


def finish(client: redis.Redis, ids: Iterable[str]) -> int:
    """Do all the work of these submissions; returns the accepted results."""
    accepted = 0
    for id in ids:
        queue, worker = RedisQueue(client, id), f"{id}-g1-0"
        leases: Sequence[Lease] = queue.take(worker, 0, ITEMS).leases
        while leases:
            taken = queue.finish_and_take(
                worker, 0, [Ack(each.id, each.attempt, each.payload) for each in leases], ITEMS
            )
            accepted += sum(taken.accepted)
            leases = taken.leases
    return accepted


def environment(stage_home: Path, **more: str) -> dict[str, str]:
    """Straight to the cluster, past the stage's proxy; room for all."""
    return {
        "ASPERATHOS_KUBECONFIG": str(stage_home.resolve() / "kubeconfig"),
        "ASPERATHOS_CAPACITY": '{"*": 100000}',
        **more,
    }


def intake(submissions: int, at_once: int, clients: int) -> dict[str, Any]:
    """POST them, let ``at_once`` run at a time, play their workers until all have ended."""
    with tempfile.TemporaryDirectory(prefix="asperathos-scale-") as directory:
        home = Path(directory)
        options = Options(environment=environment(home, ASPERATHOS_MAX_RUNNING=str(at_once)))
        with Stage(home, options) as stage, stage.connect() as client:
            watcher, manager = Watcher(client), stage.services("manager")[0].pid
            load, cpu, began = os.getloadavg()[0], cpu_seconds(tree(manager)), time.monotonic()
            documents = [document(number, ITEMS, INTERVAL) for number in range(submissions)]
            seconds, ids, answers = post_all(stage.layouts[0].ports["manager"], documents, clients)
            posted, cpu = time.monotonic() - began, cpu_seconds(tree(manager)) - cpu
            told = f"{1000 * quantile(seconds, 0.5):.0f} ms at p50, {1000 * quantile(seconds, 0.99):.0f} ms at p99"
            print(f"posted in {posted:.1f} s, {told}: {dict(answers)}", file=sys.stderr)
            most, accepted, played, told_at = 0, 0, set[str](), 0.0
            full = wait_until(lambda: watcher.states()[State.ONGOING] >= at_once, 600, "not so many run at once")
            end = time.monotonic() + 1800
            while True:
                states = watcher.states()
                most = max(most, states[State.ONGOING] + states[State.LOADING])
                ended = sum(count for state, count in states.items() if state.terminal)
                if time.monotonic() - told_at > _TELL:
                    told_at = time.monotonic()
                    print(f"{told_at - began:.0f} s: {dict(states)}, work done of {len(played)}", file=sys.stderr)
                if ended >= len(ids) or time.monotonic() > end:
                    break
                ready = [id for id in watcher.ids(State.ONGOING) if id not in played]
                accepted += finish(client, ready)
                played.update(ready)
                time.sleep(0.2)
            states = watcher.states()
            return {
                "submissions": submissions,
                "clients": clients,
                "load": round(load, 1),
                "answers": dict(answers),
                "posts_a_second": submissions / posted,
                "post_p50": quantile(seconds, 0.5),
                "post_p99": quantile(seconds, 0.99),
                "post_mean": statistics.fmean(seconds),
                "manager_cpu_a_post": cpu / submissions,
                "seconds_to_all_running": full,
                "most_at_once": most,
                "completed": states[State.COMPLETED],
                "accepted_results": accepted,
                "lost": len(set(ids)) - states[State.COMPLETED] + submissions - len(set(ids)),
                "seconds": time.monotonic() - began,
            }


def tree(pid: int) -> set[int]:
    """A process and what it has forked."""
    return {pid} | descendants(pid)


def threads(pid: int) -> int:
    """Of the process that has most of them: the master of a service has one."""
    return max(len(list(Path(f"/proc/{each}/task").iterdir())) for each in tree(pid))


def play(stage: Stage, ids: Sequence[str], stop: threading.Event) -> None:
    """Finish items of one submission after the other at a steady rate."""
    held: dict[str, Sequence[Lease]] = {}
    with stage.connect() as client:
        queues = {id: RedisQueue(client, id) for id in ids}
        due, number = time.monotonic(), 0
        while not stop.wait(max(0.0, due - time.monotonic())):
            id = ids[number % len(ids)]
            acks = [Ack(each.id, each.attempt) for each in held.get(id, ())]
            held[id] = queues[id].finish_and_take(f"{id}-g1-0", 0, acks, 1).leases
            number += 1
            due += 1.0 / (_BUSY_SHARE * len(ids))


def active(few: int, many: int, seconds: float, settle: float) -> dict[str, Any]:
    """CPU of every process with few submissions active, then with many."""
    figures: dict[str, Any] = {"interval": INTERVAL}
    with tempfile.TemporaryDirectory(prefix="asperathos-scale-") as directory:
        home = Path(directory)
        with Stage(home, Options(environment=environment(home))) as stage, stage.connect() as client:
            watcher = Watcher(client)
            port = stage.layouts[0].ports["manager"]
            for count in (few, many):
                there = len(watcher.ids(State.ONGOING))
                documents = [document(number, 300, INTERVAL) for number in range(there, count)]
                post_all(port, documents, 4)
                wait_until(lambda count=count: watcher.states()[State.ONGOING] >= count, 900, "they do not all run")
                _await_calm(stage)
                figures[str(count)] = _observe(stage, watcher.ids(State.ONGOING), seconds, settle)
                print(f"{count}: {json.dumps(figures[str(count)])}", file=sys.stderr)
    return figures


def _await_calm(stage: Stage) -> None:
    """Until no Job was given another size for a while: a thousand that begin at once are no steady state."""
    url = f"{stage.layouts[0].url('controller')}/scaling"
    before, since, end = -1, time.monotonic(), time.monotonic() + 600
    while time.monotonic() < min(end, since + 2 * INTERVAL):
        time.sleep(INTERVAL / 2)
        scalings = sum(view["scalings"] for view in requests.get(url, timeout=60).json().values())
        if scalings != before:
            before, since = scalings, time.monotonic()


def _observe(stage: Stage, ids: Sequence[str], seconds: float, settle: float) -> dict[str, Any]:
    parts = {part.name: part for part in (stage.redis, stage.cluster, *stage.every_service())}
    stop = threading.Event()
    player = threading.Thread(target=play, args=(stage, ids, stop))
    player.start()
    try:
        time.sleep(settle)
        before = {name: cpu_seconds(tree(part.pid)) for name, part in parts.items()}
        counted, began = _done(stage), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        cores = {name: (cpu_seconds(tree(part.pid)) - before[name]) / took for name, part in parts.items()}
        now = _done(stage)
        kept = {name: (now[name] - counted[name]) / took * INTERVAL / len(ids) for name in now}
    finally:
        stop.set()
        player.join(30)
    return {
        "active": len(ids),
        "cores": {name: round(value, 4) for name, value in cores.items()},
        "threads": {name: threads(parts[name].pid) for name in SERVICES},
        "pace_kept": {name: round(share, 4) for name, share in kept.items()},
        "cores_at_pace": {name: round(cores[name] / share, 4) for name, share in kept.items() if share},
    }


def _done(stage: Stage) -> dict[str, float]:
    """What controller and monitor have done so far: decisions, measurements."""
    layout = stage.layouts[0]
    return {
        "controller": metric(layout.url("controller"), "asperathos_decisions_total"),
        "monitor": metric(layout.url("monitor"), "asperathos_loop_step_seconds_count"),
    }


def judge(figures: dict[str, Any]) -> list[str]:
    """The bars that are missed."""
    missed = []
    taken = figures.get("intake")
    if taken is not None:
        if taken["lost"]:
            missed.append(f"{taken['lost']} submissions were lost: {taken['answers']}")
        if taken["post_p99"] >= BAR_POST:
            missed.append(f"p99 of POST is {1000 * taken['post_p99']:.0f} ms, not under {1000 * BAR_POST:.0f} ms")
        if taken["most_at_once"] < taken["at_once"]:
            missed.append(f"{taken['most_at_once']} ran at once, not {taken['at_once']}")
    steered = figures.get("active")
    if steered is not None:
        many, few = steered[str(steered["many"])], steered[str(steered["few"])]
        for name in ("controller", "monitor"):
            used = many["cores_at_pace"][name]
            if used >= BAR_CORE:
                missed.append(f"the {name} takes {used:.2f} cores, not under {BAR_CORE}")
            growth = used / many["active"] / max(1e-9, few["cores_at_pace"][name] / few["active"])
            if growth > BAR_GROWTH:
                missed.append(f"the {name} takes {growth:.2f} times as much a submission with ten times as many")
        for name, count in many["threads"].items():
            if count > MOST_THREADS:
                missed.append(f"the {name} has {count} threads")
        for name, share in many["pace_kept"].items():
            if share < BAR_PACE:
                missed.append(f"the {name} kept {share:.0%} of its pace, not {BAR_PACE:.0%}")
    return missed


def main() -> int:
    """The command line."""
    # Whatever was started ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("intake", "active", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the submissions, 15 s instead of 60 s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 naming every bar that is missed")
    given = parser.parse_args()
    share = 10 if given.quick else 1
    seconds, settle = (15.0, 10.0) if given.quick else (60.0, 30.0)
    figures: dict[str, Any] = {}
    if given.part != "active":
        at_once = AT_ONCE // share
        figures["intake"] = {"at_once": at_once, **intake(INTAKE // share, at_once, CLIENTS)}
    if given.part != "intake":
        few, many = FEW // share, MANY // share
        figures["active"] = {"few": few, "many": many, **active(few, many, seconds, settle)}
    print(json.dumps(figures, indent=None if given.json else 2))
    return verdict(judge(figures)) if given.check else 0


if __name__ == "__main__":
    sys.exit(main())
