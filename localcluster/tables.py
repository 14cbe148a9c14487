"""Server-side printing: meta.k8s.io/v1 Tables with the columns kubectl users know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localcluster.objects import (
    Obj,
    dig,
    is_condition_true,
    is_deleting,
    labels_of,
    name_of,
    pod_phase,
    time_field,
)
from localcluster.resources import ResourceType

Cell = str | int
Printer = Callable[[Obj, float], list[Cell]]


@dataclass(frozen=True)
class Column:
    """A column; those of priority above 0 are shown with ``-o wide`` only."""

    name: str
    kind: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> Obj:
        """As in a Table."""
        return {
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


_NAME = Column("Name", format="name")
_AGE = Column("Age")


def render_table(
    kind: ResourceType, objects: list[Obj], revision: str, include: str, now: float, with_columns: bool = True
) -> Obj:
    """A Table of the objects; ``include`` is None, Metadata or Object, as in the includeObject parameter."""
    columns, printer = _PRINTERS.get(kind.key, _DEFAULT)
    rows = []
    for obj in objects:
        row: Obj = {"cells": printer(obj, now)}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": obj.get("metadata") or {},
            }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": [column.definition() for column in columns] if with_columns else [],
        "rows": rows,
    }


def human_duration(seconds: float) -> str:
    """Ages as kubectl writes them: 45s, 2m3s, 15m, 3h12m, 26h, 4d."""
    total = int(seconds)
    if total < 0:
        return "<invalid>" if total < -1 else "0s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def pod_status_word(pod: Obj) -> str:
    """The STATUS column of a pod."""
    word = str(dig(pod, "status", "reason") or pod_phase(pod))
    for item in reversed(dig(pod, "status", "containerStatuses") or []):
        state = item.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            word = str(waiting["reason"])
        elif terminated and terminated.get("reason"):
            word = str(terminated["reason"])
        elif terminated:
            word = f"ExitCode:{terminated.get('exitCode')}"
    if is_deleting(pod) and pod_phase(pod) not in ("Succeeded", "Failed"):
        return "Terminating"
    return word


def _age(obj: Obj, now: float) -> str:
    created = time_field(obj, "metadata", "creationTimestamp")
    return "<unknown>" if created is None else human_duration(now - created)


def _default(obj: Obj, now: float) -> list[Cell]:
    return [name_of(obj), _age(obj, now)]


def _pod(pod: Obj, now: float) -> list[Cell]:
    statuses = dig(pod, "status", "containerStatuses") or []
    ready = sum(bool(item.get("ready")) for item in statuses)
    restarts = sum(int(item.get("restartCount") or 0) for item in statuses)
    return [
        name_of(pod),
        f"{ready}/{len(dig(pod, 'spec', 'containers') or [])}",
        pod_status_word(pod),
        str(restarts),
        _age(pod, now),
        str(dig(pod, "status", "podIP") or "<none>"),
        str(dig(pod, "spec", "nodeName") or "<none>"),
        "<none>",
        "<none>",
    ]


def _job(job: Obj, now: float) -> list[Cell]:
    status, spec = job.get("status") or {}, job.get("spec") or {}
    if is_condition_true(job, "Complete"):
        word = "Complete"
    elif is_condition_true(job, "Failed"):
        word = "Failed"
    elif is_deleting(job):
        word = "Terminating"
    elif is_condition_true(job, "Suspended"):
        word = "Suspended"
    elif is_condition_true(job, "FailureTarget"):
        word = "FailureTarget"
    elif is_condition_true(job, "SuccessCriteriaMet"):
        word = "SuccessCriteriaMet"
    else:
        word = "Running"
    succeeded = int(status.get("succeeded") or 0)
    if spec.get("completions") is not None:
        done = f"{succeeded}/{spec['completions']}"
    else:
        parallelism = int(spec.get("parallelism") or 0)
        done = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    start, end = time_field(status, "startTime"), time_field(status, "completionTime")
    duration = "" if start is None else human_duration((end if end is not None else now) - start)
    return [name_of(job), word, done, duration, _age(job, now), *_template_cells(spec)]


def _node(node: Obj, now: float) -> list[Cell]:
    word = "Ready" if is_condition_true(node, "Ready") else "NotReady"
    if dig(node, "spec", "unschedulable"):
        word += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key[len(prefix) :] for key in labels_of(node) if key.startswith(prefix))
    info = dig(node, "status", "nodeInfo") or {}
    addresses = dig(node, "status", "addresses") or []
    internal = next((str(item.get("address")) for item in addresses if item.get("type") == "InternalIP"), "<none>")
    return [
        name_of(node),
        word,
        ",".join(roles) or "<none>",
        _age(node, now),
        str(info.get("kubeletVersion") or ""),
        internal,
        "<none>",
        str(info.get("osImage") or "<unknown>"),
        str(info.get("kernelVersion") or "<unknown>"),
        str(info.get("containerRuntimeVersion") or "<unknown>"),
    ]


def _event(event: Obj, now: float) -> list[Cell]:
    about = event.get("involvedObject") or {}
    last = time_field(event, "lastTimestamp")
    first = time_field(event, "firstTimestamp")
    count = int(event.get("count") or 1)
    seen = "<unknown>" if last is None else human_duration(now - last)
    if count > 1 and first is not None:
        seen = f"{seen} (x{count} over {human_duration(now - first)})"
    return [
        seen,
        str(event.get("type") or ""),
        str(event.get("reason") or ""),
        f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}",
        str(about.get("fieldPath") or ""),
        str(dig(event, "source", "component") or ""),
        str(event.get("message") or "").strip(),
        "<unknown>" if first is None else human_duration(now - first),
        count,
        name_of(event),
    ]


def _namespace(namespace: Obj, now: float) -> list[Cell]:
    return [name_of(namespace), str(dig(namespace, "status", "phase") or ""), _age(namespace, now)]


def _service(service: Obj, now: float) -> list[Cell]:
    spec = service.get("spec") or {}
    ports = ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or [])
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    return [
        name_of(service),
        str(spec.get("type") or ""),
        str(spec.get("clusterIP") or "<none>"),
        "<none>",
        ports or "<none>",
        _age(service, now),
        selector or "<none>",
    ]


def _secret(secret: Obj, now: float) -> list[Cell]:
    return [name_of(secret), str(secret.get("type") or ""), len(secret.get("data") or {}), _age(secret, now)]


def _config_map(config_map: Obj, now: float) -> list[Cell]:
    count = len(config_map.get("data") or {}) + len(config_map.get("binaryData") or {})
    return [name_of(config_map), count, _age(config_map, now)]


def _deployment(deployment: Obj, now: float) -> list[Cell]:
    status, spec = deployment.get("status") or {}, deployment.get("spec") or {}
    return [
        name_of(deployment),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        str(status.get("updatedReplicas") or 0),
        str(status.get("availableReplicas") or 0),
        _age(deployment, now),
        *_template_cells(spec),
    ]


def _replica_set(replica_set: Obj, now: float) -> list[Cell]:
    status, spec = replica_set.get("status") or {}, replica_set.get("spec") or {}
    return [
        name_of(replica_set),
        int(spec.get("replicas") or 0),
        int(status.get("replicas") or 0),
        int(status.get("readyReplicas") or 0),
        _age(replica_set, now),
        *_template_cells(spec),
    ]


def _template_cells(spec: Obj) -> list[Cell]:
    """Containers, images and selector of what makes pods of a template."""
    containers = dig(spec, "template", "spec", "containers") or []
    labels = dig(spec, "selector", "matchLabels") or {}
    return [
        ",".join(str(item.get("name")) for item in containers),
        ",".join(str(item.get("image")) for item in containers),
        ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
    ]


def _wide(name: str) -> Column:
    return Column(name, priority=1)


_DEFAULT: tuple[tuple[Column, ...], Printer] = ((_NAME, _AGE), _default)
_PRINTERS: Mapping[str, tuple[tuple[Column, ...], Printer]] = {
    "pods": (
        (
            _NAME,
            Column("Ready"),
            Column("Status"),
            Column("Restarts"),
            _AGE,
            _wide("IP"),
            _wide("Node"),
            _wide("Nominated Node"),
            _wide("Readiness Gates"),
        ),
        _pod,
    ),
    "jobs.batch": (
        (
            _NAME,
            Column("Status"),
            Column("Completions"),
            Column("Duration"),
            _AGE,
            _wide("Containers"),
            _wide("Images"),
            _wide("Selector"),
        ),
        _job,
    ),
    "deployments.apps": (
        (
            _NAME,
            Column("Ready"),
            Column("Up-to-date"),
            Column("Available"),
            _AGE,
            _wide("Containers"),
            _wide("Images"),
            _wide("Selector"),
        ),
        _deployment,
    ),
    "replicasets.apps": (
        (
            _NAME,
            Column("Desired", "integer"),
            Column("Current", "integer"),
            Column("Ready", "integer"),
            _AGE,
            _wide("Containers"),
            _wide("Images"),
            _wide("Selector"),
        ),
        _replica_set,
    ),
    "nodes": (
        (
            _NAME,
            Column("Status"),
            Column("Roles"),
            _AGE,
            Column("Version"),
            _wide("Internal-IP"),
            _wide("External-IP"),
            _wide("OS-Image"),
            _wide("Kernel-Version"),
            _wide("Container-Runtime"),
        ),
        _node,
    ),
    "events": (
        (
            Column("Last Seen"),
            Column("Type"),
            Column("Reason"),
            Column("Object"),
            _wide("Subobject"),
            _wide("Source"),
            Column("Message"),
            _wide("First Seen"),
            Column("Count", "integer", priority=1),
            Column("Name", format="name", priority=1),
        ),
        _event,
    ),
    "namespaces": ((_NAME, Column("Status"), _AGE), _namespace),
    "services": (
        (
            _NAME,
            Column("Type"),
            Column("Cluster-IP"),
            Column("External-IP"),
            Column("Port(s)"),
            _AGE,
            _wide("Selector"),
        ),
        _service,
    ),
    "secrets": ((_NAME, Column("Type"), Column("Data", "integer"), _AGE), _secret),
    "configmaps": ((_NAME, Column("Data", "integer"), _AGE), _config_map),
}
