"""A Docker engine in memory: containers run until a test ends them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcluster.errors import ConfigError
from localcluster.runtime.docker_config import ContainerState, ImageFacts
from localcluster.runtime.docker_engine import EngineAway, NoSuchThing, Output, Refused
from localcluster.runtime.docker_network import NetworkFacts
from localcluster.runtime.port import Credentials


@dataclass
class FakeContainer:
    """One container; ``signals`` are those it got."""

    name: str
    body: Mapping[str, Any]
    running: bool = False
    code: int = 0
    out_of_memory: bool = False
    signals: list[str] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class FakeOutput:
    """The reading end of a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def read(self) -> bytes:
        return os.read(self._fd, 65536)

    def close(self) -> None:
        os.close(self._fd)


class FakeEngine:
    """Implements docker_engine.Engine."""

    version = "27.0"
    api = (1, 45)

    def __init__(self, *images: str) -> None:
        self.images = {name: ImageFacts(f"sha256:{name}") for name in images}
        self.registry: dict[str, ImageFacts] = {}
        self.pulled: list[tuple[str, Credentials | None]] = []
        self.pull_gate = threading.Event()
        self.pull_gate.set()
        self.containers: dict[str, FakeContainer] = {}
        self.volumes: dict[str, Mapping[str, str]] = {}
        self.filled: list[bytes] = []
        self.is_away = False
        self.start_refusal = ""
        self.loses_answers = False
        self._lock = threading.Lock()
        self._made = 0

    # What a test does.

    def running(self) -> list[FakeContainer]:
        return [each for each in self.containers.values() if each.running]

    def write(self, container: FakeContainer, text: bytes) -> None:
        for fd in container.outputs:
            os.write(fd, b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text)

    def cut_off(self, container: FakeContainer) -> None:
        """Whoever listens hears no more."""
        for fd in container.outputs:
            os.close(fd)
        container.outputs.clear()

    def end(self, container: FakeContainer, code: int, out_of_memory: bool = False) -> None:
        container.running, container.code, container.out_of_memory = False, code, out_of_memory
        self.cut_off(container)
        container.over.set()

    # What the runtime asks.

    def network(self, name: str) -> NetworkFacts:
        raise ConfigError(f"no network {name}")

    def image(self, name: str) -> ImageFacts | None:
        self._answer()
        return self.images.get(name)

    def pull(self, name: str, credentials: Credentials | None, is_given_up: Callable[[], bool]) -> None:
        self._answer()
        self.pulled.append((name, credentials))
        self.pull_gate.wait(10)
        if name not in self.registry:
            raise Refused(f"{name}: no such image")
        self.images[name] = self.registry[name]

    def make_volume(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
        self._answer()
        self.volumes[name] = labels

    def fill(self, image: str, name: str, mounts: Mapping[str, str], archive: bytes, labels: Mapping[str, str]) -> None:
        self._answer()
        assert set(mounts) <= set(self.volumes)
        self.filled.append(archive)

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        self._answer()
        with self._lock:
            self._made += 1
            id = f"id{self._made}"
            self.containers[id] = FakeContainer(name, body)
        if self.loses_answers:
            raise EngineAway("the answer got lost")
        return id

    def attach(self, container: str) -> Output:
        found = self._find(container)
        reading, writing = os.pipe()
        found.outputs.append(writing)
        return FakeOutput(reading)

    def start(self, container: str) -> None:
        found = self._find(container)
        if self.start_refusal:
            raise Refused(self.start_refusal)
        found.running = True

    def signal(self, container: str, signal: str) -> None:
        self._answer()
        found = self.containers.get(container)
        if found is not None and found.running:
            found.signals.append(signal)
            if signal == "SIGKILL":
                self.end(found, 137)

    def state(self, container: str) -> ContainerState | None:
        self._answer()
        found = self.containers.get(container)
        return None if found is None else ContainerState(found.running, found.code, found.out_of_memory)

    def usage(self, container: str) -> tuple[float, int] | None:
        self._answer()
        found = self.containers.get(container)
        return (1.5, 4096) if found is not None and found.running else None

    def wait(self, container: str, seconds: float) -> bool:
        if self.is_away:
            return False
        found = self.containers.get(container)
        return found is None or found.over.wait(min(seconds, 0.05))

    def remove(self, container: str) -> None:
        self._answer()
        by_name = {each.name: id for id, each in self.containers.items()}
        found = self.containers.pop(by_name.get(container, container), None)
        if found is not None:
            self.end(found, found.code if not found.running else 137)

    def remove_volume(self, name: str) -> None:
        self._answer()
        self.volumes.pop(name, None)

    def labelled(self, label: str, value: str) -> tuple[list[str], list[str]]:
        self._answer()
        containers = [id for id, each in self.containers.items() if each.body["Labels"].get(label) == value]
        return containers, [name for name, labels in self.volumes.items() if labels.get(label) == value]

    def _answer(self) -> None:
        if self.is_away:
            raise EngineAway("the Docker engine does not answer")

    def _find(self, container: str) -> FakeContainer:
        self._answer()
        if container not in self.containers:
            raise NoSuchThing(f"no such container: {container}")
        return self.containers[container]
