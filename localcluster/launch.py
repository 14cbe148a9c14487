"""From a pod's spec to processes: environment, expansion of $(VAR), working directory, volumes. Pure.

The process runtime cannot mount anything, so a mount path at the start of a command word, an argument or an environment
value is replaced by the directory that stands for it, and the pod's own directory has a link of that name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.objects import Obj, annotations_of, labels_of, name_of, namespace_of, uid_of
from localcluster.scheduler import container_requests

Lookup = Callable[[str, str], Obj | None]

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


class NotStartable(LocalClusterError):
    """The container cannot be started now; ``reason`` as a kubelet's waiting state. It is tried again on changes."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class PodDirs:
    """Where a pod lives on disk."""

    root: Path

    @property
    def work(self) -> Path:
        """The default working directory."""
        return self.root / "work"

    @property
    def temporary(self) -> Path:
        """TMPDIR."""
        return self.root / "tmp"

    def volume(self, name: str) -> Path:
        """The directory that stands for a volume."""
        return self.root / "volumes" / name


@dataclass(frozen=True)
class VolumeFiles:
    """A volume as a directory: files to write (None: leave alone), or another directory to point to."""

    path: Path
    files: Mapping[str, bytes] | None = None
    modes: Mapping[str, int] = field(default_factory=dict)
    create: bool = True


@dataclass(frozen=True)
class Launch:
    """A container ready to start."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: Path
    links: Mapping[Path, Path]


def volumes_of(pod: Obj, dirs: PodDirs, config_map: Lookup, secret: Lookup) -> dict[str, VolumeFiles]:
    """Every volume of the pod; raises NotStartable for missing objects and unsupported kinds."""
    namespace = namespace_of(pod)
    found: dict[str, VolumeFiles] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or []:
        name = str(volume["name"])
        path = dirs.volume(name)
        if "emptyDir" in volume:
            found[name] = VolumeFiles(path)
        elif "hostPath" in volume:
            found[name] = VolumeFiles(Path(str(volume["hostPath"].get("path"))), create=False)
        elif "configMap" in volume:
            source = volume["configMap"]
            data = _data_of(config_map(namespace, str(source.get("name"))), "configmap", source, "name")
            found[name] = _projected(path, data, source)
        elif "secret" in volume:
            source = volume["secret"]
            data = _data_of(secret(namespace, str(source.get("secretName"))), "secret", source, "secretName")
            found[name] = _projected(path, data, source)
        elif "downwardAPI" in volume:
            items = volume["downwardAPI"].get("items") or []
            files = {str(item["path"]): _field(pod, "", item.get("fieldRef") or {}).encode() for item in items}
            found[name] = VolumeFiles(path, files)
        else:
            kind = next((key for key in volume if key != "name"), "unknown")
            raise NotStartable(
                "ContainerCreating",
                f'volume "{name}": {kind} is not supported by this runtime, so it cannot be mounted',
            )
    return found


def build_launch(
    pod: Obj,
    container: Obj,
    pod_ip: str,
    host_ip: str,
    dirs: PodDirs,
    volumes: Mapping[str, VolumeFiles],
    base_env: Mapping[str, str],
    config_map: Lookup,
    secret: Lookup,
) -> Launch:
    """The process of one container; raises NotStartable when a reference cannot be resolved."""
    spec = pod.get("spec") or {}
    mounts = _mounts(container, volumes)
    env = dict(base_env)
    env["HOSTNAME"] = str(spec.get("hostname") or name_of(pod))
    env["HOME"] = str(dirs.work)
    env["TMPDIR"] = str(dirs.temporary)
    for name, files in volumes.items():
        env["ASPERATHOS_VOLUME_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = str(files.path)
    own = _environment(pod, container, pod_ip, host_ip, config_map, secret)
    env.update({name: _mounted(value, mounts) for name, value in own.items()})
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not words:
        message = "no command specified: the process runtime does not know the image's own command"
        raise NotStartable("CreateContainerError", message)
    argv = tuple(_mounted(expand(str(word), own), mounts) for word in words)
    working_dir = container.get("workingDir")
    directory = Path(_mounted(str(working_dir), mounts)) if working_dir else dirs.work
    links = {dirs.work / path.lstrip("/"): target for path, target in mounts.items()}
    return Launch(argv, env, directory, links)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' $(VAR) expansion: ``$$`` is a dollar sign, unknown references stay as they are."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return variables.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replacement, text)


def _environment(
    pod: Obj, container: Obj, pod_ip: str, host_ip: str, config_map: Lookup, secret: Lookup
) -> dict[str, str]:
    namespace = namespace_of(pod)
    env: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        prefix = str(source.get("prefix") or "")
        if "configMapRef" in source:
            data = _data_of(
                config_map(namespace, str(source["configMapRef"].get("name"))), "configmap", source["configMapRef"]
            )
        else:
            reference = source.get("secretRef") or {}
            data = _data_of(secret(namespace, str(reference.get("name"))), "secret", reference)
        env.update({prefix + key: value.decode(errors="replace") for key, value in data.items()})
    for item in container.get("env") or []:
        name = str(item["name"])
        origin = item.get("valueFrom")
        if origin is None:
            env[name] = expand(str(item.get("value") or ""), env)
            continue
        value = _value_from(pod, container, origin, pod_ip, host_ip, config_map, secret)
        if value is not None:
            env[name] = value
    return env


def _value_from(
    pod: Obj, container: Obj, origin: Obj, pod_ip: str, host_ip: str, config_map: Lookup, secret: Lookup
) -> str | None:
    namespace = namespace_of(pod)
    if "fieldRef" in origin:
        return _field(pod, pod_ip, origin["fieldRef"], host_ip)
    if "resourceFieldRef" in origin:
        return _resource(pod, container, origin["resourceFieldRef"])
    if "configMapKeyRef" in origin:
        kind, reference, found = "configmap", origin["configMapKeyRef"], config_map
    elif "secretKeyRef" in origin:
        kind, reference, found = "secret", origin["secretKeyRef"], secret
    else:
        raise NotStartable("CreateContainerConfigError", "unsupported valueFrom")
    data = _data_of(found(namespace, str(reference.get("name"))), kind, reference)
    key = str(reference.get("key"))
    if key in data:
        return data[key].decode(errors="replace")
    if reference.get("optional"):
        return None
    message = f"couldn't find key {key} in {kind} {namespace}/{reference.get('name')}"
    raise NotStartable("CreateContainerConfigError", message)


def _field(pod: Obj, pod_ip: str, reference: Obj, host_ip: str = "") -> str:
    path = str(reference.get("fieldPath"))
    match = _SUBSCRIPT.match(path)
    if match is not None:
        table = labels_of(pod) if match.group(1) == "labels" else annotations_of(pod)
        return str(table.get(match.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        table = labels_of(pod) if path.endswith("labels") else annotations_of(pod)
        return "\n".join(f'{key}="{value}"' for key, value in sorted(table.items()))
    spec = pod.get("spec") or {}
    known = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": str(spec.get("nodeName") or ""),
        "spec.serviceAccountName": str(spec.get("serviceAccountName") or "default"),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    if path not in known:
        raise NotStartable("CreateContainerConfigError", f"unsupported fieldPath: {path}")
    return known[path]


def _resource(pod: Obj, container: Obj, reference: Obj) -> str:
    wanted = reference.get("containerName")
    for other in (pod.get("spec") or {}).get("containers") or []:
        if wanted and other.get("name") == wanted:
            container = other
    resource = str(reference.get("resource")).partition(".")[2]
    amount = container_requests(container).get(resource)
    if amount is None:
        return "0"
    divisor = {"1m": 1000, "1Ki": 1 / 1024, "1Mi": 1 / 1024**2}.get(str(reference.get("divisor") or "1"), 1)
    scaled = float(amount) * divisor
    return str(int(scaled) + (scaled > int(scaled)))


def _data_of(found: Obj | None, kind: str, reference: Obj, name_key: str = "name") -> dict[str, bytes]:
    if found is None:
        if reference.get("optional"):
            return {}
        raise NotStartable("CreateContainerConfigError", f'{kind} "{reference.get(name_key)}" not found')
    if kind == "configmap":
        data = {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
        return {**data, **{key: _decode(value) for key, value in (found.get("binaryData") or {}).items()}}
    return {key: _decode(value) for key, value in (found.get("data") or {}).items()}


def _decode(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _projected(path: Path, data: Mapping[str, bytes], source: Obj) -> VolumeFiles:
    default_mode = int(source.get("defaultMode") or 0o644)
    items = source.get("items")
    if not items:
        return VolumeFiles(path, dict(data), dict.fromkeys(data, default_mode))
    files = {str(item["path"]): data[item["key"]] for item in items if item["key"] in data}
    return VolumeFiles(path, files, {str(item["path"]): int(item.get("mode") or default_mode) for item in items})


def _mounts(container: Obj, volumes: Mapping[str, VolumeFiles]) -> dict[str, Path]:
    """Mount path to directory, longest path first."""
    found: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or []:
        files = volumes.get(str(mount.get("name")))
        if files is not None:
            target = files.path / str(mount["subPath"]) if mount.get("subPath") else files.path
            found[str(mount["mountPath"]).rstrip("/") or "/"] = target
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _mounted(text: str, mounts: Mapping[str, Path]) -> str:
    for path, target in mounts.items():
        if path != "/" and (text == path or text.startswith(path + "/")):
            return str(target) + text[len(path) :]
    return text
