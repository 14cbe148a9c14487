"""From a container, in Kubernetes' terms, to what a Docker engine is asked for, and back from its end. Pure."""

from __future__ import annotations

import io
import math
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localcluster.runtime.port import (
    ContainerStart,
    Credentials,
    EmptyDir,
    Files,
    HostPath,
    Mount,
    NotStarted,
    PodSetup,
    Security,
)
from localcluster.settings import HOST_NETWORK

CLUSTER_LABEL = "asperathos.io/localcluster"
"""Every container and volume carries the cluster's id under it, and is found by it after a crash."""
FILL_ROOT = "asperathos-volumes"
SUB_PATH_API = (1, 45)
"""The engine's API that mounts a part of a volume (engine 26)."""
_CPU_PERIOD = 100_000
_LEAST_QUOTA = 1_000
_LEAST_SHARES = 2
_SHARES_PER_CPU = 1024
_HUB = ("index.docker.io", "docker.io", "registry-1.docker.io")
_OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True)
class ImageFacts:
    """What is asked of an image: its id, and its own user, stop signal and digest ('' where it names none)."""

    id: str
    user: str = ""
    stop_signal: str = ""
    digest: str = ""


@dataclass(frozen=True)
class ContainerState:
    """What the engine says of a container."""

    running: bool
    code: int = 0
    out_of_memory: bool = False


@dataclass(frozen=True)
class VolumeRequest:
    """A volume of the engine's: its name and its driver's options."""

    name: str
    options: Mapping[str, str]


def labels_for(state_id: str, pod: PodSetup, container: str = "") -> dict[str, str]:
    """What tells whose a container or volume is."""
    labels = {
        CLUSTER_LABEL: state_id,
        "io.kubernetes.pod.uid": pod.uid,
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
    }
    return {**labels, "io.kubernetes.container.name": container} if container else labels


def container_name(request: ContainerStart) -> str:
    """The name the kubelet of old gave to Docker's containers; unique for ever."""
    pod = request.pod
    return f"k8s_{request.name}_{pod.name}_{pod.namespace}_{pod.uid}_{request.id.rpartition('/')[2]}"


def volume_name(pod_uid: str, volume: str) -> str:
    """The engine's name of a pod's volume."""
    return f"k8s_{pod_uid}_{volume}"


def volume_requests(pod: PodSetup) -> list[VolumeRequest]:
    """The volumes to make for a pod: all but the machine's own directories."""
    found = []
    for name, volume in pod.volumes.items():
        if isinstance(volume, HostPath):
            continue
        options: dict[str, str] = {}
        if isinstance(volume, EmptyDir) and volume.memory:
            said = [f"mode={_directory_mode(pod, volume):o}"]
            said += [f"size={volume.size}"] if volume.size else []
            said += [f"gid={pod.fs_group}"] if pod.fs_group is not None else []
            options = {"type": "tmpfs", "device": "tmpfs", "o": ",".join(said)}
        found.append(VolumeRequest(volume_name(pod.uid, name), options))
    return found


def filled_volumes(pod: PodSetup) -> dict[str, str]:
    """Where the volumes that get an owner and files are mounted while they are filled: name to path."""
    names = [
        name
        for name, volume in pod.volumes.items()
        if isinstance(volume, Files) or (isinstance(volume, EmptyDir) and not volume.memory)
    ]
    return {volume_name(pod.uid, name): f"/{FILL_ROOT}/{place}" for place, name in enumerate(names)}


def volume_archive(pod: PodSetup) -> bytes:
    """The content of all volumes as a tar archive to be unpacked at ``/`` where ``filled_volumes`` are mounted.

    A volume of a pod with an fsGroup belongs to that group and its files can be read by it, as a kubelet sees to.
    """
    places = filled_volumes(pod)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, volume in pod.volumes.items():
            root = places.get(volume_name(pod.uid, name), "").lstrip("/")
            if not root:
                continue
            mode = _directory_mode(pod, volume)
            _add(archive, pod, root, None, mode)
            contents, modes = (volume.contents, volume.modes) if isinstance(volume, Files) else ({}, {})
            for directory in sorted({*_parents(contents), *_sub_directories(pod, name, contents)}):
                _add(archive, pod, f"{root}/{directory}", None, mode)
            for path, data in contents.items():
                _add(archive, pod, f"{root}/{path}", data, modes.get(path, 0o644))
    return buffer.getvalue()


def objection(request: ContainerStart, image: ImageFacts, network: str, api: tuple[int, int]) -> NotStarted | None:
    """Why this container is not even tried."""
    pod, security = request.pod, request.security
    if security.must_not_be_root:
        user = _user_of(image) if security.user is None else str(security.user)
        if user in ("", "0", "root"):
            message = f"container has runAsNonRoot and image will run as root (container: {request.name})"
            return NotStarted(request.id, "CreateContainerConfigError", message)
        if not user.isdigit():
            message = (
                f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify it is not root"
            )
            return NotStarted(request.id, "CreateContainerConfigError", message)
    if pod.containers > 1 and network_of(pod, network) != HOST_NETWORK:
        message = (
            f"the pod has {pod.containers} containers, which have to share an address: on the network {network} "
            "a pod has one container; --docker-network host runs several"
        )
        return NotStarted(request.id, "CreateContainerError", message)
    if api < SUB_PATH_API:
        for mount in request.mounts:
            if mount.sub_path and not isinstance(pod.volumes[mount.volume], HostPath):
                message = f"volume {mount.volume}: subPath needs a Docker engine of version 26 or newer"
                return NotStarted(request.id, "CreateContainerError", message)
    return None


def container_body(
    request: ContainerStart, image: ImageFacts, network: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """The body that creates the container. Without a command the image's own entry point runs, as in Kubernetes."""
    pod, security = request.pod, request.security
    network = network_of(pod, network)
    body: dict[str, Any] = {
        "Image": request.image,
        "Entrypoint": list(request.command) or None,
        "Cmd": list(request.args) or None,
        "Env": [f"{name}={value}" for name, value in request.env.items()],
        "WorkingDir": request.working_dir,
        "User": _user(security, image),
        "Hostname": pod.hostname[:63],
        "Labels": dict(labels),
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "NetworkMode": network,
            "Mounts": [_mount(pod, mount) for mount in request.mounts],
            # The runtime reads the output and keeps it; the engine needs no second copy.
            "LogConfig": {"Type": "none"},
            "RestartPolicy": {"Name": "no"},
            # As the first process of a namespace a command would not get a SIGTERM that it does not listen for yet.
            "Init": pod.shares_processes,
            **_limits(request),
            **_privileges(security),
        },
    }
    if network != HOST_NETWORK:
        place = {"IPAMConfig": {"IPv4Address": pod.ip}, "Aliases": list(pod.names)}
        body["NetworkingConfig"] = {"EndpointsConfig": {network: place}}
    return body


def network_of(pod: PodSetup, network: str) -> str:
    """The network the pod's containers are on."""
    return HOST_NETWORK if pod.host_network else network


def end_of(state: ContainerState) -> tuple[int, str]:
    """Exit code and reason ('' where the code tells) of a container that does not run."""
    return state.code, _OUT_OF_MEMORY if state.out_of_memory and state.code else ""


def registry_of(image: str) -> str:
    """The host an image's name points to; Docker's own registry when it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _HUB[0]


def credentials_for(image: str, registries: Mapping[str, Credentials]) -> Credentials | None:
    """Who to be when this image is pulled."""
    registry = registry_of(image)
    names = _HUB if registry in _HUB else (registry,)
    return next((registries[name] for name in names if name in registries), None)


class Frames:
    """Takes the engine's framed output apart: an 8-byte header (stream, zeros, length), then that many bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """The output in these bytes; both streams as one, in order."""
        self._buffer += data
        out = bytearray()
        while self._buffer:
            if not self._left:
                if len(self._buffer) < 8:
                    break
                self._left = int.from_bytes(self._buffer[4:8], "big")
                self._buffer = self._buffer[8:]
                continue
            piece = self._buffer[: self._left]
            out += piece
            self._left -= len(piece)
            self._buffer = self._buffer[len(piece) :]
        return bytes(out)


def _user_of(image: ImageFacts) -> str:
    return image.user.partition(":")[0]


def _user(security: Security, image: ImageFacts) -> str:
    if security.group is None:
        return "" if security.user is None else str(security.user)
    user = (_user_of(image) or "0") if security.user is None else str(security.user)
    return f"{user}:{security.group}"


def _limits(request: ContainerStart) -> dict[str, Any]:
    """cgroup settings as a kubelet computes them: shares from the request, a quota from the limit, no swap."""
    resources = request.resources
    limits: dict[str, Any] = {"CpuShares": max(_LEAST_SHARES, math.floor(resources.cpu_request * _SHARES_PER_CPU))}
    if resources.cpu_limit is not None:
        limits["CpuPeriod"] = _CPU_PERIOD
        limits["CpuQuota"] = max(_LEAST_QUOTA, math.ceil(resources.cpu_limit * _CPU_PERIOD))
    if resources.memory_limit is not None:
        limits["Memory"] = limits["MemorySwap"] = resources.memory_limit
    if resources.gpus:
        limits["DeviceRequests"] = [{"Driver": "nvidia", "Count": resources.gpus, "Capabilities": [["gpu"]]}]
    return limits


def _privileges(security: Security) -> dict[str, Any]:
    options = [] if security.may_gain_privileges else ["no-new-privileges:true"]
    options += ["seccomp=unconfined"] if security.unconfined else []
    return {
        "CapAdd": list(security.add),
        "CapDrop": list(security.drop),
        "GroupAdd": [str(group) for group in security.groups],
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "SecurityOpt": options,
    }


def _mount(pod: PodSetup, mount: Mount) -> dict[str, Any]:
    volume = pod.volumes[mount.volume]
    if isinstance(volume, HostPath):
        source = f"{volume.path.rstrip('/')}/{mount.sub_path}" if mount.sub_path else volume.path
        return {"Type": "bind", "Source": source, "Target": mount.path, "ReadOnly": mount.read_only}
    options: dict[str, Any] = {"NoCopy": True}
    if mount.sub_path:
        options["Subpath"] = mount.sub_path
    return {
        "Type": "volume",
        "Source": volume_name(pod.uid, mount.volume),
        "Target": mount.path,
        # As in Kubernetes, these belong to the API and are not written to.
        "ReadOnly": mount.read_only or isinstance(volume, Files),
        "VolumeOptions": options,
    }


def _directory_mode(pod: PodSetup, volume: EmptyDir | Files | HostPath) -> int:
    mode = 0o755 if isinstance(volume, Files) else 0o777
    return mode if pod.fs_group is None else mode | 0o2070


def _parents(contents: Mapping[str, bytes]) -> Iterator[str]:
    for path in contents:
        parts = path.split("/")[:-1]
        yield from ("/".join(parts[: count + 1]) for count in range(len(parts)))


def _sub_directories(pod: PodSetup, volume: str, contents: Mapping[str, bytes]) -> Iterator[str]:
    """What is mounted as a part of this volume and is no file has to be there first."""
    for name, path in pod.sub_paths:
        if name == volume and path not in contents:
            yield from _parents({f"{path}/": b""})


def _add(archive: tarfile.TarFile, pod: PodSetup, name: str, data: bytes | None, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.gid = pod.fs_group or 0
    if data is None:
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        archive.addfile(entry)
        return
    entry.size, entry.mode = len(data), mode if pod.fs_group is None else mode | 0o040
    archive.addfile(entry, io.BytesIO(data))
