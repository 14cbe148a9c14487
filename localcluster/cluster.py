"""The control plane in one object: which change makes which controller look at what."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from localcluster.clock import Clock
from localcluster.control_loop import ControlLoop, Key, Task
from localcluster.deployment_controller import DeploymentController, ReplicaSetController
from localcluster.events import Recorder
from localcluster.garbage import GarbageCollector
from localcluster.job_controller import JobController
from localcluster.kubelet import Kubelet
from localcluster.log import Log
from localcluster.objects import (
    Obj,
    controller_of,
    dig,
    is_deleting,
    is_terminal,
    meta,
    name_of,
    namespace_of,
    owners_of,
    uid_of,
)
from localcluster.proxy import ServiceProxy
from localcluster.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICES,
    find,
)
from localcluster.runtime.port import RuntimeEvent
from localcluster.scheduling import PodScheduler
from localcluster.services import routes
from localcluster.store import ADDED, DELETED, Change, Store

_PRUNE_SECONDS = 300.0
_OWNERS = {"Job": "job", "ReplicaSet": "replicaset", "Deployment": "deployment"}
_FOLLOWED = {PODS: "pod", JOBS: "job", DEPLOYMENTS: "deployment", REPLICASETS: "replicaset", NAMESPACES: "namespace"}
"""What is looked at by name when it changes, and at start."""


@dataclass(frozen=True)
class Controllers:
    """What reconciles."""

    jobs: JobController
    deployments: DeploymentController
    replica_sets: ReplicaSetController
    scheduler: PodScheduler
    garbage: GarbageCollector


class ControlPlane:
    """Routes changes to controllers. ``start`` after everything is wired; ``stop`` ends all pods.

    Without a ``proxy`` nothing answers at Services' addresses.
    """

    def __init__(
        self,
        store: Store,
        kubelet: Kubelet,
        controllers: Controllers,
        proxy: ServiceProxy | None,
        recorder: Recorder,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._kubelet = kubelet
        self._controllers = controllers
        self._proxy = proxy
        self._recorder = recorder
        self._clock = clock
        self._log = log
        self._stopping = False
        self._idle = threading.Event()
        self._loop = ControlLoop(clock, log, self._reconcile)

    @property
    def is_alive(self) -> bool:
        """Whether the control loop runs."""
        return self._loop.is_alive

    def start(self) -> None:
        """Look at everything once, then follow changes."""
        self._loop.submit(Task("first-collection", self._controllers.garbage.collect_all))
        self._loop.add(("schedule", "", ""))
        self._loop.add(("services", "", ""))
        for kind, what in _FOLLOWED.items():
            for obj in self._store.list(kind)[0]:
                self._loop.add((what, namespace_of(obj), name_of(obj)))
        self._loop.add_later(("events", "", ""), _PRUNE_SECONDS)
        self._loop.start()

    def stop(self, grace_seconds: float, reason: str, message: str) -> None:
        """Stop all pods, wait until they have ended (at most about the grace period), end the loop."""

        def stop_pods() -> None:
            self._stopping = True
            self._kubelet.stop_all(reason, message, grace_seconds)
            if self._kubelet.is_idle():
                self._idle.set()

        self._loop.submit(Task("stop-pods", stop_pods))
        self._idle.wait(grace_seconds + 2.0)
        self._loop.stop(5.0)

    def on_change(self, change: Change) -> None:
        """Called by the store under its lock: only takes notes."""
        obj, add = change.obj, self._loop.add
        namespace, name = namespace_of(obj), name_of(obj)
        if change.kind is PODS:
            self._on_pod(change, namespace, name)
        elif change.kind is JOBS:
            add(("job", namespace, name))
            if change.event == DELETED:
                self._loop.submit(Task("forget-job", lambda: self._controllers.jobs.forget(uid_of(obj))))
        elif change.kind in (DEPLOYMENTS, REPLICASETS):
            add((_FOLLOWED[change.kind], namespace, name))
            self._add_owner(obj)
        elif change.kind is SERVICES:
            add(("services", "", ""))
        elif change.kind is NODES:
            if (
                change.previous is None
                or change.previous.get("spec") != obj.get("spec")
                or (meta(change.previous).get("labels") != meta(obj).get("labels"))
            ):
                add(("schedule", "", ""))
        elif change.kind in (CONFIGMAPS, SECRETS):
            add(("waiting", "", ""))
        elif change.kind is EVENTS:
            if change.event == ADDED:
                self._loop.add_later(("events", "", ""), _PRUNE_SECONDS)
            return
        elif change.kind is NAMESPACES and is_deleting(obj):
            add(("namespace", "", name))
        if change.event == DELETED:
            add(("collect", "", ""))
            add(("namespace", "", namespace))
            for owner in owners_of(obj):
                # A foreground deletion of the owner waits for this.
                if str(owner.get("kind")) in _OWNERS:
                    add((_OWNERS[str(owner.get("kind"))], namespace, str(owner.get("name"))))
        elif change.event == ADDED and owners_of(obj):
            add((f"owners:{change.kind.group}/{change.kind.version}/{change.kind.plural}", namespace, name))

    def on_runtime_event(self, event: RuntimeEvent) -> None:
        """Called by the runtime, from its own thread."""
        self._loop.submit(Task("runtime-event", lambda: self._handle(event)))

    def _on_pod(self, change: Change, namespace: str, name: str) -> None:
        pod = change.obj
        add = self._loop.add
        if change.event == DELETED:
            self._loop.submit(Task("forget-pod", lambda: self._kubelet.forget_pod(uid_of(pod))))
            add(("schedule", "", ""))
        else:
            if not dig(pod, "spec", "nodeName") or (is_terminal(pod) and not is_terminal(change.previous or {})):
                add(("schedule", "", ""))
            add(("pod", namespace, name))
        add(("services", "", ""))
        self._add_owner(pod)

    def _add_owner(self, obj: Obj) -> None:
        owner = controller_of(obj)
        if owner is not None and str(owner.get("kind")) in _OWNERS:
            self._loop.add((_OWNERS[str(owner.get("kind"))], namespace_of(obj), str(owner.get("name"))))

    def _handle(self, event: RuntimeEvent) -> None:
        for namespace, name in self._kubelet.handle(event):
            self._loop.add(("pod", namespace, name))

    def _route(self) -> None:
        if self._proxy is None:
            return
        services, _ = self._store.list(SERVICES)
        pods = self._store.list(PODS)[0] if services else []
        self._proxy.follow(routes(services, pods))

    def _reconcile(self, key: Key) -> float | None:
        what, namespace, name = key
        if what == "pod":
            again = self._kubelet.sync(namespace, name)
            if self._stopping and self._kubelet.is_idle():
                self._idle.set()
            return again
        if self._stopping:
            # Nothing new is started any more; what is left undone is done by the next server.
            return None
        if what == "job":
            again = self._controllers.jobs.sync(namespace, name)
            self._controllers.garbage.finish_foreground(JOBS, namespace, name)
            return again
        if what == "deployment":
            self._controllers.deployments.sync(namespace, name)
            self._controllers.garbage.finish_foreground(DEPLOYMENTS, namespace, name)
        elif what == "replicaset":
            self._controllers.replica_sets.sync(namespace, name)
            self._controllers.garbage.finish_foreground(REPLICASETS, namespace, name)
        elif what == "services":
            self._route()
        if what == "schedule":
            return self._controllers.scheduler.sync(namespace, name)
        if what == "waiting":
            for pod_namespace, pod_name in self._kubelet.waiting_pods():
                self._loop.add(("pod", pod_namespace, pod_name))
        elif what == "collect":
            self._controllers.garbage.collect_all()
        elif what == "namespace":
            self._controllers.garbage.finish_namespace(name)
        elif what == "events":
            self._recorder.prune()
            return _PRUNE_SECONDS if self._store.list(EVENTS)[0] else None
        elif what.startswith("owners:"):
            group, version, plural = what.removeprefix("owners:").split("/")
            kind = find(group, version, plural)
            if kind is not None:
                self._controllers.garbage.collect(kind, namespace, name)
        return None
