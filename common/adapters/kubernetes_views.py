"""Kubernetes objects as plain JSON in, the domain's small views out. Pure; absent fields have Kubernetes' defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from common.domain.capacity import Capacity, Requests
from common.domain.cluster import (
    GENERATION_LABEL,
    INSTALLATION_LABEL,
    ROLE_LABEL,
    SUBMISSION_LABEL,
    WORKER_ROLE,
    ClusterEvent,
    JobView,
    NodeView,
    PodView,
    SubmissionView,
)
from common.domain.units import parse_quantity

Obj = Mapping[str, Any]

TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
_DISRUPTIONS = frozenset({"Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"})
_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe")


def seconds(text: object) -> float | None:
    """Unix seconds of a Kubernetes time, None for none or what is no time."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def submission_view(jobs: Iterable[JobView], pods: Iterable[PodView]) -> SubmissionView:
    """A submission's objects in their order."""
    return SubmissionView(
        tuple(sorted(jobs, key=lambda job: job.generation)),
        tuple(sorted(pods, key=lambda pod: (pod.generation, pod.index, pod.created_at, pod.name))),
    )


def job_view(job: Obj) -> JobView:
    """A Job."""
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    end = _true_condition(status, "Complete") or _true_condition(status, "Failed") or {}
    labels = metadata.get("labels") or {}
    return JobView(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        submission=labels.get(SUBMISSION_LABEL, ""),
        generation=_number(labels.get(GENERATION_LABEL), 0),
        parallelism=_number(spec.get("parallelism"), 1),
        suspended=bool(spec.get("suspend")),
        active=_number(status.get("active"), 0),
        ready=_number(status.get("ready"), 0),
        succeeded=_number(status.get("succeeded"), 0),
        failed=_number(status.get("failed"), 0),
        ended=str(end.get("type", "")),
        reason=str(end.get("reason", "")),
        message=str(end.get("message", "")),
        deleting=bool(metadata.get("deletionTimestamp")),
        installation=labels.get(INSTALLATION_LABEL, ""),
    )


def is_ending(job: Obj) -> bool:
    """Whether a Job has ended or is bound to end: no change of its size has an effect any more."""
    status = job.get("status") or {}
    return any(_true_condition(status, kind) for kind in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"))


def pod_view(pod: Obj) -> PodView:
    """A pod; of several containers the first one speaks for it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    phase = str(status.get("phase") or "Pending")
    state = _first_state(status)
    ran = state.get("terminated") or state.get("running") or {}
    ended = state.get("terminated") or {}
    reason, message = _why(phase, status)
    return PodView(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        submission=labels.get(SUBMISSION_LABEL, ""),
        generation=_number(labels.get(GENERATION_LABEL), 0),
        index=_number((metadata.get("annotations") or {}).get(INDEX_ANNOTATION), -1),
        role=labels.get(ROLE_LABEL, WORKER_ROLE),
        phase=phase,
        created_at=seconds(metadata.get("creationTimestamp")) or 0.0,
        started_at=seconds(ran.get("startedAt")),
        finished_at=seconds(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        reason=reason,
        message=message,
        ip=str(status.get("podIP") or ""),
        node=str((pod.get("spec") or {}).get("nodeName") or ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        disrupted=_true_condition(status, "DisruptionTarget") is not None or status.get("reason") in _DISRUPTIONS,
        tracked=TRACKING_FINALIZER in (metadata.get("finalizers") or ()),
        installation=labels.get(INSTALLATION_LABEL, ""),
    )


def node_view(node: Obj) -> NodeView:
    """A node."""
    metadata, status = node["metadata"], node.get("status") or {}
    usable = status.get("allocatable") or status.get("capacity") or {}
    return NodeView(
        name=metadata["name"],
        ready=_true_condition(status, "Ready") is not None and not (node.get("spec") or {}).get("unschedulable"),
        cpu=_quantity(usable.get("cpu")),
        memory=_quantity(usable.get("memory")),
        pods=int(_quantity(usable.get("pods"))),
        gpus=int(sum(_quantity(usable.get(name)) for name in _GPUS)),
        labels=dict(metadata.get("labels") or {}),
    )


def pod_requests(pod: Obj) -> Requests:
    """What a pod asks of its node: its containers together, or the greediest of those that run before them."""
    spec = pod.get("spec") or {}
    together = [_requests(container) for container in spec.get("containers") or ()]
    before = [_requests(container) for container in spec.get("initContainers") or ()]

    def asked(amount: Callable[[Requests], float]) -> float:
        return max([sum(map(amount, together)), *map(amount, before)])

    return Requests(
        cpu=asked(lambda one: one.cpu), memory=asked(lambda one: one.memory), gpus=int(asked(lambda one: one.gpus))
    )


def left_over(nodes: Sequence[NodeView], pods: Sequence[Requests]) -> Capacity:
    """What these nodes offer less what these pods ask for."""
    return Capacity(
        replicas=max(0, sum(node.pods for node in nodes) - len(pods)),
        cpu=max(0.0, sum(node.cpu for node in nodes) - sum(pod.cpu for pod in pods)),
        memory=max(0.0, sum(node.memory for node in nodes) - sum(pod.memory for pod in pods)),
        gpus=max(0, sum(node.gpus for node in nodes) - sum(pod.gpus for pod in pods)),
    )


def event_view(event: Obj) -> ClusterEvent:
    """An event."""
    involved = event.get("involvedObject") or {}
    times = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        event["metadata"].get("creationTimestamp"),
    )
    return ClusterEvent(
        at=next((at for at in map(seconds, times) if at is not None), 0.0),
        kind=str(involved.get("kind", "")),
        object=str(involved.get("name", "")),
        reason=str(event.get("reason") or ""),
        message=str(event.get("message") or ""),
        warning=event.get("type") == "Warning",
    )


def _requests(container: Obj) -> Requests:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Requests(
        cpu=_quantity(asked.get("cpu", 0)),
        memory=_quantity(asked.get("memory", 0)),
        gpus=int(sum(_quantity(asked.get(name, 0)) for name in _GPUS)),
    )


def _why(phase: str, status: Obj) -> tuple[str, str]:
    """Reason and message: of the pod as a whole, else of what waits or has ended in it."""
    if status.get("reason"):
        return str(status["reason"]), str(status.get("message") or "")
    if phase == "Pending":
        states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        for container in states:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason"):
                return str(waiting["reason"]), str(waiting.get("message") or "")
        unplaced = _condition(status, "PodScheduled", "False")
        if unplaced is not None:
            return str(unplaced.get("reason") or ""), str(unplaced.get("message") or "")
    state = _first_state(status)
    said = state.get("terminated") or state.get("waiting") or {}
    return str(said.get("reason") or ""), str(said.get("message") or "")


def _first_state(status: Obj) -> Mapping[str, Any]:
    containers = status.get("containerStatuses") or ()
    return (containers[0].get("state") or {}) if containers else {}


def _true_condition(status: Obj, kind: str) -> Obj | None:
    return _condition(status, kind, "True")


def _condition(status: Obj, kind: str, value: str) -> Obj | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == value:
            return dict(condition)
    return None


def _number(value: object, default: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return default


def _quantity(value: object) -> float:
    try:
        return parse_quantity(value)
    except ValueError:
        return 0.0
