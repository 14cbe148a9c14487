"""The Docker engine: the only module that imports its client.

Calls are short and bounded in time, but for pulls, which go on while there is progress. Every failure is an
``EngineError``: ``EngineAway`` when nothing answers, ``Refused`` (``NoSuchThing``, ``Taken``) when the engine says no.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import docker
import docker.errors
import requests.exceptions

from localcluster.errors import ConfigError, LocalClusterError
from localcluster.runtime.docker_config import ContainerState, ImageFacts
from localcluster.runtime.docker_network import NetworkFacts
from localcluster.runtime.port import Credentials

_SECONDS = 60.0
_CONNECTIONS = 256
_CHUNK = 65536
_CONFLICT = 409


class EngineError(LocalClusterError):
    """The engine did not do what it was asked for."""


class EngineAway(EngineError):
    """Nothing answers at the engine's socket."""


class Refused(EngineError):
    """The engine said no; the message is its own."""


class NoSuchThing(Refused):
    """There is no such container, image, network or volume."""


class Taken(Refused):
    """The name is in use, or the container is in another state."""


class Output(Protocol):
    """The framed output of a container, as it comes."""

    def fileno(self) -> int:
        """To be polled."""
        ...

    def read(self) -> bytes:
        """What is there; empty at the end."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


class Engine(Protocol):
    """What the runtime asks of an engine; calls raise EngineError."""

    @property
    def version(self) -> str:
        """The engine's version."""
        ...

    @property
    def api(self) -> tuple[int, int]:
        """The version of its API."""
        ...

    def network(self, name: str) -> NetworkFacts:
        """A network; raises ConfigError when there is none of that name."""
        ...

    def image(self, name: str) -> ImageFacts | None:
        """A local image, None when it is not there."""
        ...

    def pull(self, name: str, credentials: Credentials | None, is_given_up: Callable[[], bool]) -> None:
        """Fetch an image from its registry; asked often whether that is given up."""
        ...

    def make_volume(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Make a volume, or find it there."""
        ...

    def fill(self, image: str, name: str, mounts: Mapping[str, str], archive: bytes, labels: Mapping[str, str]) -> None:
        """Unpack an archive at ``/`` where the volumes are mounted, in a container that never runs."""
        ...

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Create a container; its id."""
        ...

    def attach(self, container: str) -> Output:
        """Listen to a container from now on."""
        ...

    def start(self, container: str) -> None:
        """Start a container."""
        ...

    def signal(self, container: str, signal: str) -> None:
        """Send a signal to a container's first process; nothing happens when it does not run."""
        ...

    def state(self, container: str) -> ContainerState | None:
        """How a container is; None when there is none."""
        ...

    def usage(self, container: str) -> tuple[float, int] | None:
        """Seconds of CPU so far and bytes now of a running container; None when it does not run."""
        ...

    def wait(self, container: str, seconds: float) -> bool:
        """Wait until a container does not run; whether it came to that in time."""
        ...

    def remove(self, container: str) -> None:
        """Kill and remove a container, if there is one."""
        ...

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if there is one."""
        ...

    def labelled(self, label: str, value: str) -> tuple[list[str], list[str]]:
        """Containers and volumes that carry the label."""
        ...


class DockerEngine:
    """Implements ``Engine`` at a unix socket or a TCP address."""

    def __init__(self, host: str) -> None:
        """Ask the engine who it is; raises ConfigError with the remedy when it does not answer."""
        self._host = host
        try:
            self._client = docker.APIClient(base_url=host, version="auto", timeout=_SECONDS, max_pool_size=_CONNECTIONS)
            self._version = str(self._client.version()["Version"])
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise ConfigError(_unreachable(host, error)) from error

    @property
    def version(self) -> str:
        """The engine's version."""
        return self._version

    @property
    def api(self) -> tuple[int, int]:
        """The version of its API."""
        major, _, minor = str(self._client.api_version).partition(".")
        return int(major), int(minor)

    def network(self, name: str) -> NetworkFacts:
        """A network; raises ConfigError when there is none of that name."""
        try:
            with _errors():
                found = self._client.inspect_network(name)
        except EngineError as error:
            remedy = f"docker network create --subnet 172.30.48.0/20 --ip-range 172.30.48.0/24 {name}"
            raise ConfigError(f"the Docker network {name} cannot be used: {error}; make one: {remedy}") from error
        ranges = [item for item in (found.get("IPAM") or {}).get("Config") or [] if ":" not in item.get("Subnet", "")]
        ipam = ranges[0] if ranges else {}
        members = (found.get("Containers") or {}).values()
        used = tuple(address for member in members if (address := member.get("IPv4Address", "").partition("/")[0]))
        return NetworkFacts(name, ipam.get("Subnet") or "", ipam.get("IPRange") or "", ipam.get("Gateway") or "", used)

    def image(self, name: str) -> ImageFacts | None:
        """A local image, None when it is not there."""
        try:
            with _errors():
                found = self._client.inspect_image(name)
        except NoSuchThing:
            return None
        config = found.get("Config") or {}
        digests = found.get("RepoDigests") or []
        return ImageFacts(
            str(found["Id"]),
            str(config.get("User") or ""),
            str(config.get("StopSignal") or ""),
            str(digests[0]) if digests else "",
        )

    def pull(self, name: str, credentials: Credentials | None, is_given_up: Callable[[], bool]) -> None:
        """Fetch an image from its registry; asked with each sign of progress whether that is given up."""
        auth = None
        if credentials is not None:
            auth = {"username": credentials.username, "password": credentials.password}
        with _errors():
            for progress in self._client.pull(name, stream=True, decode=True, auth_config=auth):
                if "error" in progress:
                    raise Refused(str(progress["error"]))
                if is_given_up():
                    return

    def make_volume(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Make a volume, or find it there."""
        with _errors():
            self._client.create_volume(name, driver="local", driver_opts=dict(options), labels=dict(labels))

    def fill(self, image: str, name: str, mounts: Mapping[str, str], archive: bytes, labels: Mapping[str, str]) -> None:
        """Unpack an archive at ``/`` where the volumes are mounted, in a container that never runs."""
        volumes = [
            {"Type": "volume", "Source": volume, "Target": path, "VolumeOptions": {"NoCopy": True}}
            for volume, path in mounts.items()
        ]
        host = {"NetworkMode": "none", "Mounts": volumes}
        body = {"Image": image, "Entrypoint": ["/never-started"], "Labels": dict(labels), "HostConfig": host}
        try:
            container = self.create(name, body)
            with _errors():
                self._client.put_archive(container, "/", archive)
        finally:
            self.remove(name)

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Create a container; its id. One of that name, left by an attempt that was cut off, is removed."""
        try:
            return self._create(name, body)
        except Taken:
            self.remove(name)
            return self._create(name, body)

    def _create(self, name: str, body: Mapping[str, Any]) -> str:
        with _errors():
            return str(self._client.create_container_from_config(dict(body), name)["Id"])

    def attach(self, container: str) -> Output:
        """Listen to a container from now on."""
        with _errors():
            return _SocketOutput(self._client.attach_socket(container))

    def start(self, container: str) -> None:
        """Start a container."""
        with _errors():
            self._client.start(container)

    def signal(self, container: str, signal: str) -> None:
        """Send a signal to a container's first process; nothing happens when it does not run."""
        try:
            with _errors():
                self._client.kill(container, signal)
        except Refused:
            # 404 or 409: it has ended meanwhile, which is what was wanted.
            return

    def state(self, container: str) -> ContainerState | None:
        """How a container is; None when there is none."""
        try:
            with _errors():
                state = self._client.inspect_container(container)["State"]
        except NoSuchThing:
            return None
        return ContainerState(bool(state["Running"]), int(state["ExitCode"]), bool(state.get("OOMKilled")))

    def usage(self, container: str) -> tuple[float, int] | None:
        """Seconds of CPU so far and bytes now of a running container; None when it does not run."""
        try:
            with _errors():
                return usage_in(self._client.stats(container, stream=False, one_shot=True))
        except Refused:
            return None

    def wait(self, container: str, seconds: float) -> bool:
        """Wait until a container does not run; whether it came to that in time."""
        try:
            with _errors():
                self._client.wait(container, timeout=seconds)
        except NoSuchThing:
            return True
        except EngineAway:
            return False
        return True

    def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes, if there is one."""
        try:
            with _errors():
                self._client.remove_container(container, force=True, v=True)
        except NoSuchThing:
            return

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if there is one."""
        try:
            with _errors():
                self._client.remove_volume(name)
        except NoSuchThing:
            return

    def labelled(self, label: str, value: str) -> tuple[list[str], list[str]]:
        """Containers and volumes that carry the label."""
        wanted = {"label": f"{label}={value}"}
        with _errors():
            containers = self._client.containers(all=True, filters=wanted)
            volumes = self._client.volumes(filters=wanted).get("Volumes") or []
        return [str(item["Id"]) for item in containers], [str(item["Name"]) for item in volumes]


def usage_in(stats: Mapping[str, Any]) -> tuple[float, int] | None:
    """What an engine's statistics of a container say; memory as kubelets tell it, without files that may be dropped."""
    used = (stats.get("memory_stats") or {}).get("usage")
    cpu = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    if used is None or cpu is None:
        return None
    details = stats["memory_stats"].get("stats") or {}
    # Control groups of the second and of the first version.
    droppable = details.get("inactive_file", details.get("total_inactive_file", 0))
    return int(cpu) / 1e9, max(0, int(used) - int(droppable))


class _SocketOutput:
    """An attached connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """To be polled."""
        return int(self._connection.fileno())

    def read(self) -> bytes:
        """What is there; empty at the end."""
        try:
            return os.read(self.fileno(), _CHUNK)
        except OSError:
            return b""

    def close(self) -> None:
        """Listen no more."""
        self._connection.close()


@contextmanager
def _errors() -> Iterator[None]:
    """The client's many exceptions as ours."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise NoSuchThing(_words(error)) from error
    except docker.errors.APIError as error:
        refusal = Taken if error.status_code == _CONFLICT else Refused
        raise refusal(_words(error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EngineAway(f"the Docker engine does not answer: {error}") from error


def _words(error: docker.errors.APIError) -> str:
    return str(error.explanation or error)


def _unreachable(host: str, error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return (
            f"the Docker engine's socket {host} may not be opened by user {os.getuid()}: add it to the socket's group "
            "(docker compose: DOCKER_GID in .env, see .env.example)"
        )
    return f"no Docker engine answers at {host}: start one, or name its socket by --docker-host: {text}"
