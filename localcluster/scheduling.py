"""The scheduler's effects: binds pending pods to nodes, or says why not."""

from __future__ import annotations

from localcluster.clock import Clock
from localcluster.events import Recorder
from localcluster.objects import Obj, dig, evolve, is_deleting, is_terminal, name_of, namespace_of, set_condition
from localcluster.pod_lifecycle import scheduled_condition
from localcluster.resources import NODES, PODS
from localcluster.scheduler import Placement, node_view, place, pod_request, usage
from localcluster.store import Store

COMPONENT = "default-scheduler"


class PodScheduler:
    """Schedules all pending pods in one pass, oldest first."""

    def __init__(self, store: Store, recorder: Recorder, clock: Clock) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock

    def sync(self, _namespace: str, _name: str) -> float | None:
        """Look at every pod that has no node."""
        with self._store.transaction():
            pods, _ = self._store.list(PODS)
            pending = [pod for pod in pods if _is_pending(pod)]
            if not pending:
                return None
            nodes = [node_view(node) for node in self._store.list(NODES)[0]]
            used = usage(pod for pod in pods if dig(pod, "spec", "nodeName") and not is_terminal(pod))
            for pod in sorted(pending, key=lambda item: int(item["metadata"]["resourceVersion"])):
                request = pod_request(pod)
                placement = place(request, nodes, used)
                if placement.node is None:
                    self._reject(pod, placement)
                    continue
                table = used.setdefault(placement.node, {})
                for name, amount in request.requests.items():
                    table[name] = table.get(name, amount - amount) + amount
                self._bind(pod, placement.node)
        return None

    def _bind(self, pod: Obj, node: str) -> None:
        status = pod.get("status") or {}
        conditions = [item for item in status.get("conditions") or [] if item.get("type") != "PodScheduled"]
        conditions.append(scheduled_condition(self._clock.now()))
        spec = {**(pod.get("spec") or {}), "nodeName": node}
        bound = self._store.update(PODS, evolve(pod, spec=spec, status={**status, "conditions": conditions}))
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._recorder.record(bound, "Normal", "Scheduled", message, COMPONENT)

    def _reject(self, pod: Obj, placement: Placement) -> None:
        status = pod.get("status") or {}
        known = status.get("conditions") or []
        said = [item.get("message") for item in known if item.get("type") == "PodScheduled"]
        if said == [placement.message]:
            return
        now = self._clock.now()
        conditions = set_condition(known, "PodScheduled", "False", "Unschedulable", placement.message, now)
        self._store.update(PODS, evolve(pod, status={**status, "conditions": conditions}))
        self._recorder.record(pod, "Warning", "FailedScheduling", placement.message, COMPONENT)


def _is_pending(pod: Obj) -> bool:
    spec = pod.get("spec") or {}
    return (
        not spec.get("nodeName") and not is_terminal(pod) and not is_deleting(pod) and not spec.get("schedulingGates")
    )
