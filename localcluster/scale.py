"""The Scale subresource: how many replicas a workload has, in a form that is the same for all of them. Pure."""

from __future__ import annotations

from typing import Any

from localcluster import errors
from localcluster.objects import Obj, dig, evolve, meta


def scale_of(workload: Obj) -> Obj:
    """The autoscaling/v1 Scale of a Deployment or ReplicaSet."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = dig(workload, "spec", "selector", "matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta(workload)[name] for name in kept if name in meta(workload)},
        "spec": {"replicas": dig(workload, "spec", "replicas") or 0},
        "status": {
            "replicas": dig(workload, "status", "replicas") or 0,
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def with_scale(workload: Obj, scale: Any) -> Obj:
    """The workload with a Scale's replicas; a resourceVersion in it must be current. Raises BadRequest."""
    replicas = dig(scale, "spec", "replicas") if isinstance(scale, dict) else None
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise errors.BadRequest('Scale in version "autoscaling/v1" cannot be handled: spec.replicas must be an integer')
    version = dig(scale, "metadata", "resourceVersion") or meta(workload).get("resourceVersion")
    metadata = {**meta(workload), "resourceVersion": version}
    return evolve(workload, spec={**workload["spec"], "replicas": replicas}, metadata=metadata)
