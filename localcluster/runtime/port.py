"""The seam between the kubelet and whatever really runs containers.

A runtime starts containers, stops them and reports what happened; it decides nothing. What it is given is a container
of a pod with every reference looked up, in Kubernetes' terms; how that becomes a process (``process``) or a container
of an engine (``docker_runtime``) is its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class EmptyDir:
    """A directory that lives as long as its pod; ``memory``: kept in memory, ``size`` bytes at most (0: no limit)."""

    memory: bool = False
    size: int = 0


@dataclass(frozen=True)
class Files:
    """A directory with given files: contents and permissions by relative path."""

    contents: Mapping[str, bytes]
    modes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HostPath:
    """A directory or file of the machine."""

    path: str


Volume = EmptyDir | Files | HostPath


@dataclass(frozen=True)
class Mount:
    """Where a container finds a volume, or the part of it named ``sub_path``."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Resources:
    """CPUs in cores and memory in bytes; None: no limit."""

    cpu_request: Fraction = Fraction(0)
    cpu_limit: Fraction | None = None
    memory_limit: int | None = None
    gpus: int = 0


@dataclass(frozen=True)
class Security:
    """As whom a container runs and what it may; None: as the image says."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] = ()
    must_not_be_root: bool = False
    may_gain_privileges: bool = True
    privileged: bool = False
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    read_only_root: bool = False
    unconfined: bool = False
    """Without a seccomp profile."""


@dataclass(frozen=True)
class Credentials:
    """A user's name and password at an image registry."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class PodSetup:
    """What the containers of a pod share.

    ``containers`` counts those that run side by side; ``names`` are the pod's in the cluster's DNS, where there is one;
    ``sub_paths`` are the parts of volumes that any of them mounts, as (volume, path); with ``shares_processes`` no
    container's command is the first process of its namespace.
    """

    uid: str
    namespace: str
    name: str
    hostname: str
    ip: str
    names: tuple[str, ...] = ()
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    fs_group: int | None = None
    host_network: bool = False
    shares_processes: bool = False
    containers: int = 1
    sub_paths: tuple[tuple[str, str], ...] = ()
    registries: Mapping[str, Credentials] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerStart:
    """Everything needed to start one container once.

    ``id`` is unique for ever (pod uid, container name, restart number). Without a ``command`` the image's own is meant.
    The log is written in the format of ``runtime.logfile`` and never exceeds ``log_limit`` bytes.
    """

    id: str
    pod: PodSetup
    name: str
    image: str
    pull_policy: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str
    mounts: tuple[Mount, ...]
    resources: Resources
    security: Security
    log_path: Path
    log_limit: int


@dataclass(frozen=True)
class Started:
    """The container's process runs since ``at`` (seconds since the epoch); ``reference`` names it at the runtime."""

    id: str
    at: float
    reference: str
    image_id: str = ""


@dataclass(frozen=True)
class NotStarted:
    """The container is not there yet, and may be asked for again; reason and message as a kubelet's waiting state."""

    id: str
    reason: str
    message: str


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
    """The container ended; a signal n shows as code 128+n. All its processes are gone and its log is complete.

    ``reason`` is given where the code alone does not tell, such as OOMKilled.
    """

    id: str
    code: int
    at: float
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class LogsDropped:
    """Log bytes could not be written (a full disk); the container goes on."""

    id: str
    bytes: int
    error: str


@dataclass(frozen=True)
class Said:
    """Something to be told as an Event of the pod; ``kind`` is Normal or Warning."""

    id: str
    kind: str
    reason: str
    message: str


@dataclass(frozen=True)
class RuntimeLost:
    """The runtime died with every container it ran; it has been or will be restarted."""


@dataclass(frozen=True)
class Used:
    """What a running container has used: seconds of CPU since its start, ``age`` seconds ago, and bytes now."""

    cpu_seconds: float
    memory: int
    age: float


RuntimeEvent = Started | NotStarted | StartFailed | Exited | LogsDropped | Said | RuntimeLost
EventSink = Callable[[RuntimeEvent], None]


class Runtime(Protocol):
    """Runs containers. Calls return at once; outcomes arrive at the sink, from any thread, in order per container."""

    @property
    def version(self) -> str:
        """``<kind>://<version>``, as nodes show it."""
        ...

    def start(self, request: ContainerStart) -> None:
        """Start a container; answered by Started, NotStarted or StartFailed."""
        ...

    def stop(self, container_id: str, grace_seconds: float) -> None:
        """TERM now, KILL after the grace period; answered by Exited, or by NotStarted if it had not begun.

        May be repeated with a shorter grace.
        """
        ...

    @property
    def measures(self) -> bool:
        """Whether ``usage`` tells anything."""
        ...

    def usage(self) -> Mapping[str, Used]:
        """What each running container uses, by its id."""
        ...

    def forget(self, pod_uid: str) -> None:
        """Nothing of this pod is needed any more: remove what its containers shared."""
        ...

    def close(self, grace_seconds: float) -> None:
        """Stop everything within about the grace period and end the runtime."""
        ...
