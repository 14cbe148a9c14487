"""Kubernetes objects of a submission. Pure: a specification and settings in, plain manifests out.

Everything carries the submission's label, so that one deletion by label finds all of it.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from common.domain.cluster import GENERATION_LABEL, QUEUE_ROLE, ROLE_LABEL, SUBMISSION_LABEL, WORKER_ROLE
from common.domain.queues import queue_user
from common.domain.submission import Resources, Submission, SubmissionSpec, Toleration

QUEUE_PORT = 6379
"""Where the original's images expect their Redis."""
RELEASED = 143
"""Exit code of a worker that was told to go (SIGTERM): no failure of its index."""
INDEX_FAILURES = 100
"""Failures of one index before Kubernetes gives it up. Generous: whether work is hopeless, the queue decides."""
_CONTAINER = "worker"
_DATA = "/data"
_URL_KEY = "url"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_NAME = "app.kubernetes.io/name"


@dataclass(frozen=True)
class ManifestSettings:
    """What the operator decides. ``worker_redis_url`` is the shared Redis as pods reach it."""

    namespace: str = "default"
    worker_redis_url: str = "redis://127.0.0.1:6379/0"
    default_image: str = "python:3.12-slim"
    runner_command: tuple[str, ...] = ("python3", "-m", "asperathos_worker")
    queue_image: str = "redis:7"
    queue_command: tuple[str, ...] = ("redis-server",)
    result_limit: int = 1 << 20
    run_as_non_root: bool = False


def namespace_of(spec: SubmissionSpec, settings: ManifestSettings) -> str:
    """Where its objects live."""
    return spec.namespace or settings.namespace


def job_name(submission: str, generation: int) -> str:
    """``<submission>-g<generation>``."""
    return f"{submission}-g{generation}"


def queue_pod_name(submission: str) -> str:
    """The pod of a dedicated queue."""
    return f"{submission}-queue"


def secret_name(submission: str) -> str:
    """The secret with the address (and password) of the shared Redis."""
    return f"{submission}-redis"


def initial_replicas(spec: SubmissionSpec) -> int:
    """How many replicas to start with: what the user asks for, else the fewest that can work."""
    return spec.replicas.initial if spec.replicas.initial is not None else max(1, spec.replicas.min)


def worker_job(submission: Submission, generation: int, replicas: int, settings: ManifestSettings) -> dict[str, Any]:
    """The elastic Indexed Job of one generation. ``replicas`` 0 makes it suspended."""
    spec = submission.spec
    labels = _labels(submission, WORKER_ROLE, generation)
    count = max(1, replicas)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(submission.id, generation),
            "namespace": namespace_of(spec, settings),
            "labels": labels,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "suspend": replicas == 0,
            "backoffLimitPerIndex": INDEX_FAILURES,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [RELEASED]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _worker_pod(submission, settings)},
        },
    }


def queue_pod(submission: Submission, settings: ManifestSettings) -> dict[str, Any]:
    """The Redis of a submission with a dedicated queue. It listens on its pod's address only, without a password.

    A server that ends is started again in its pod: the address stays, and the volume keeps what its file had.
    """
    spec = submission.spec
    server = (*settings.queue_command, "--bind", "$(POD_IP)", "--port", str(QUEUE_PORT), "--protected-mode", "no")
    container: dict[str, Any] = {
        "name": "redis",
        "image": settings.queue_image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*server, "--dir", _DATA, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        "env": [_from_field("POD_IP", "status.podIP")],
        "ports": [{"containerPort": QUEUE_PORT, "name": "redis"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": _DATA}],
        "securityContext": _container_security(),
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Always",
        "volumes": [{"name": "data", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        "containers": [container],
    }
    _place(pod, spec)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": queue_pod_name(submission.id),
            "namespace": namespace_of(spec, settings),
            "labels": _labels(submission, QUEUE_ROLE, 0),
        },
        "spec": pod,
    }


def redis_secret(submission: Submission, settings: ManifestSettings) -> dict[str, Any]:
    """The shared Redis's address for the workers, as their own user if they have one: it holds a password."""
    url = settings.worker_redis_url
    if submission.queue_password:
        url = with_credentials(url, queue_user(submission.id), submission.queue_password)
    encoded = base64.b64encode(url.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": secret_name(submission.id),
            "namespace": namespace_of(submission.spec, settings),
            "labels": _labels(submission, WORKER_ROLE, 0),
        },
        "data": {_URL_KEY: encoded},
    }


def with_credentials(url: str, user: str, password: str) -> str:
    """The Redis URL with this user's credentials in place of its own."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("username", "password")]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def _labels(submission: Submission, role: str, generation: int) -> dict[str, str]:
    return {
        **submission.spec.labels,
        _NAME: submission.spec.name,
        _MANAGED_BY: "asperathos",
        SUBMISSION_LABEL: submission.id,
        ROLE_LABEL: role,
        GENERATION_LABEL: str(generation),
    }


def _worker_pod(submission: Submission, settings: ManifestSettings) -> dict[str, Any]:
    spec = submission.spec
    container: dict[str, Any] = {
        "name": _CONTAINER,
        "image": spec.image or settings.default_image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(spec.command if spec.command is not None else settings.runner_command),
        "env": _worker_env(submission, settings),
        "securityContext": _container_security(),
    }
    resources = _resources(spec.resources)
    if resources:
        container["resources"] = resources
    if spec.working_dir is not None:
        container["workingDir"] = spec.working_dir
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(spec.grace_period),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        "containers": [container],
    }
    _place(pod, spec)
    return pod


def _place(pod: dict[str, Any], spec: SubmissionSpec) -> None:
    if spec.secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.secrets]
    if spec.node_selector:
        pod["nodeSelector"] = dict(spec.node_selector)
    if spec.tolerations:
        pod["tolerations"] = [_toleration(toleration) for toleration in spec.tolerations]


def _worker_env(submission: Submission, settings: ManifestSettings) -> list[dict[str, Any]]:
    spec = submission.spec
    if spec.queue == "dedicated":
        ours: list[dict[str, Any]] = [_plain("REDIS_HOST", submission.redis_host)]
    else:
        ours = [
            {
                "name": "ASPERATHOS_REDIS_URL",
                "valueFrom": {"secretKeyRef": {"name": secret_name(submission.id), "key": _URL_KEY}},
            },
            _plain("ASPERATHOS_SUBMISSION", submission.id),
            _plain("ASPERATHOS_GRACE_SECONDS", f"{spec.grace_period:g}"),
            _plain("ASPERATHOS_RESULT_LIMIT", str(settings.result_limit)),
        ]
        if spec.item_timeout is not None:
            ours.append(_plain("ASPERATHOS_ITEM_TIMEOUT", f"{spec.item_timeout:g}"))
        if spec.run is not None:
            # Kubernetes expands $(NAME) in values; the template is the user's shell text and must arrive as written.
            ours.append(_plain("ASPERATHOS_RUN", spec.run.replace("$", "$$")))
    ours.append(_from_field("POD_NAME", "metadata.name"))
    taken = {entry["name"] for entry in ours}
    users = [_plain(name, value) for name, value in spec.env.items() if name not in taken]
    return [*ours, *users]


def _plain(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _resources(resources: Resources) -> dict[str, dict[str, str]]:
    requests = {"cpu": resources.cpu, "memory": resources.memory}
    limits = {
        "cpu": resources.cpu_limit,
        "memory": resources.memory_limit,
        "nvidia.com/gpu": str(resources.gpu) if resources.gpu else None,
    }
    sides = {"requests": requests, "limits": limits}
    return {
        side: kept
        for side, values in sides.items()
        if (kept := {name: value for name, value in values.items() if value is not None})
    }


def _toleration(toleration: Toleration) -> dict[str, str]:
    return {name: str(value) for name, value in toleration.model_dump().items() if value is not None}


def _container_security() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _pod_security(settings: ManifestSettings) -> dict[str, Any]:
    security: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if settings.run_as_non_root:
        security |= {"runAsNonRoot": True, "runAsUser": 65532}
    return security
