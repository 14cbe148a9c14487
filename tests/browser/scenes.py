"""Submissions to look at: plausible runs, made by a small deterministic model of workers and a controller."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from common.adapters.redis_history import RedisMetrics
from common.domain import metrics
from common.domain.capacity import Capacity, Requests
from common.domain.events import Event
from common.domain.forecast import Forecast
from common.domain.metrics import Point
from common.domain.progress import Counts, Decision, Observation, Replicas, ServiceTimes
from common.domain.states import State
from common.http.contracts import MonitoringView, ScalingView, SharesView, ShareView
from tests.browser.world import World

PERIOD = 2.0


@dataclass(frozen=True)
class Scene:
    """A run of ``total`` items of ``item`` seconds each, ``elapsed`` seconds old, with a deadline (seconds) or not."""

    id: str
    name: str
    elapsed: float
    deadline: float | None
    total: int = 1800
    item: float = 1.6
    state: State = State.ONGOING
    reason: str = ""
    feasible: bool = True


@dataclass(frozen=True)
class Step:
    """The run at one moment, seconds after its acceptance."""

    at: float
    counts: Counts
    replicas: Replicas
    rate: float
    previous: int


def steps(scene: Scene) -> list[Step]:
    """How the run went: a slow start, a controller that adds replicas while late and takes them away near the end."""
    running, wanted, done, dead = 0, 4, 0.0, 0
    measured = 1.0 / scene.item
    story: list[Step] = []
    moment = 0.0
    while moment <= scene.elapsed:
        previous = wanted
        share = (done + dead) / scene.total
        used = moment / scene.deadline if scene.deadline else share
        if moment and moment % 6 == 0 and scene.deadline:
            left = max(scene.deadline - moment, 1.0)
            need = math.ceil((scene.total - done) / (measured * left) * (1.08 if share < used else 1.0))
            wanted = max(1, min(16, max(min(need, wanted + 3), wanted - 1)))
        running = min(wanted, running + 1) if running < wanted else max(wanted, running - 1)
        slow = 0.55 if 70 <= moment < 150 else 1.0
        rate = slow * running / scene.item * (0.93 + 0.05 * math.sin(moment / 9) + 0.02 * math.sin(moment / 2.3))
        measured += 0.12 * (rate / max(running, 1) - measured)
        done = min(scene.total - dead, done + rate * PERIOD)
        dead = min(4, int(moment // 70))
        leased = min(running, scene.total - int(done) - dead)
        delayed = 3 if moment % 40 < 8 and leased else 0
        ready = max(0, scene.total - int(done) - dead - leased - delayed)
        counts = Counts(total=scene.total, ready=ready, delayed=delayed, leased=leased, done=int(done), dead=dead)
        pods = Replicas(desired=wanted, requested=wanted, observed=running, pending=max(0, wanted - running))
        story.append(Step(moment, counts, pods, rate, previous))
        moment += PERIOD
    return story if scene.state is not State.COMPLETED else [*story[:-1], _finished(story[-1], scene.total)]


def _finished(last: Step, total: int) -> Step:
    return replace(last, counts=Counts(total=total, done=total), replicas=Replicas())


def play(world: World, store: RedisMetrics, scene: Scene, now: float) -> None:
    """Put the scene into the world: status, observation, decisions, events, series."""
    began = now - scene.elapsed
    story = steps(scene)
    world.submissions[scene.id] = status(scene, story[-1], began, now)
    world.scaling[scene.id] = _scaling(scene, story, began)
    world.monitoring[scene.id] = MonitoringView(
        active=not scene.state.terminal,
        plugin="items",
        collect_period=PERIOD,
        observation=_observation(scene, story[-1], began),
    )
    world.events[scene.id] = [
        Event(at=began, kind="state", message="accepted"),
        Event(at=began + 0.2, kind="queue", message=f"{scene.total:,} items loaded from file:///data/items.txt"),
        Event(at=began + 0.3, kind="job", message=f"Job {scene.id}-g1 created with 4 replicas"),
        Event(at=began + 38, kind="pod", message="pod index 3 was evicted; its item is ready again", warning=True),
    ]
    why = "exit code 1: ValueError: no such column 'depth' in row 17"
    dead = [f"item {1204 + number} is dead: {why}" for number in range(story[-1].counts.dead)]
    world.errors[scene.id] = dead + [f"item {1204 + n % 4}, attempt {n // 4 + 1} on w-3: {why}" for n in range(7)]
    world.specs[scene.id] = {
        "name": scene.name,
        "image": "registry.example/aligner:2.4",
        "run": "align --depth {item}",
        "workload": {"url": "https://data.example/items.txt"},
        "deadline": scene.deadline,
        "replicas": {"min": 1, "max": 16},
        "priority": "normal",
    }
    world.logs[scene.id] = {
        f"{scene.id}-g1-{index}": "".join(f"item {number} aligned in 1.6 s\n" for number in range(40))
        for index in range(3)
    }
    add_points(store, scene, story, began)


def add_points(store: RedisMetrics, scene: Scene, story: list[Step], began: float) -> None:
    for step in story:
        store.write(points(scene, step, began))


def points(scene: Scene, step: Step, began: float) -> list[Point]:
    """What a monitor writes at one moment."""
    seen = _observation(scene, step, began)

    def point(measurement: metrics.Measurement, **fields: float) -> Point:
        assert set(fields) <= set(measurement.fields)
        return Point(measurement.name, scene.id, seen.at, fields)

    timed = (
        [point(metrics.TIME_PROGRESS, value=seen.time_progress), point(metrics.PROGRESS_ERROR, value=seen.error)]
        if scene.deadline
        else []
    )
    queue = seen.counts
    return [
        point(metrics.JOB_PROGRESS, value=seen.progress),
        *timed,
        point(metrics.PARALLELISM, value=seen.replicas.observed),
        point(metrics.REPLICAS, **{name: float(getattr(seen.replicas, name)) for name in metrics.REPLICAS.fields}),
        point(
            metrics.QUEUE,
            ready=queue.ready,
            delayed=queue.delayed,
            leased=queue.leased,
            done=queue.done,
            dead=queue.dead,
        ),
        point(metrics.FLOW, throughput=seen.throughput, arrival_rate=0.0),
        point(metrics.QUEUE_WAIT, p50=step.at * 0.4, p95=step.at * 0.7, oldest=step.at * 0.8),
        point(metrics.SERVICE, mean=seen.service.mean, p50=seen.service.p50, p95=seen.service.p95, longest=9.1),
    ]


def status(scene: Scene, step: Step, began: float, now: float) -> dict[str, Any]:
    """A manager's status document."""
    over = scene.state.terminal
    took = scene.elapsed
    return {
        "app_id": scene.id,
        "status": scene.state.value,
        "starting_time": "2026-01-01T00:00:00Z",
        "visualizer_url": "",
        "redis_ip": "127.0.0.1",
        "redis_port": 6379,
        "state": scene.state.value,
        "name": scene.name,
        "kind": "batch",
        "reason": scene.reason,
        "created_at": began,
        "finished_at": now if over else None,
        "deadline": scene.deadline,
        "progress": 0.0 if scene.state is State.LOADING else step.counts.progress,
        "counts": step.counts.model_dump(),
        "replicas": step.replicas.model_dump(),
        "scaling_strategy": "deadline",
        "warnings": [],
        "forecast": {} if over else _forecast(step, scene, began),
        **({"execution_time": took, "final_replicas": step.replicas.observed, "peak_replicas": 11} if over else {}),
        **(
            {"deadline_met": took <= scene.deadline, "deadline_margin": scene.deadline - took}
            if over and scene.deadline
            else {}
        ),
    }


def _forecast(step: Step, scene: Scene, began: float) -> dict[str, Any]:
    if not step.at:
        return {}
    left = step.counts.outstanding * scene.item / max(1, step.replicas.desired)
    at = {name: began + step.at + left * factor for name, factor in (("p10", 0.9), ("p50", 1.0), ("p90", 1.25))}
    return {
        "finish_at": at,
        "ends_at": at["p50"],
        "chance": 0.93,
        "cost": {"replica_seconds": left * 8, "projected": {"replica_seconds": 4800}},
    }


def _observation(scene: Scene, step: Step, began: float) -> Observation:
    wave = 1 + 0.05 * math.sin(step.at / 17)
    return Observation(
        submission=scene.id,
        at=began + step.at,
        elapsed=step.at,
        deadline=scene.deadline,
        counts=step.counts,
        progress=step.counts.progress,
        throughput=step.rate,
        service=ServiceTimes(
            count=step.counts.done, mean=scene.item, p50=scene.item * 0.92 * wave, p95=scene.item * 1.9 * wave
        ),
        failures=7,
        price=0.12,
        replicas=step.replicas,
    )


def _scaling(scene: Scene, story: list[Step], began: float) -> ScalingView:
    decisions = tuple(_decision(scene, step, began) for step in story if step.at and step.at % 6 == 0)
    return ScalingView(
        active=not scene.state.terminal,
        law="deadline",
        desired=story[-1].replicas.desired,
        requested=story[-1].replicas.requested,
        reason=decisions[-1].reason if decisions else "",
        scalings=sum(one.granted != one.previous for one in decisions),
        peak=max((one.granted for one in decisions), default=0),
        decisions=decisions,
    )


def _decision(scene: Scene, step: Step, began: float) -> Decision:
    granted, error = step.replicas.desired, step.counts.progress - step.at / (scene.deadline or math.inf)
    eta = step.counts.outstanding * scene.item / max(1, granted)
    if granted > step.previous:
        reason = f"{eta:.0f}s of work left at {granted} replicas: fewer would miss the deadline"
    elif granted < step.previous:
        reason = f"ahead by {max(error, 0):.1%}: {granted} replicas finish in time"
    else:
        reason = f"{granted} replicas finish in {eta:.0f}s, within what is left"
    return Decision(
        at=began + step.at,
        law="deadline",
        wanted=granted,
        granted=granted,
        previous=step.previous,
        reason=reason,
        feasible=scene.feasible,
        eta=eta,
        forecast=Forecast(at=began + step.at, p50=step.at + eta, p90=(step.at + eta) * 1.1, chance=0.93),
        progress=step.counts.progress,
        error=error,
        observed=step.replicas.observed,
    )


def furnish(world: World) -> None:
    """Two clusters: one with nodes and submissions that share it, one that does not answer for its nodes."""
    world.clusters["default"] = {"active": True, "default": True, "server": "", "submissions": 2}
    world.clusters["farm"] = {
        "active": False,
        "default": False,
        "server": "https://farm.example:6443",
        "submissions": 0,
    }
    world.nodes["default"] = [
        {"name": f"node-{number}", "ready": number != 3, "cpu": 16.0, "memory": 64 * 2**30, "pods": 110, "gpus": 0}
        for number in range(4)
    ]
    running = [id for id, told in world.submissions.items() if told["status"] == "ongoing"]
    world.shares["default"] = SharesView(
        cluster="default",
        capacity=Capacity(replicas=40),
        shares={
            id: ShareView(
                wanted=8 + 4 * number,
                granted=8,
                requests=Requests(cpu=1.0, memory=2**30),
                deadline_at=world.submissions[id]["created_at"] + (world.submissions[id]["deadline"] or 600.0),
            )
            for number, id in enumerate(running[:4])
        },
    )


LIVE = Scene("kj-4f2a91c", "genome-alignment", elapsed=330.0, deadline=480.0, total=2400)


def crowd(count: int) -> list[Scene]:
    """Many submissions of every kind and state, the live one first."""
    names = ("frames-2019", "stdlib-metrics", "tide-model", "invoice-ocr", "night-sky-mosaic", "link-check")
    kinds: tuple[tuple[State, float | None, str], ...] = (
        (State.ONGOING, 480.0, ""),
        (State.ONGOING, 190.0, "2 pods are pending: 0/3 nodes are available: insufficient cpu"),
        (State.COMPLETED, 400.0, ""),
        (State.FAILED, 400.0, "4 items are dead; the last error: exit code 1: no such column"),
        (State.STOPPED, None, "stopped on request"),
        (State.COMPLETED, 150.0, ""),
        (State.ERROR, 600.0, "every pod exits at once with code 127: sh: align: not found"),
        (State.ONGOING, None, ""),
        (State.LOADING, 900.0, "loading items: 41,200 so far"),
    )
    scenes = []
    for number in range(count):
        state, deadline, reason = kinds[number % len(kinds)]
        elapsed = 4.0 if state is State.LOADING else 60.0 + 37.0 * (number % 5)
        scene = Scene(f"kj-{number:07x}", f"{names[number % len(names)]}-{number}", elapsed, deadline, 600, 1.4, state)
        scenes.append(replace(scene, reason=reason))
    return scenes
