"""Garbage collection: dependents go with their last owner, foreground deletions end, namespaces empty themselves."""

from __future__ import annotations

from localcluster.deletion import (
    BACKGROUND,
    FOREGROUND_FINALIZER,
    NAMESPACE_CONTENT,
    OWNED_KINDS,
    TRACKING_FINALIZER,
    DeleteOptions,
    delete_object,
    dependents_of,
)
from localcluster.objects import (
    Obj,
    clone,
    finalizers_of,
    is_deleting,
    name_of,
    namespace_of,
    owners_of,
    uid_of,
    with_finalizers,
)
from localcluster.resources import NAMESPACES, PODS, ResourceType, find_kind
from localcluster.store import Store


class GarbageCollector:
    """Level-triggered: every method may be called at any time and again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect_all(self) -> None:
        """Check every object's owners; at start, and whenever something was deleted."""
        with self._store.transaction():
            for kind in OWNED_KINDS:
                for obj in self._store.list(kind)[0]:
                    if owners_of(obj):
                        self._check_owners(kind, obj)

    def collect(self, kind: ResourceType, namespace: str, name: str) -> None:
        """Check one object's owners."""
        with self._store.transaction():
            obj = self._store.find(kind, namespace, name)
            if obj is not None and owners_of(obj):
                self._check_owners(kind, obj)

    def finish_foreground(self, owner_kind: ResourceType, namespace: str, name: str) -> None:
        """An owner deleted in the foreground: delete its dependents, then let it go."""
        with self._store.transaction():
            owner = self._store.find(owner_kind, namespace, name)
            if owner is None or not is_deleting(owner) or FOREGROUND_FINALIZER not in finalizers_of(owner):
                return
            dependents = dependents_of(self._store, uid_of(owner))
            for kind, obj in dependents:
                if not is_deleting(obj):
                    delete_object(self._store, kind, obj, DeleteOptions(propagation=BACKGROUND))
            if not dependents_of(self._store, uid_of(owner)):
                left = [item for item in finalizers_of(owner) if item != FOREGROUND_FINALIZER]
                self._store.update(owner_kind, with_finalizers(owner, left))

    def finish_namespace(self, name: str) -> None:
        """Empty a namespace that is being deleted, then remove it."""
        with self._store.transaction():
            namespace = self._store.find(NAMESPACES, "", name)
            if namespace is None or not is_deleting(namespace):
                return
            left = False
            for kind in NAMESPACE_CONTENT:
                for obj in self._store.list(kind, name)[0]:
                    if not is_deleting(obj):
                        delete_object(self._store, kind, obj, DeleteOptions(propagation=BACKGROUND))
                left = left or bool(self._store.list(kind, name)[0])
            if not left:
                self._store.remove(NAMESPACES, namespace)

    def _check_owners(self, kind: ResourceType, obj: Obj) -> None:
        living = [owner for owner in owners_of(obj) if self._exists(namespace_of(obj), owner)]
        if living == owners_of(obj):
            return
        if kind is PODS and TRACKING_FINALIZER in finalizers_of(obj):
            # Nobody is left to account for it.
            left = [item for item in finalizers_of(obj) if item != TRACKING_FINALIZER]
            obj = self._store.update(kind, with_finalizers(obj, left))
        if living:
            free = clone(obj)
            free["metadata"]["ownerReferences"] = living
            self._store.update(kind, free)
        elif not is_deleting(obj) and self._store.find(kind, namespace_of(obj), name_of(obj)) is not None:
            delete_object(self._store, kind, obj, DeleteOptions(propagation=BACKGROUND))

    def _exists(self, namespace: str, owner: Obj) -> bool:
        kind = find_kind(str(owner.get("apiVersion")), str(owner.get("kind")))
        if kind is None:
            # Owners of types that are not served here cannot be checked, and are left alone.
            return True
        found = self._store.find(kind, namespace if kind.namespaced else "", str(owner.get("name")))
        return found is not None and uid_of(found) == owner.get("uid")
