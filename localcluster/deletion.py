"""Deleting objects: grace periods, propagation to dependents, finalizers."""

from __future__ import annotations

from dataclasses import dataclass

from localcluster.objects import (
    Obj,
    clone,
    finalizers_of,
    is_terminal,
    name_of,
    namespace_of,
    owners_of,
    uid_of,
)
from localcluster.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    ResourceType,
)
from localcluster.store import Store

BACKGROUND, FOREGROUND, ORPHAN = "Background", "Foreground", "Orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
DEFAULT_GRACE_SECONDS = 30
OWNED_KINDS: tuple[ResourceType, ...] = (PODS, REPLICASETS, DEPLOYMENTS, JOBS, SERVICES, SECRETS, CONFIGMAPS)
NAMESPACE_CONTENT: tuple[ResourceType, ...] = (
    *(JOBS, DEPLOYMENTS, REPLICASETS, PODS),
    *(SERVICES, SECRETS, CONFIGMAPS, SERVICEACCOUNTS, EVENTS),
)


@dataclass(frozen=True)
class DeleteOptions:
    """The part of metav1.DeleteOptions that is honoured; None means the type's default."""

    grace_seconds: int | None = None
    propagation: str | None = None


def delete_object(store: Store, kind: ResourceType, obj: Obj, options: DeleteOptions) -> Obj:
    """Delete an object the way its type wants it; returns its last known version."""
    with store.transaction():
        if kind is PODS:
            return _delete_pod(store, obj, options.grace_seconds)
        propagation = options.propagation or default_propagation(kind)
        if propagation == ORPHAN:
            orphan_dependents(store, uid_of(obj))
        if propagation == FOREGROUND and dependents_of(store, uid_of(obj)):
            held = clone(store.get(kind, namespace_of(obj), name_of(obj)))
            if FOREGROUND_FINALIZER not in finalizers_of(held):
                held["metadata"]["finalizers"] = [*finalizers_of(held), FOREGROUND_FINALIZER]
                store.update(kind, held)
        current = store.get(kind, namespace_of(obj), name_of(obj))
        if finalizers_of(current):
            return store.mark_deleted(kind, current, 0)
        return store.remove(kind, current)


def default_propagation(kind: ResourceType) -> str:
    """batch/v1 Jobs keep their pods unless told otherwise (a promise to old clients); everything else cascades."""
    return ORPHAN if kind is JOBS else BACKGROUND


def dependents_of(store: Store, owner_uid: str) -> list[tuple[ResourceType, Obj]]:
    """Everything that names the owner in its ownerReferences."""
    found = []
    for kind in OWNED_KINDS:
        for obj in store.list(kind)[0]:
            if any(owner.get("uid") == owner_uid for owner in owners_of(obj)):
                found.append((kind, obj))
    return found


def orphan_dependents(store: Store, owner_uid: str) -> None:
    """Cut the ties of an owner's dependents; pods lose the Job controller's finalizer with them."""
    for kind, obj in dependents_of(store, owner_uid):
        free = clone(obj)
        free["metadata"]["ownerReferences"] = [owner for owner in owners_of(obj) if owner.get("uid") != owner_uid]
        free["metadata"]["finalizers"] = [name for name in finalizers_of(obj) if name != TRACKING_FINALIZER]
        store.update(kind, free)


def _delete_pod(store: Store, pod: Obj, grace_seconds: int | None) -> Obj:
    spec = pod.get("spec") or {}
    grace = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS) if grace_seconds is None else grace_seconds
    if not spec.get("nodeName") or is_terminal(pod):
        grace = 0
    marked = store.mark_deleted(PODS, pod, int(grace))
    if grace == 0 and not finalizers_of(marked):
        return store.remove(PODS, marked)
    return marked
