"""The faults, each with a name. ``strike`` breaks something, lasts as long as it is broken, and mends it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.api_proxy import Behaviour
from tests.faults.invariants import Losses
from tests.faults.parts import PartProcess
from tests.faults.shapes import BATCH, DEDICATED, SHAPES, Shape
from tests.faults.stage import Stage, Submitted, empty
from tests.support.tcp_relay import TcpRelay


@dataclass(frozen=True)
class Scene:
    """What a fault may touch: the stage, the submissions that are on it, and its own chance."""

    stage: Stage
    submitted: Sequence[Submitted]
    chance: random.Random


@dataclass(frozen=True)
class Kill:
    """A worker process was killed ``at`` (Unix seconds); ``held``: attempts by item of what it had."""

    submission: str
    at: float
    held: dict[str, int]


@dataclass
class Struck:
    """What was done. ``lifted`` (Unix seconds): everything was whole again."""

    lifted: float
    losses: Losses = field(default_factory=Losses)
    kills: list[Kill] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """``cast`` spoils items of the workload before it is submitted and returns which must die; ``fields`` are added to
    the document. ``on`` names the stage it needs, ``shapes`` what may be submitted in it."""

    name: str
    strike: Callable[[Scene], Struck]
    cast: Callable[[list[dict[str, Any]], random.Random], frozenset[str]] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    on: str = "plain"
    weight: int = 1
    shapes: tuple[Shape, ...] = tuple(SHAPES.values())


def whole(losses: Losses | None = None) -> Struck:
    return Struck(time.time(), losses or Losses())


# Services.


def kill_services(*names: str, down: float = 3.0) -> Callable[[Scene], Struck]:
    """kill -9 of one of each named service, started again after up to ``down`` seconds."""

    def strike(scene: Scene) -> Struck:
        victims = [scene.chance.choice(scene.stage.services(name)) for name in names]
        _bounce(victims, scene.chance.uniform(0, down))
        return whole()

    return strike


def kill_all_services(scene: Scene) -> Struck:
    _bounce(scene.stage.every_service(), scene.chance.uniform(0, 2))
    return whole()


def restart_all_services(scene: Scene) -> Struck:
    """SIGTERM to all at once."""
    services = scene.stage.every_service()
    threads = [threading.Thread(target=service.stop) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    _bounce(services, 0.0)
    return whole()


def pause_service(name: str, seconds: float) -> Callable[[Scene], Struck]:
    """A process that stands still for longer than its leases, and goes on as if nothing had been."""

    def strike(scene: Scene) -> Struck:
        victim = scene.chance.choice(scene.stage.services(name))
        victim.pause()
        time.sleep(seconds)
        victim.resume()
        return whole()

    return strike


def _bounce(services: Sequence[PartProcess], down: float) -> None:
    for service in services:
        service.kill()
    time.sleep(down)
    for service in services:
        service.start()
    for service in services:
        service.wait_ready()


def end_and_kill(how: str, *names: str) -> Callable[[Scene], Struck]:
    """Somebody asks for the end, and in that moment services die."""

    def strike(scene: Scene) -> Struck:
        for submitted in scene.submitted:
            submitted.ends = {"stop": "stopped", "terminate": "terminated"}[how]
            scene.stage.call("PUT", f"/submissions/{submitted.id}/{how}")
        time.sleep(scene.chance.uniform(0, 0.3))
        return kill_services(*names)(scene)

    return strike


def kill_in_a_post(scene: Scene) -> Struck:
    """The manager dies while it takes a submission in; the client asks again, with the same key: there is one."""
    name = f"posted-{scene.chance.randrange(10**9)}"
    made: list[Submitted] = []
    items = [{"number": number, "seconds": 0.05} for number in range(5)]
    posting = threading.Thread(target=lambda: made.append(scene.stage.submit(items, name=name)))
    posting.start()
    time.sleep(scene.chance.uniform(0, 0.06))
    _bounce(scene.stage.services("manager"), scene.chance.uniform(0, 1))
    posting.join(90)
    found = scene.stage.call("GET", f"/submissions?name={name}").json()
    assert made and list(found) == [made[0].id], f"one POST, tried again, made {list(found)}"
    assert scene.stage.wait_end(made[0].id, 90)["state"] == "completed"
    scene.stage.call("DELETE", f"/submissions/{made[0].id}")
    return whole()


# Redis.


def kill_redis(scene: Scene) -> Struck:
    """kill -9: what was written to the file is there again, and that is all that was acknowledged."""
    stage = scene.stage
    stage.redis.kill()
    time.sleep(scene.chance.uniform(0, 2))
    stage.redis.start()
    stage.await_redis()
    return whole()


def power_loss(scene: Scene) -> Struck:
    """kill -9, and the append-only file as the disk would have it: without what was not synced, up to a second."""
    stage = scene.stage
    directory = stage.options.redis_directory or stage.home / "redis"
    with sizes_of(directory / "appendonlydir") as sizes:
        time.sleep(1.5)
    at = time.time()
    stage.redis.kill()
    cut_to_what_was_synced(sizes, at)
    stage.redis.start()
    stage.await_redis()
    return whole(Losses(since=at - 1.3))


Sizes = list[tuple[float, dict[Path, int]]]
"""Sizes of files at moments (Unix seconds)."""


def cut_to_what_was_synced(sizes: Sizes, died: float) -> None:
    """Make the files as short as they were a second before: with ``everysec`` that much is sure to be on the disk."""
    synced = [size for when, size in sizes if when <= died - 1.0]
    for path, size in synced[-1].items() if synced else ():
        with contextlib.suppress(FileNotFoundError):
            os.truncate(path, min(size, path.stat().st_size))


@contextmanager
def sizes_of(directory: Path) -> Iterator[Sizes]:
    """The sizes of the incremental files, every few hundredths of a second."""
    looks: Sizes = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.02):
            looks.append((time.time(), {path: path.stat().st_size for path in directory.glob("*.incr.aof")}))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield looks
    stop.set()
    thread.join(5)


def redis_away(seconds: float) -> Callable[[Scene], Struck]:
    def strike(scene: Scene) -> Struck:
        scene.stage.redis.stop()
        time.sleep(scene.chance.uniform(seconds / 2, seconds))
        scene.stage.redis.start()
        scene.stage.await_redis()
        return whole()

    return strike


def redis_paused(seconds: float) -> Callable[[Scene], Struck]:
    def strike(scene: Scene) -> Struck:
        scene.stage.redis.pause()
        time.sleep(seconds)
        scene.stage.redis.resume()
        scene.stage.await_redis()
        return whole()

    return strike


def redis_full(scene: Scene) -> Struck:
    """No memory left: every write that may grow is refused for a while."""
    admin = scene.stage.admin
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", "1mb")
    time.sleep(scene.chance.uniform(2, 6))
    admin.config_set("maxmemory", "0")
    return whole()


def disk_full(scene: Scene) -> Struck:
    """Nothing fits on the disk of Redis's file and of the logs any more."""
    disk = scene.stage.options.redis_directory
    assert disk is not None, "this fault needs a disk of its own"
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 65536):
            pass
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"0"):
            pass
    time.sleep(scene.chance.uniform(3, 6))
    ballast.unlink()
    return whole()


def redis_replaced(scene: Scene) -> Struck:
    """Another Redis, an empty one, answers at the same address."""
    stage = scene.stage
    stage.redis.kill()
    empty(stage.options.redis_directory or stage.home / "redis")
    stage.redis.start()
    stage.await_redis()
    return whole(Losses(everything=True))


# The cluster's API.


def api(seconds: float, behaviour: Behaviour) -> Callable[[Scene], Struck]:
    def strike(scene: Scene) -> Struck:
        scene.stage.proxy.behave(behaviour)
        if behaviour.watch_lasts is not None or behaviour.status == 410:
            scene.stage.proxy.break_connections()
        time.sleep(seconds)
        scene.stage.proxy.behave(Behaviour())
        if behaviour.stale:
            scene.stage.proxy.break_connections()
        return whole()

    return strike


def api_away(seconds: float) -> Callable[[Scene], Struck]:
    def strike(scene: Scene) -> Struck:
        scene.stage.proxy.cut()
        time.sleep(scene.chance.uniform(seconds / 2, seconds))
        scene.stage.proxy.mend()
        return whole()

    return strike


def kill_cluster(scene: Scene) -> Struck:
    """kill -9 of the API server, with which the local cluster's pods die; it is started again on what it has kept."""
    stage = scene.stage
    stage.cluster.kill()
    time.sleep(scene.chance.uniform(0, 2))
    stage.cluster.start()
    stage.cluster.wait_ready()
    return whole(Losses(pods=True))


def set_back_cluster(scene: Scene) -> Struck:
    """The API server comes back from a backup that is some seconds old: objects and versions are those of then."""
    stage = scene.stage
    state, backup = stage.home / "cluster", stage.home / "cluster.backup"
    shutil.rmtree(backup, ignore_errors=True)
    shutil.copytree(state, backup, ignore_dangling_symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    time.sleep(scene.chance.uniform(0.5, 2.5))
    stage.cluster.kill()
    shutil.rmtree(state)
    backup.rename(state)
    stage.cluster.start()
    stage.cluster.wait_ready()
    return whole(Losses(pods=True))


# Workers.


def kill_workers(most: int | None = 1, rounds: int = 1) -> Callable[[Scene], Struck]:
    """kill -9 of up to so many worker processes (None: all) of each submission, at whatever they are; ``rounds`` times,
    a moment apart."""

    def strike(scene: Scene) -> Struck:
        kills: list[Kill] = []
        for number in range(rounds):
            if number:
                time.sleep(scene.chance.uniform(0.3, 1.5))
            for submitted in scene.submitted:
                kills += _kill_some(scene, submitted, most)
        return Struck(time.time(), kills=kills)

    return strike


def _kill_some(scene: Scene, submitted: Submitted, most: int | None) -> list[Kill]:
    id, pids = submitted.id, scene.stage.workers(submitted)
    scene.chance.shuffle(pids)
    pods = {pid: _pod_of(pid) for pid in pids[:most]}
    for pid in pods:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    at = time.time()
    # Where nobody is left to take an item, it waits for Kubernetes to start somebody: that has a back-off of its own.
    are_others_left = len(pods) < len(pids)
    return [Kill(id, at, _held_by(scene.stage, id, pod) if are_others_left else {}) for pod in pods.values()]


def _held_by(stage: Stage, id: str, pod: str) -> dict[str, int]:
    """Attempts by item of the leases of a worker that is dead but not given up yet."""
    queue = f"asp:{{{id}}}:q:"
    names = stage.admin.lrange(queue + "names", 0, -1)
    found = {}
    for item, lease in stage.admin.hgetall(queue + "leases").items():
        attempt, _, worker, *_ = lease.split()
        if names[int(worker)] == pod:
            found[item] = int(attempt)
    return found


def _pod_of(pid: int) -> str:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((entry[9:].decode() for entry in environment if entry.startswith(b"POD_NAME=")), "")


def pause_worker(scene: Scene) -> Struck:
    """A worker stands still past its lease, and comes back with a result that is not wanted any more."""
    paused = []
    for submitted in scene.submitted:
        pids = scene.stage.workers(submitted)
        if pids:
            paused.append(scene.chance.choice(pids))
            with contextlib.suppress(ProcessLookupError):
                os.kill(paused[-1], signal.SIGSTOP)
    time.sleep(2.5 * max(submitted.lease for submitted in scene.submitted))
    for pid in paused:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return whole()


def partition_workers(scene: Scene) -> Struck:
    """No worker reaches Redis for longer than its lease; the services do."""
    relay: TcpRelay = scene.stage.relay
    relay.cut()
    time.sleep(2.0 * max(submitted.lease for submitted in scene.submitted))
    relay.mend()
    return whole()


def kill_queue(scene: Scene) -> Struck:
    """kill -9 of the Redis of a queue of its own: it is started again in its pod, on its file."""
    for submitted in scene.submitted:
        for pid in scene.stage.processes(submitted.id, "redis-server"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return whole()


def nothing(scene: Scene) -> Struck:
    return whole()


def cast(what: str, share: float, dies: bool) -> Callable[[list[dict[str, Any]], random.Random], frozenset[str]]:
    """Make some items ``what``."""

    def spoil(items: list[dict[str, Any]], chance: random.Random) -> frozenset[str]:
        spoiled = chance.sample(range(len(items)), max(1, int(len(items) * share)))
        for number in spoiled:
            items[number]["what"] = what
        return frozenset(str(number) for number in spoiled) if dies else frozenset()

    return spoil


# Clocks (see clocks/sitecustomize.py).


def clock_step(seconds: float) -> Callable[[Scene], Struck]:
    """The clocks of all services are set by so much, and stay there for a while."""

    def strike(scene: Scene) -> Struck:
        offsets = sorted(scene.stage.home.glob("*.clock"))
        before = {path: path.read_text() for path in offsets}
        for path in offsets:
            path.write_text(f"{float(before[path]) + seconds:+.3f}\n")
        time.sleep(6)
        for path in offsets:
            path.write_text(before[path])
        return whole()

    return strike


_API = 5.0

FAULTS: tuple[Fault, ...] = (
    Fault("manager killed", kill_services("manager"), weight=4),
    Fault("controller killed", kill_services("controller"), weight=3),
    Fault("monitor killed", kill_services("monitor"), weight=3),
    Fault("visualizer killed", kill_services("visualizer")),
    Fault("manager and monitor killed", kill_services("manager", "monitor"), weight=2),
    Fault("manager killed in the middle of a POST", kill_in_a_post, weight=3),
    Fault("terminated, and the manager killed", end_and_kill("terminate", "manager"), weight=2),
    Fault("stopped, and manager and controller killed", end_and_kill("stop", "manager", "controller"), weight=2),
    Fault("all services killed at once", kill_all_services, weight=3),
    Fault("all services restarted at once", restart_all_services, weight=2),
    Fault("manager stands still for 15 s", pause_service("manager", 15.0)),
    Fault("controller down for 30 s", kill_services("controller", down=30.0)),
    Fault("worker killed", kill_workers(1), None, {"lease": 4}, weight=8),
    Fault("three of four workers killed", kill_workers(1, rounds=3), None, {"replicas": 4, "lease": 4}, weight=8),
    Fault("all workers killed", kill_workers(None), weight=3),
    Fault("worker stands still past its lease", pause_worker, weight=2),
    Fault("workers cut off from Redis past their lease", partition_workers, weight=2),
    Fault("Redis killed", kill_redis, weight=4),
    Fault("Redis loses its last second (power loss)", power_loss, weight=4),
    Fault("Redis away for 10 s", redis_away(10.0), weight=2),
    Fault("Redis stands still for 8 s", redis_paused(8.0), weight=2),
    Fault("Redis stands still for 30 s", redis_paused(30.0)),
    Fault("Redis full", redis_full, weight=2),
    Fault("Redis replaced by an empty one", redis_replaced, weight=2),
    Fault("disk full (Redis's file)", disk_full, on="disk", weight=2),
    Fault("cluster API away", api_away(8.0), weight=2),
    Fault("cluster API takes 10 s", api(15.0, Behaviour(delay=10.0))),
    Fault("cluster API answers 500", api(_API, Behaviour(status=500, share=0.8)), weight=2),
    Fault("cluster API answers 409 to writes", api(_API, Behaviour(status=409, share=0.8, writes_only=True)), weight=2),
    Fault("cluster API answers 410", api(_API, Behaviour(status=410, share=0.8)), weight=2),
    Fault("cluster API answers 429", api(_API, Behaviour(status=429, share=0.8)), weight=2),
    Fault("cluster API drops watches", api(_API, Behaviour(watch_lasts=0.3)), weight=2),
    Fault("cluster API answers from its past", api(_API, Behaviour(stale=True)), weight=2),
    Fault("cluster API server killed", kill_cluster, weight=2),
    Fault("cluster API server set back to a backup", set_back_cluster, weight=2),
    Fault("the Redis of a queue of its own killed", kill_queue, weight=2, shapes=(DEDICATED,)),
    Fault(
        "items that kill their worker",
        nothing,
        cast("poison", 0.05, dies=True),
        {"retries": 2, "lease": 1},
        shapes=(BATCH,),
    ),
    Fault(
        "items that are held for ever",
        nothing,
        cast("hog", 0.05, dies=True),
        {"retries": 1, "item_timeout": 1},
        shapes=(BATCH,),
    ),
    Fault("results of 50 MB", nothing, cast("huge", 0.05, dies=True), {"retries": 1}, shapes=(BATCH,)),
    Fault("workers that lie about results", nothing, cast("liar", 0.3, dies=False), weight=2, shapes=(BATCH,)),
    Fault("one of two managers killed", kill_services("manager"), on="two", weight=2),
    Fault("one of each two services killed", kill_services("manager", "controller", "monitor"), on="two", weight=2),
    Fault("one of two managers stands still for 15 s", pause_service("manager", 15.0), on="two"),
    Fault("Redis killed under two of each service", kill_redis, on="two"),
    Fault("clocks 5 min apart", nothing, on="clocks", weight=2),
    Fault("clocks set an hour ahead", clock_step(3600.0), on="clocks", weight=2),
    Fault("clocks set an hour back", clock_step(-3600.0), on="clocks", weight=2),
    Fault("InfluxDB and Grafana away", nothing, on="stores", weight=2),
)
