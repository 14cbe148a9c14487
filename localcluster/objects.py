"""Reading and making Kubernetes objects, which are JSON objects here.

An object inside the store is never changed in place: whoever wants another version makes a copy (``clone``) first.
"""

from __future__ import annotations

import copy
import os
import time
import uuid
from calendar import timegm
from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]

# Kubernetes leaves vowels and look-alikes out of generated names.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_PREFIX = 58


def clone(obj: Obj) -> Obj:
    """A deep copy that may be changed."""
    return copy.deepcopy(obj)


def without_nulls(value: Any) -> Any:
    """The value without null fields: to the API, null is the same as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def evolve(obj: Obj, **parts: Obj) -> Obj:
    """The object with whole parts (``status``, ``spec``, ``metadata``) replaced; everything else is shared."""
    return {**obj, **parts}


def with_finalizers(obj: Obj, finalizers: list[str]) -> Obj:
    """The object with these finalizers; an empty list leaves none behind."""
    metadata = {key: value for key, value in meta(obj).items() if key != "finalizers"}
    if finalizers:
        metadata["finalizers"] = finalizers
    return evolve(obj, metadata=metadata)


def meta(obj: Obj) -> Obj:
    """The object's metadata (empty when missing)."""
    value = obj.get("metadata")
    return value if isinstance(value, dict) else {}


def name_of(obj: Obj) -> str:
    """metadata.name."""
    return str(meta(obj).get("name") or "")


def namespace_of(obj: Obj) -> str:
    """metadata.namespace; empty for cluster-scoped objects."""
    return str(meta(obj).get("namespace") or "")


def uid_of(obj: Obj) -> str:
    """metadata.uid."""
    return str(meta(obj).get("uid") or "")


def labels_of(obj: Obj) -> dict[str, str]:
    """metadata.labels."""
    return meta(obj).get("labels") or {}


def annotations_of(obj: Obj) -> dict[str, str]:
    """metadata.annotations."""
    return meta(obj).get("annotations") or {}


def finalizers_of(obj: Obj) -> list[str]:
    """metadata.finalizers."""
    return meta(obj).get("finalizers") or []


def is_deleting(obj: Obj) -> bool:
    """Whether deletion was asked for."""
    return bool(meta(obj).get("deletionTimestamp"))


def owners_of(obj: Obj) -> list[Obj]:
    """metadata.ownerReferences."""
    return meta(obj).get("ownerReferences") or []


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference that controls this object."""
    for owner in owners_of(obj):
        if owner.get("controller"):
            return owner
    return None


def pod_phase(pod: Obj) -> str:
    """status.phase of a pod."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Obj) -> bool:
    """Whether the pod's containers have ended for good."""
    return pod_phase(pod) in ("Succeeded", "Failed")


def condition(obj: Obj, kind: str) -> Obj | None:
    """The status condition of that type."""
    for item in (obj.get("status") or {}).get("conditions") or []:
        if item.get("type") == kind:
            found: Obj = item
            return found
    return None


def is_condition_true(obj: Obj, kind: str) -> bool:
    """Whether the condition exists with status "True"."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def new_uid() -> str:
    """A fresh metadata.uid."""
    return str(uuid.uuid4())


def random_suffix(length: int = 5) -> str:
    """Random letters as Kubernetes puts them at the end of generated names."""
    return "".join(_SUFFIX_ALPHABET[byte % len(_SUFFIX_ALPHABET)] for byte in os.urandom(length))


def generated_name(prefix: str) -> str:
    """A name for metadata.generateName."""
    return prefix[:_MAX_GENERATED_PREFIX] + random_suffix()


def format_time(seconds: float) -> str:
    """RFC 3339 in whole seconds, as metav1.Time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def format_micro_time(seconds: float) -> str:
    """RFC 3339 with microseconds, as metav1.MicroTime."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1_000_000):06d}Z"


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 UTC time; raises ValueError for anything else."""
    base, _, fraction = text.rstrip("Zz").partition(".")
    seconds = float(timegm(time.strptime(base, "%Y-%m-%dT%H:%M:%S")))
    return seconds + (float("0." + fraction) if fraction else 0.0)


def time_field(obj: Obj, *path: str) -> float | None:
    """A time found by path, in seconds since the epoch; None when absent or malformed."""
    value = dig(obj, *path)
    if not isinstance(value, str) or not value:
        return None
    try:
        return parse_time(value)
    except ValueError:
        return None


def dig(obj: Any, *path: str) -> Any:
    """The value at a path of keys, or None."""
    for key in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def containers_of(pod_spec: Obj) -> Iterator[Obj]:
    """Init containers, then containers."""
    yield from pod_spec.get("initContainers") or []
    yield from pod_spec.get("containers") or []


def set_condition(conditions: list[Obj], kind: str, status: str, reason: str, message: str, now: float) -> list[Obj]:
    """The conditions with this one set; its transition time moves only when the status does."""
    stamp = format_time(now)
    result: list[Obj] = []
    done = False
    for item in conditions:
        if item.get("type") != kind:
            result.append(item)
            continue
        done = True
        since = item.get("lastTransitionTime", stamp) if item.get("status") == status else stamp
        result.append(make_condition(kind, status, reason, message, since))
    if not done:
        result.append(make_condition(kind, status, reason, message, stamp))
    return result


def make_condition(kind: str, status: str, reason: str, message: str, since: str) -> Obj:
    """One condition; empty reason and message are left out, as the real server does."""
    made: Obj = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made
