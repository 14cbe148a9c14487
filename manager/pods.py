"""The parts of a pod that a specification asks for, as Kubernetes writes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.domain.pods import IMAGE_USER, Affinity, KeyReference, Resources, Toleration, Volume
from common.domain.submission import SubmissionSpec

GPU_RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/i915"}
"""What the vendors' device plugins call a GPU."""


def variable(name: str, value: str | KeyReference) -> dict[str, Any]:
    """An environment variable."""
    if isinstance(value, str):
        return {"name": name, "value": value}
    kind, holder = ("secretKeyRef", value.secret) if value.secret is not None else ("configMapKeyRef", value.config_map)
    reference: dict[str, Any] = {"name": holder, "key": value.key}
    if value.optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {kind: reference}}


def resources(asked: Resources) -> dict[str, dict[str, str]]:
    """Requests and limits. GPUs are limits only: Kubernetes takes these for their requests, too."""
    requests = {"cpu": asked.cpu, "memory": asked.memory}
    limits = {
        "cpu": asked.cpu_limit,
        "memory": asked.memory_limit,
        GPU_RESOURCES[asked.gpu_vendor]: str(asked.gpu) if asked.gpu else None,
    }
    sides = {"requests": requests, "limits": limits}
    return {
        side: kept
        for side, values in sides.items()
        if (kept := {name: value for name, value in values.items() if value is not None})
    }


def toleration(tolerated: Toleration) -> dict[str, Any]:
    """A toleration; what is absent is left out."""
    entry: dict[str, Any] = tolerated.model_dump(exclude_none=True)
    if "seconds" in entry:
        entry["tolerationSeconds"] = entry.pop("seconds")
    return entry


def affinity(asked: Affinity) -> dict[str, Any]:
    """The affinity as it was written."""
    return asked.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


def volumes(asked: Sequence[Volume]) -> list[dict[str, Any]]:
    """The pod's volumes, named by their position."""
    return [{"name": _volume_name(place), **_origin(volume)} for place, volume in enumerate(asked)]


def mounts(asked: Sequence[Volume]) -> list[dict[str, Any]]:
    """Where the container finds them."""
    return [_mount(place, volume) for place, volume in enumerate(asked)]


def user_of(spec: SubmissionSpec, default: int | None) -> int | None:
    """The user id to run as, None for the image's own user."""
    if spec.user is None:
        return default
    return None if spec.user == IMAGE_USER else spec.user


def container_security() -> dict[str, Any]:
    """No privilege, no way to get any."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_security(user: int | None, non_root: bool) -> dict[str, Any]:
    """What the Pod Security Standard "restricted" wants, unless the user is root, or the image's and not checked.

    ``user`` None is the image's own; with ``non_root`` the node refuses it if that is root. Volumes belong to the
    user's group, so that an unknown user can write to them.
    """
    security: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if user:
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user, "fsGroupChangePolicy": "OnRootMismatch"}
    elif user == 0:
        security["runAsUser"] = 0
    if user or non_root:
        security["runAsNonRoot"] = True
    return security


def _volume_name(place: int) -> str:
    return f"volume-{place}"


def _origin(volume: Volume) -> dict[str, Any]:
    optional = {"optional": True} if volume.optional else {}
    if volume.claim is not None:
        return {"persistentVolumeClaim": {"claimName": volume.claim}}
    if volume.config_map is not None:
        return {"configMap": {"name": volume.config_map, **optional}}
    if volume.secret is not None:
        return {"secret": {"secretName": volume.secret, **optional}}
    if volume.empty_dir is not None:
        size = {"sizeLimit": volume.empty_dir.size} if volume.empty_dir.size is not None else {}
        return {"emptyDir": {**size, **({"medium": "Memory"} if volume.empty_dir.memory else {})}}
    return {"hostPath": {"path": volume.host_path}}


def _mount(place: int, volume: Volume) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": _volume_name(place), "mountPath": volume.path}
    if volume.sub_path is not None:
        mount["subPath"] = volume.sub_path
    if volume.read_only:
        mount["readOnly"] = True
    return mount
