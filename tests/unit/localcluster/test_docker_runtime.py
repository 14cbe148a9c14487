"""The docker runtime on a fake engine: what it tells the kubelet, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.clock import SystemClock
from localcluster.errors import ConfigError
from localcluster.log import JsonLog
from localcluster.runtime.docker_config import CLUSTER_LABEL, ImageFacts
from localcluster.runtime.docker_engine import usage_in
from localcluster.runtime.docker_runtime import DockerRuntime
from localcluster.runtime.port import (
    ContainerStart,
    Credentials,
    EmptyDir,
    Exited,
    Files,
    NotStarted,
    PodSetup,
    Resources,
    RuntimeEvent,
    Said,
    Security,
    Started,
    StartFailed,
)
from tests.fakes.engine import FakeContainer, FakeEngine

Eventually = Callable[..., None]
ID = "u/main/0"


class Stage:
    """A runtime, its engine, and what it said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = FakeEngine("tool:1")
        self.events: list[RuntimeEvent] = []
        self.runtime = self.new_runtime()

    def new_runtime(self) -> DockerRuntime:
        clock = SystemClock()
        return DockerRuntime(self.engine, "state", "jobs", self.events.append, clock, JsonLog(clock, "error"))

    def start(self, id: str = ID, image: str = "tool:1", policy: str = "IfNotPresent", **setup: Any) -> None:
        uid, name, restarts = id.split("/")
        pod = PodSetup(uid, "ns", "p", "p", "10.0.0.9", **setup)
        request = ContainerStart(
            id, pod, name, image, policy, (), (), {}, "", (), Resources(), Security(), self.log_path(restarts), 4096
        )
        self.runtime.start(request)

    def log_path(self, restarts: str = "0") -> Path:
        return self.directory / f"{restarts}.log"

    def has(self, kind: type[RuntimeEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.events)

    def last(self) -> RuntimeEvent:
        return [event for event in self.events if not isinstance(event, Said)][-1]

    def said(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Said)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.engine.is_away = False
    made.engine.pull_gate.set()
    made.runtime.close(0.0)
    assert made.engine.containers == {} and made.engine.volumes == {}


def running(stage: Stage, eventually: Eventually) -> FakeContainer:
    eventually(lambda: stage.has(Started))
    (container,) = stage.engine.running()
    return container


def test_a_container_from_start_to_end(stage: Stage, eventually: Eventually) -> None:
    stage.start()
    container = running(stage, eventually)
    assert container.body["Labels"][CLUSTER_LABEL] == "state"
    stage.engine.write(container, b"one\ntwo")
    stage.engine.end(container, 3)
    eventually(lambda: stage.has(Exited))
    started, ended = (event for event in stage.events if not isinstance(event, Said))
    assert isinstance(started, Started) and started.reference == "docker://id1"
    assert isinstance(ended, Exited) and (ended.id, ended.code, ended.reason) == (ID, 3, "")
    assert [line.split(b" ", 1)[1] for line in stage.log_path().read_bytes().splitlines()] == [b"F one", b"P two"]
    assert stage.engine.containers == {}
    assert stage.said() == ["Pulled"]


def test_the_end_for_lack_of_memory_says_so(stage: Stage, eventually: Eventually) -> None:
    stage.start()
    stage.engine.end(running(stage, eventually), 137, out_of_memory=True)
    eventually(lambda: stage.has(Exited))
    assert isinstance(ended := stage.last(), Exited)
    assert (ended.code, ended.reason) == (137, "OOMKilled")


def test_stopping_sends_the_images_signal_and_kills_after_the_grace(stage: Stage, eventually: Eventually) -> None:
    stage.engine.images["tool:1"] = ImageFacts("i", stop_signal="SIGQUIT")
    stage.start()
    container = running(stage, eventually)
    stage.runtime.stop(ID, 600.0)
    eventually(lambda: container.signals == ["SIGQUIT"])
    stage.runtime.stop(ID, 0.05)
    eventually(lambda: stage.has(Exited))
    assert container.signals == ["SIGQUIT", "SIGKILL"]
    assert isinstance(ended := stage.last(), Exited) and ended.code == 137


def test_no_grace_kills_at_once(stage: Stage, eventually: Eventually) -> None:
    stage.start()
    container = running(stage, eventually)
    stage.runtime.stop(ID, 0.0)
    eventually(lambda: stage.has(Exited))
    assert container.signals == ["SIGKILL"]


@pytest.mark.parametrize(
    ("policy", "image", "pulls"),
    [("IfNotPresent", "tool:1", 0), ("Always", "tool:1", 1), ("IfNotPresent", "far:1", 1)],
)
def test_images_are_pulled_by_policy(stage: Stage, eventually: Eventually, policy: str, image: str, pulls: int) -> None:
    stage.engine.registry = {"tool:1": ImageFacts("new"), "far:1": ImageFacts("far", digest="far@sha256:1")}
    stage.start(image=image, policy=policy, registries={"index.docker.io": Credentials("me", "x")})
    container = running(stage, eventually)
    assert stage.engine.pulled == [(image, Credentials("me", "x"))] * pulls
    assert stage.said() == (["Pulling", "Pulled"] if pulls else ["Pulled"])
    stage.engine.end(container, 0)
    eventually(lambda: stage.has(Exited))


@pytest.mark.parametrize(
    ("policy", "reason", "said"),
    [("IfNotPresent", "ErrImagePull", ["Pulling", "Failed"]), ("Never", "ErrImageNeverPull", [])],
)
def test_an_image_that_cannot_be_had(
    stage: Stage, eventually: Eventually, policy: str, reason: str, said: list[str]
) -> None:
    stage.start(image="none:1", policy=policy)
    eventually(lambda: stage.has(NotStarted))
    assert isinstance(waits := stage.last(), NotStarted)
    assert waits.reason == reason and "none:1" in waits.message
    assert stage.said() == said


def test_what_running_containers_use(stage: Stage, eventually: Eventually) -> None:
    assert stage.runtime.measures and stage.runtime.usage() == {}
    stage.start()
    container = running(stage, eventually)
    (used,) = stage.runtime.usage().values()
    assert (used.cpu_seconds, used.memory) == (1.5, 4096) and 0 <= used.age < 60
    stage.engine.is_away = True
    assert stage.runtime.usage() == {}
    stage.engine.is_away = False
    stage.engine.end(container, 0)
    eventually(lambda: stage.has(Exited))
    assert stage.runtime.usage() == {}


def test_an_old_engine_is_not_asked(stage: Stage) -> None:
    stage.engine.api = (1, 40)
    assert not stage.runtime.measures


@pytest.mark.parametrize(
    ("stats", "used"),
    [
        (
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
                "memory_stats": {"usage": 5000, "stats": {"inactive_file": 1000}},
            },
            (2.5, 4000),
        ),
        (
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 0}},
                "memory_stats": {"usage": 5000, "stats": {"total_inactive_file": 6000}},
            },
            (0.0, 0),
        ),
        ({"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}, None),
        ({}, None),
    ],
)
def test_what_an_engine_says_of_a_containers_use(stats: dict[str, Any], used: tuple[float, int] | None) -> None:
    assert usage_in(stats) == used


def test_a_pod_told_to_stop_does_not_wait_for_a_pull(stage: Stage, eventually: Eventually) -> None:
    stage.engine.registry = {"far:1": ImageFacts("far")}
    stage.engine.pull_gate.clear()
    stage.start(image="far:1")
    eventually(lambda: stage.engine.pulled)
    stage.runtime.stop(ID, 30.0)
    assert isinstance(stage.last(), NotStarted)
    stage.engine.pull_gate.set()
    stage.start("u/main/1", image="tool:1")
    eventually(lambda: stage.has(Started))
    assert [container.name for container in stage.engine.running()] == ["k8s_main_p_ns_u_1"]


def test_what_cannot_be_started_has_failed(stage: Stage, eventually: Eventually) -> None:
    stage.engine.start_refusal = 'exec: "/no": no such file'
    stage.start()
    eventually(lambda: stage.has(StartFailed))
    assert isinstance(failed := stage.last(), StartFailed)
    assert (failed.code, failed.reason, failed.message) == (128, "StartError", 'exec: "/no": no such file')
    assert stage.engine.containers == {}


def test_an_engine_that_is_away_at_the_start_is_tried_again_by_the_kubelet(
    stage: Stage, eventually: Eventually
) -> None:
    stage.engine.is_away = True
    stage.start()
    eventually(lambda: stage.has(NotStarted))
    assert isinstance(waits := stage.last(), NotStarted)
    assert (waits.reason, waits.message) == ("CreateContainerError", "the Docker engine does not answer")


def test_a_container_whose_creation_was_not_answered_is_removed(stage: Stage, eventually: Eventually) -> None:
    stage.engine.loses_answers = True
    stage.start()
    eventually(lambda: stage.has(NotStarted))
    assert not stage.engine.containers


def test_a_container_outlives_an_engine_that_goes_and_comes_back(stage: Stage, eventually: Eventually) -> None:
    stage.start()
    container = running(stage, eventually)
    stage.engine.is_away = True
    stage.engine.cut_off(container)
    stage.engine.is_away = False
    eventually(lambda: container.outputs)
    stage.engine.write(container, b"still here\n")
    eventually(lambda: b"still here" in stage.log_path().read_bytes())
    assert not stage.has(Exited)
    stage.engine.end(container, 0)
    eventually(lambda: stage.has(Exited))
    assert isinstance(ended := stage.last(), Exited) and ended.code == 0


def test_a_container_that_somebody_removed_is_lost(stage: Stage, eventually: Eventually) -> None:
    stage.start()
    running(stage, eventually)
    stage.engine.remove("id1")
    eventually(lambda: stage.has(Exited))
    assert isinstance(ended := stage.last(), Exited)
    assert (ended.code, ended.reason) == (137, "ContainerStatusUnknown")


def test_volumes_are_made_once_and_go_with_the_pod(stage: Stage, eventually: Eventually) -> None:
    volumes = {"s": EmptyDir(), "c": Files({"x": b"1"})}
    stage.start(volumes=volumes)
    stage.engine.end(running(stage, eventually), 1)
    eventually(lambda: stage.has(Exited))
    stage.events.clear()
    stage.start("u/main/1", volumes=volumes)
    container = running(stage, eventually)
    assert len(stage.engine.filled) == 1
    stage.runtime.forget("u")
    assert set(stage.engine.volumes) == {"k8s_u_s", "k8s_u_c"}, "in use"
    stage.engine.end(container, 0)
    eventually(lambda: not stage.engine.volumes)


def test_a_pod_that_never_ran_is_forgotten(stage: Stage) -> None:
    stage.runtime.forget("nobody")
    stage.runtime.stop("nobody/main/0", 1.0)


def test_what_an_earlier_run_left_is_removed_and_others_are_not(stage: Stage, eventually: Eventually) -> None:
    stage.start(volumes={"s": EmptyDir()})
    running(stage, eventually)
    foreign = stage.engine.create("other", {"Labels": {CLUSTER_LABEL: "other"}})
    again = stage.new_runtime()
    assert list(stage.engine.containers) == [foreign] and not stage.engine.volumes
    again.close(0.0)
    stage.engine.remove(foreign)


def test_closing_tells_everybody_and_leaves_nothing(stage: Stage, eventually: Eventually) -> None:
    stage.start(volumes={"s": EmptyDir()})
    container = running(stage, eventually)
    stage.runtime.close(0.05)
    assert container.signals == ["SIGTERM", "SIGKILL"]
    assert not stage.engine.containers and not stage.engine.volumes
    stage.start("u/main/1")
    assert not stage.engine.containers


def test_an_engine_that_is_away_stops_the_cluster_from_starting(stage: Stage) -> None:
    stage.engine.is_away = True
    with pytest.raises(ConfigError, match="cannot be removed"):
        stage.new_runtime()
