"""The defaults the real API server fills in, for the fields clients look at. Every function returns a new object."""

from __future__ import annotations

import base64

from localcluster.objects import Obj, clone, new_uid
from localcluster.resources import (
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICES,
    ResourceType,
)

MAX_INT32 = 2147483647


def apply_defaults(kind: ResourceType, obj: Obj) -> Obj:
    """The object with its type's defaults."""
    made = clone(obj)
    made["apiVersion"], made["kind"] = kind.api_version, kind.kind
    if kind is JOBS:
        _default_job(made)
    elif kind in (DEPLOYMENTS, REPLICASETS):
        _default_replicated(made, is_deployment=kind is DEPLOYMENTS)
    elif kind is PODS:
        made["spec"] = defaulted_pod_spec(made.get("spec") or {})
        made.setdefault("status", {"phase": "Pending"})
        made["status"].setdefault("qosClass", _qos_class(made["spec"]))
    elif kind is NAMESPACES:
        made.setdefault("spec", {"finalizers": ["kubernetes"]})
        made["status"] = {"phase": "Active"}
        made["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = made["metadata"].get("name", "")
    elif kind is SECRETS:
        _default_secret(made)
    elif kind is SERVICES:
        _default_service(made)
    return made


def prepare_job(job: Obj) -> Obj:
    """A new Job's uid, and the selector and labels generated from it."""
    made = clone(job)
    spec = made["spec"]
    uid = new_uid()
    made["metadata"]["uid"] = uid
    if spec.get("manualSelector"):
        return made
    generated = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": made["metadata"]["name"],
        "controller-uid": uid,
        "job-name": made["metadata"]["name"],
    }
    template = spec.setdefault("template", {})
    labels = template.setdefault("metadata", {}).get("labels") or {}
    template["metadata"]["labels"] = {**labels, **generated}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    if not made["metadata"].get("labels"):
        made["metadata"]["labels"] = dict(template["metadata"]["labels"])
    return made


def defaulted_pod_spec(spec: Obj) -> Obj:
    """A pod spec with defaults, as stored in pods and pod templates."""
    made = clone(spec)
    made.setdefault("restartPolicy", "Always")
    made.setdefault("terminationGracePeriodSeconds", 30)
    made.setdefault("dnsPolicy", "ClusterFirst")
    made.setdefault("securityContext", {})
    made.setdefault("schedulerName", "default-scheduler")
    for container in [*(made.get("initContainers") or []), *(made.get("containers") or [])]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        image = str(container.get("image") or "")
        latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")
        for item in container.get("env") or []:
            reference = (item.get("valueFrom") or {}).get("fieldRef")
            if reference is not None:
                reference.setdefault("apiVersion", "v1")
    for volume in made.get("volumes") or []:
        for source in ("configMap", "secret", "downwardAPI", "projected"):
            if source in volume:
                volume[source].setdefault("defaultMode", 0o644)
    return made


def _default_job(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 6 if spec.get("backoffLimitPerIndex") is None else MAX_INT32
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    if spec.get("podReplacementPolicy") is None:
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            pattern.setdefault("status", "True")
    _default_template(spec)
    job.setdefault("status", {})


def _default_template(spec: Obj) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        if isinstance(template.get("spec"), dict):
            template["spec"] = defaulted_pod_spec(template["spec"])


def _default_replicated(workload: Obj, is_deployment: bool) -> None:
    spec = workload.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if is_deployment:
        strategy = spec.setdefault("strategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
    _default_template(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not workload["metadata"].get("labels"):
        workload["metadata"]["labels"] = dict(labels)
    workload.setdefault("status", {})


def _default_secret(secret: Obj) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict):
        data = secret.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(str(value).encode()).decode()


def _default_service(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    service["status"] = {"loadBalancer": {}}


def _qos_class(spec: Obj) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers") or []]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    for item in resources:
        limits, requests = item.get("limits") or {}, item.get("requests") or item.get("limits") or {}
        if any(name not in limits or limits[name] != requests.get(name) for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"
