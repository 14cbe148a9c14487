"""The controllers of Deployments and ReplicaSets: read objects, let ``rollouts`` decide, carry the decision out."""

from __future__ import annotations

from localcluster.clock import Clock
from localcluster.deletion import BACKGROUND, DeleteOptions, delete_object
from localcluster.events import Recorder
from localcluster.objects import (
    Obj,
    annotations_of,
    clone,
    controller_of,
    dig,
    evolve,
    generated_name,
    is_condition_true,
    is_deleting,
    is_terminal,
    labels_of,
    meta,
    name_of,
    namespace_of,
    set_condition,
    time_field,
    uid_of,
)
from localcluster.resources import DEPLOYMENTS, PODS, REPLICASETS, ResourceType
from localcluster.rollouts import PodView, SetView, pod_plan, sizes, strategy_of, template_hash
from localcluster.store import Store

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_MAX_PREFIX = 58


class ReplicaSetController:
    """Keeps as many pods as a ReplicaSet wants."""

    COMPONENT = "replicaset-controller"

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    def sync(self, namespace: str, name: str) -> None:
        """Reconcile one ReplicaSet."""
        with self._store.transaction():
            owner = self._store.find(REPLICASETS, namespace, name)
            if owner is None:
                return
            pods = _controlled(self._store, PODS, owner)
            if not is_deleting(owner):
                plan = pod_plan(int(dig(owner, "spec", "replicas") or 0), map(_pod_view, pods))
                for _ in range(plan.create):
                    made = self._store.create(PODS, _pod_of(owner))
                    self._say(owner, "SuccessfulCreate", f"Created pod: {name_of(made)}")
                for gone in plan.delete:
                    delete_object(self._store, PODS, self._store.get(PODS, namespace, gone), DeleteOptions())
                    self._say(owner, "SuccessfulDelete", f"Deleted pod: {gone}")
                pods = _controlled(self._store, PODS, owner)
            self._write_status(owner, [pod for pod in map(_pod_view, pods) if pod.active])

    def _write_status(self, owner: Obj, active: list[PodView]) -> None:
        ready = sum(pod.ready for pod in active)
        status: Obj = {"replicas": len(active), "fullyLabeledReplicas": len(active)}
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        status["observedGeneration"] = meta(owner).get("generation", 1)
        if status != owner.get("status"):
            self._store.update(REPLICASETS, evolve(owner, status=status))

    def _say(self, owner: Obj, reason: str, message: str) -> None:
        self._recorder.record(owner, "Normal", reason, message, self.COMPONENT)


class DeploymentController:
    """Gives a Deployment a ReplicaSet for each template, and sizes them."""

    COMPONENT = "deployment-controller"

    def __init__(self, store: Store, recorder: Recorder, clock: Clock) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock

    def sync(self, namespace: str, name: str) -> None:
        """Reconcile one Deployment."""
        with self._store.transaction():
            deployment = self._store.find(DEPLOYMENTS, namespace, name)
            if deployment is None or is_deleting(deployment):
                return
            sets = _controlled(self._store, REPLICASETS, deployment)
            current = self._current(deployment, sets)
            others = [item for item in sets if uid_of(item) != uid_of(current)]
            if not dig(deployment, "spec", "paused"):
                self._resize(deployment, current, others)
                self._forget(deployment, others)
            self._write_status(deployment, name_of(current))

    def _current(self, deployment: Obj, sets: list[Obj]) -> Obj:
        """The ReplicaSet of the present template, made if need be; it has the latest revision."""
        wanted = template_hash(deployment["spec"]["template"])
        latest = max((_revision(item) for item in sets), default=0)
        for item in sets:
            if labels_of(item).get(HASH_LABEL) == wanted:
                if _revision(item) < latest:
                    annotations = {**annotations_of(item), REVISION: str(latest + 1)}
                    item = self._store.update(
                        REPLICASETS, evolve(item, metadata={**meta(item), "annotations": annotations})
                    )
                return item
        return self._store.create(REPLICASETS, _set_of(deployment, wanted, latest + 1))

    def _resize(self, deployment: Obj, current: Obj, others: list[Obj]) -> None:
        replicas = int(deployment["spec"]["replicas"])
        views = [_set_view(current, True), *(_set_view(item, False) for item in others)]
        wanted = sizes(replicas, strategy_of(replicas, deployment["spec"].get("strategy") or {}), views)
        for item in (current, *others):
            before, after = int(item["spec"]["replicas"]), wanted[name_of(item)]
            if before == after:
                continue
            generation = int(meta(item).get("generation", 1)) + 1
            self._store.update(
                REPLICASETS,
                evolve(
                    item, spec={**item["spec"], "replicas": after}, metadata={**meta(item), "generation": generation}
                ),
            )
            way = "up" if after > before else "down"
            message = f"Scaled {way} replica set {name_of(item)} from {before} to {after}"
            self._recorder.record(deployment, "Normal", "ScalingReplicaSet", message, self.COMPONENT)

    def _forget(self, deployment: Obj, others: list[Obj]) -> None:
        """Old ReplicaSets without pods are history, of which so much is kept."""
        limit = int(deployment["spec"].get("revisionHistoryLimit", 10))
        idle = [item for item in others if not item["spec"]["replicas"] and not dig(item, "status", "replicas")]
        idle.sort(key=_revision)
        for item in idle[: max(0, len(idle) - limit)]:
            delete_object(self._store, REPLICASETS, item, DeleteOptions(propagation=BACKGROUND))

    def _write_status(self, deployment: Obj, current: str) -> None:
        deployment = self._store.get(DEPLOYMENTS, namespace_of(deployment), name_of(deployment))
        views = [
            _set_view(item, name_of(item) == current) for item in _controlled(self._store, REPLICASETS, deployment)
        ]
        wanted = int(deployment["spec"]["replicas"])
        existing, available = sum(item.existing for item in views), sum(item.available for item in views)
        updated = sum(item.existing for item in views if item.current)
        counts = {
            "replicas": existing,
            "updatedReplicas": updated,
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": max(0, wanted - available),
        }
        least = wanted - strategy_of(wanted, deployment["spec"].get("strategy") or {}).max_unavailable
        now, conditions = self._clock.now(), dig(deployment, "status", "conditions") or []
        if available >= least:
            told = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            told = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        conditions = set_condition(conditions, "Available", *told, now)
        if updated == wanted == existing and available >= wanted:
            told = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{current}" has successfully progressed.')
        else:
            told = ("True", "ReplicaSetUpdated", f'ReplicaSet "{current}" is progressing.')
        conditions = set_condition(conditions, "Progressing", *told, now)
        status: Obj = {
            "observedGeneration": meta(deployment).get("generation", 1),
            **{name: count for name, count in counts.items() if count},
            "conditions": [_without_probe_time(item) for item in conditions],
        }
        if status != deployment.get("status"):
            self._store.update(DEPLOYMENTS, evolve(deployment, status=status))


def _controlled(store: Store, kind: ResourceType, owner: Obj) -> list[Obj]:
    """The objects of a type that this owner controls."""
    found, _ = store.list(kind, namespace_of(owner))
    return [item for item in found if (controller_of(item) or {}).get("uid") == uid_of(owner)]


def _pod_of(owner: Obj) -> Obj:
    template = clone(owner["spec"]["template"])
    prefix = f"{name_of(owner)}-"[:_MAX_PREFIX]
    metadata = {
        **(template.get("metadata") or {}),
        "name": generated_name(prefix),
        "generateName": prefix,
        "namespace": namespace_of(owner),
        "ownerReferences": [_reference(REPLICASETS, owner)],
        "generation": 1,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def _set_of(deployment: Obj, template_hash: str, revision: int) -> Obj:
    spec = deployment["spec"]
    template = clone(spec["template"])
    label = {HASH_LABEL: template_hash}
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **label}
    selector = clone(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **label}
    return {
        "apiVersion": REPLICASETS.api_version,
        "kind": REPLICASETS.kind,
        "metadata": {
            "name": f"{name_of(deployment)}-{template_hash}",
            "namespace": namespace_of(deployment),
            "labels": dict(metadata["labels"]),
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [_reference(DEPLOYMENTS, deployment)],
            "generation": 1,
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
        "status": {"replicas": 0},
    }


def _reference(kind: ResourceType, owner: Obj) -> Obj:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_view(pod: Obj) -> PodView:
    return PodView(
        name=name_of(pod),
        active=not is_terminal(pod) and not is_deleting(pod),
        ready=is_condition_true(pod, "Ready"),
        created_at=time_field(pod, "metadata", "creationTimestamp") or 0.0,
    )


def _set_view(item: Obj, current: bool) -> SetView:
    status = item.get("status") or {}
    return SetView(
        name=name_of(item),
        wanted=int(dig(item, "spec", "replicas") or 0),
        existing=int(status.get("replicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        current=current,
    )


def _revision(item: Obj) -> int:
    text = annotations_of(item).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _without_probe_time(item: Obj) -> Obj:
    """Conditions of Deployments have an update time where those of pods have a probe time."""
    made = {key: value for key, value in item.items() if key != "lastProbeTime"}
    made.setdefault("lastUpdateTime", made["lastTransitionTime"])
    return made
