"""The seam between the kubelet and whatever really runs containers.

A runtime starts containers, stops them and reports what happened; it decides nothing. ``process`` runs each container's
command as a process of this machine; other runtimes implement the same protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ContainerStart:
    """Everything needed to start one container once.

    ``id`` is unique for ever (pod uid, container name, restart number). The log is written in the format of
    ``runtime.logfile`` and never exceeds ``log_limit`` bytes.
    """

    id: str
    pod_uid: str
    image: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: Path
    log_path: Path
    log_limit: int


@dataclass(frozen=True)
class Started:
    """The container's process runs since ``at`` (seconds since the epoch)."""

    id: str
    pid: int
    at: float


@dataclass(frozen=True)
class StartFailed:
    """The container could not be started; ``reason`` and ``message`` as a kubelet would show them."""

    id: str
    code: int
    reason: str
    message: str
    at: float


@dataclass(frozen=True)
class Exited:
    """The container ended; a signal n shows as code 128+n. All its processes are gone and its log is complete."""

    id: str
    code: int
    at: float


@dataclass(frozen=True)
class LogsDropped:
    """Log bytes could not be written (a full disk); the container goes on."""

    id: str
    bytes: int
    error: str


@dataclass(frozen=True)
class RuntimeLost:
    """The runtime died with every container it ran; it has been or will be restarted."""


RuntimeEvent = Started | StartFailed | Exited | LogsDropped | RuntimeLost
EventSink = Callable[[RuntimeEvent], None]


class Runtime(Protocol):
    """Runs containers. Calls return at once; outcomes arrive at the sink, from any thread, in order per container."""

    @property
    def pulls_images(self) -> bool:
        """Whether the image named in the spec is really used."""
        ...

    def start(self, request: ContainerStart) -> None:
        """Start a container; answered by Started or StartFailed."""
        ...

    def stop(self, container_id: str, grace_seconds: float) -> None:
        """TERM now, KILL after the grace period; answered by Exited. May be repeated with a shorter grace."""
        ...

    def close(self, grace_seconds: float) -> None:
        """Stop everything within about the grace period and end the runtime."""
        ...
