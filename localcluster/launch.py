"""From a pod's spec to what a runtime starts: values looked up, $(VAR) expanded, volumes' files. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.objects import Obj, annotations_of, labels_of, name_of, namespace_of, uid_of
from localcluster.quantity import parse_quantity
from localcluster.runtime.port import (
    ContainerStart,
    Credentials,
    EmptyDir,
    Files,
    HostPath,
    Mount,
    PodSetup,
    Resources,
    Security,
    Volume,
)
from localcluster.scheduler import container_requests

Lookup = Callable[[str, str], Obj | None]

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_GPU = "nvidia.com/gpu"


class NotStartable(LocalClusterError):
    """The container cannot be started now; ``reason`` as a kubelet's waiting state. It is tried again on changes."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def volumes_of(pod: Obj, config_map: Lookup, secret: Lookup) -> dict[str, Volume]:
    """Every volume of the pod; raises NotStartable for missing objects and unsupported kinds."""
    namespace = namespace_of(pod)
    found: dict[str, Volume] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or []:
        name = str(volume["name"])
        if "emptyDir" in volume:
            source = volume["emptyDir"] or {}
            found[name] = EmptyDir(source.get("medium") == "Memory", _size(name, source.get("sizeLimit")))
        elif "hostPath" in volume:
            found[name] = HostPath(str(volume["hostPath"].get("path")))
        elif "configMap" in volume:
            source = volume["configMap"]
            found[name] = _projected(
                _data_of(config_map(namespace, str(source.get("name"))), "configmap", source), source
            )
        elif "secret" in volume:
            source = volume["secret"]
            data = _data_of(secret(namespace, str(source.get("secretName"))), "secret", source, "secretName")
            found[name] = _projected(data, source)
        elif "downwardAPI" in volume:
            items = volume["downwardAPI"].get("items") or []
            found[name] = Files(
                {str(item["path"]): _field(pod, "", item.get("fieldRef") or {}).encode() for item in items}
            )
        else:
            kind = next((key for key in volume if key != "name"), "unknown")
            raise NotStartable(
                "ContainerCreating",
                f'volume "{name}": {kind} is not supported by this runtime, so it cannot be mounted',
            )
    return found


def build_start(
    pod: Obj,
    container: Obj,
    setup: PodSetup,
    restarts: int,
    host_ip: str,
    config_map: Lookup,
    secret: Lookup,
    log_path: Path,
    log_limit: int,
) -> ContainerStart:
    """One container, ready for the runtime; raises NotStartable when a reference cannot be resolved."""
    name = str(container["name"])
    env = _environment(pod, container, setup.ip, host_ip, config_map, secret)
    return ContainerStart(
        id=f"{setup.uid}/{name}/{restarts}",
        pod=setup,
        name=name,
        image=str(container.get("image") or ""),
        pull_policy=str(container.get("imagePullPolicy") or "IfNotPresent"),
        command=tuple(expand(str(word), env) for word in container.get("command") or []),
        args=tuple(expand(str(word), env) for word in container.get("args") or []),
        env=env,
        working_dir=str(container.get("workingDir") or ""),
        mounts=tuple(_mounts(container, setup.volumes)),
        resources=_resources(container),
        security=_security(pod, container),
        log_path=log_path,
        log_limit=log_limit,
    )


def pod_setup(pod: Obj, ip: str, service_names: Sequence[str], config_map: Lookup, secret: Lookup) -> PodSetup:
    """What the pod's containers share; raises NotStartable for volumes that cannot be had.

    ``service_names`` are those of the Services it belongs to; where these have no addresses, the names are the pod's.
    """
    spec = pod.get("spec") or {}
    fs_group = (spec.get("securityContext") or {}).get("fsGroup")
    return PodSetup(
        uid=uid_of(pod),
        namespace=namespace_of(pod),
        name=name_of(pod),
        hostname=str(spec.get("hostname") or name_of(pod)),
        ip=ip,
        names=(*_names(pod), *service_names),
        volumes=volumes_of(pod, config_map, secret),
        fs_group=None if fs_group is None else _id(fs_group),
        host_network=bool(spec.get("hostNetwork")),
        shares_processes=bool(spec.get("shareProcessNamespace")),
        containers=len(spec.get("containers") or []),
        sub_paths=tuple(
            (str(mount.get("name")), str(mount["subPath"]))
            for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
            for mount in container.get("volumeMounts") or []
            if mount.get("subPath")
        ),
        registries=_registries(pod, secret),
    )


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


def _size(volume: str, limit: object) -> int:
    try:
        return int(parse_quantity(limit)) if limit else 0
    except ValueError as error:
        raise NotStartable("ContainerCreating", f'volume "{volume}": sizeLimit: {error}') from error


def _projected(data: Mapping[str, bytes], source: Obj) -> Files:
    default_mode = int(source.get("defaultMode") or 0o644)
    items = source.get("items")
    if not items:
        return Files(dict(data), dict.fromkeys(data, default_mode))
    contents = {str(item["path"]): data[item["key"]] for item in items if item["key"] in data}
    return Files(contents, {str(item["path"]): int(item.get("mode") or default_mode) for item in items})


def _mounts(container: Obj, volumes: Mapping[str, Volume]) -> Iterator[Mount]:
    for mount in container.get("volumeMounts") or []:
        name = str(mount.get("name"))
        if name in volumes:
            path = str(mount["mountPath"]).rstrip("/") or "/"
            yield Mount(name, path, str(mount.get("subPath") or ""), bool(mount.get("readOnly")))


def _resources(container: Obj) -> Resources:
    limits = (container.get("resources") or {}).get("limits") or {}
    return Resources(
        cpu_request=container_requests(container).get("cpu", Fraction(0)),
        cpu_limit=parse_quantity(limits["cpu"]) if "cpu" in limits else None,
        memory_limit=int(parse_quantity(limits["memory"])) if "memory" in limits else None,
        gpus=int(parse_quantity(limits.get(_GPU, 0))),
    )


def _security(pod: Obj, container: Obj) -> Security:
    """The container's words go before the pod's."""
    shared = (pod.get("spec") or {}).get("securityContext") or {}
    both = {**shared, **(container.get("securityContext") or {})}
    capabilities = both.get("capabilities") or {}
    groups = [*(shared.get("supplementalGroups") or []), shared.get("fsGroup")]
    user, group = both.get("runAsUser"), both.get("runAsGroup")
    return Security(
        user=None if user is None else _id(user),
        group=None if group is None else _id(group),
        groups=tuple(_id(each) for each in groups if each is not None),
        must_not_be_root=bool(both.get("runAsNonRoot")),
        may_gain_privileges=bool(both.get("allowPrivilegeEscalation", True)),
        privileged=bool(both.get("privileged")),
        add=tuple(str(name) for name in capabilities.get("add") or []),
        drop=tuple(str(name) for name in capabilities.get("drop") or []),
        read_only_root=bool(both.get("readOnlyRootFilesystem")),
        unconfined=(both.get("seccompProfile") or {}).get("type") == "Unconfined",
    )


def _id(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise NotStartable("CreateContainerConfigError", f"securityContext: {value!r} is no user or group id")
    return value


def _names(pod: Obj) -> Iterator[str]:
    spec = pod.get("spec") or {}
    hostname, subdomain = str(spec.get("hostname") or name_of(pod)), spec.get("subdomain")
    yield hostname
    if subdomain:
        yield f"{hostname}.{subdomain}"
        yield f"{hostname}.{subdomain}.{namespace_of(pod)}.svc"


def _registries(pod: Obj, secret: Lookup) -> dict[str, Credentials]:
    """The credentials of the pod's pull secrets by registry; as by a kubelet, missing secrets are skipped."""
    found: dict[str, Credentials] = {}
    for reference in (pod.get("spec") or {}).get("imagePullSecrets") or []:
        holder = secret(namespace_of(pod), str(reference.get("name"))) or {}
        text = _decode((holder.get("data") or {}).get(".dockerconfigjson") or "")
        try:
            auths = json.loads(text or b"{}").get("auths") or {}
            for registry, entry in auths.items():
                found[_registry(str(registry))] = _credentials(entry)
        except (ValueError, AttributeError, TypeError) as error:
            name = reference.get("name")
            raise NotStartable("CreateContainerConfigError", f'secret "{name}" is no .dockerconfigjson') from error
    return found


def _registry(address: str) -> str:
    """The host (and port) of a registry's address as Docker's configuration files write it."""
    return address.partition("://")[2].partition("/")[0] if "://" in address else address.partition("/")[0]


def _credentials(entry: Obj) -> Credentials:
    if entry.get("auth"):
        username, _, password = _decode(entry["auth"]).decode(errors="replace").partition(":")
        return Credentials(username, password)
    return Credentials(str(entry.get("username") or ""), str(entry.get("password") or ""))
