"""Kubernetes objects of a submission. Pure: a specification and settings in, plain manifests out.

Everything carries the submission's label, so that one deletion by label finds all of it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from common.domain.cluster import (
    GENERATION_LABEL,
    INSTALLATION_LABEL,
    QUEUE_ROLE,
    ROLE_LABEL,
    SUBMISSION_LABEL,
    WORKER_ROLE,
)
from common.domain.queues import QUEUE_ADMIN, queue_user
from common.domain.submission import Priority, Submission, SubmissionSpec
from manager import pods
from manager.runner_archive import RunnerArchive

QUEUE_PORT = 6379
"""Where the original's images expect their Redis."""
RELEASED = 143
"""Exit code of a worker that was told to go (SIGTERM): no failure of its index."""
INDEX_FAILURES = 100
"""Failures of one index before Kubernetes gives it up. Generous: whether work is hopeless, the queue decides."""
RUNNER_COMMAND = ("python3", "/asperathos/runner.pyz")
"""Starts the runner where its archive is mounted."""
_RUNNER_VOLUME = "asperathos-runner"
_CONTAINER = "worker"
_MOST_TTL = 2**31 - 1
_DATA = "/data"
_USERS_DIRECTORY = "/asperathos/queue"
_USERS_FILE = "users.acl"
_PASSWORD_KEY = "password"
_URL_KEY = "url"
_TOKEN_KEY = "items-token"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_NAME = "app.kubernetes.io/name"


@dataclass(frozen=True)
class ManifestSettings:
    """What the operator decides. ``worker_redis_url`` and ``worker_manager_url`` are where pods reach the shared Redis
    and the manager. Without a ``runner`` the image must bring what ``runner_command`` names."""

    namespace: str = "default"
    installation: str = ""
    """Label of our objects, '' for none (see ``orphans``)."""
    worker_redis_url: str = "redis://127.0.0.1:6379/0"
    worker_manager_url: str = ""
    default_image: str = "python:3.12-slim"
    runner_command: tuple[str, ...] = ("python3", "-m", "asperathos_worker")
    runner: RunnerArchive | None = None
    queue_image: str = "redis:7"
    queue_command: tuple[str, ...] = ("redis-server",)
    result_limit: int = 1 << 20
    run_as_non_root: bool = False
    default_user: int | None = 65532
    """User id of submissions that name none; None: the image's own."""
    priority_classes: Mapping[Priority, str] = field(default_factory=dict)
    job_ttl: int = 86400
    """Seconds after which Kubernetes removes a Job that ended, beyond the lifetime asked for, if we do not."""


def namespace_of(spec: SubmissionSpec, settings: ManifestSettings) -> str:
    """Where its objects live."""
    return spec.namespace or settings.namespace


def job_name(submission: str, generation: int) -> str:
    """``<submission>-g<generation>``."""
    return f"{submission}-g{generation}"


def queue_name(submission: str) -> str:
    """The Deployment, the Service and the secret of a dedicated queue."""
    return f"{submission}-queue"


def secret_name(submission: str) -> str:
    """The secret with the address (and password) of the shared Redis."""
    return f"{submission}-redis"


def config_map_name(submission: str) -> str:
    """The config map with the runner's archive."""
    return f"{submission}-runner"


def job_ttl(spec: SubmissionSpec, settings: ManifestSettings) -> int:
    """Seconds an ended Job stays at most."""
    return min(_MOST_TTL, math.ceil(spec.job_lifetime) + settings.job_ttl)


def initial_replicas(spec: SubmissionSpec) -> int:
    """How many replicas to start with: what the user asks for, else the fewest that can work."""
    return spec.replicas.initial if spec.replicas.initial is not None else max(1, spec.replicas.min)


def worker_job(submission: Submission, generation: int, replicas: int, settings: ManifestSettings) -> dict[str, Any]:
    """The elastic Indexed Job of one generation. ``replicas`` 0 makes it suspended."""
    spec = submission.spec
    labels = _labels(submission, settings, WORKER_ROLE, generation)
    count = max(1, replicas)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(submission.id, generation),
            "namespace": namespace_of(spec, settings),
            "labels": labels,
            **_annotations(spec),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "suspend": replicas == 0,
            "backoffLimitPerIndex": INDEX_FAILURES,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": job_ttl(spec, settings),
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [RELEASED]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": labels, **_annotations(spec)},
                "spec": _worker_pod(submission, settings),
            },
        },
    }


def queue_deployment(submission: Submission, settings: ManifestSettings) -> dict[str, Any]:
    """The Redis of a submission with a dedicated queue. What else the queue needs is owned by this Deployment.

    A server that ends is started again in its pod, and the volume keeps what its file had. A pod that is lost is
    replaced by an empty one: never two at a time, so that no worker meets a second, empty queue.
    """
    spec = submission.spec
    labels = _labels(submission, settings, QUEUE_ROLE, 0)
    server = (*settings.queue_command, "--bind", "$(POD_IP)", "--port", str(QUEUE_PORT), "--protected-mode", "no")
    files = ("--aclfile", f"{_USERS_DIRECTORY}/{_USERS_FILE}", "--dir", _DATA)
    container: dict[str, Any] = {
        "name": "redis",
        "image": settings.queue_image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*server, *files, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        "env": [_from_field("POD_IP", "status.podIP")],
        "ports": [{"containerPort": QUEUE_PORT, "name": "redis"}],
        "readinessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 2, "timeoutSeconds": 2},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "users", "mountPath": _USERS_DIRECTORY, "readOnly": True},
        ],
        "securityContext": pods.container_security(),
    }
    users = {
        "secretName": queue_name(submission.id),
        "items": [{"key": _USERS_FILE, "path": _USERS_FILE}],
        "defaultMode": 0o444,
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Always",
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "users", "secret": users}],
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pods.pod_security(settings.default_user, settings.run_as_non_root),
        "containers": [container],
    }
    _place(pod, spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": queue_name(submission.id),
            "namespace": namespace_of(spec, settings),
            "labels": labels,
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 0,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _queue_selector(submission)},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def queue_service(submission: Submission, settings: ManifestSettings, owner: str) -> dict[str, Any]:
    """Where a dedicated queue is reached, whatever becomes of its pod; ``owner`` is the Deployment's uid."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned_by_queue(submission, settings, owner),
        "spec": {
            "selector": _queue_selector(submission),
            "ports": [{"name": "redis", "port": QUEUE_PORT, "targetPort": "redis", "protocol": "TCP"}],
        },
    }


def queue_secret(submission: Submission, settings: ManifestSettings, owner: str) -> dict[str, Any]:
    """Who may do what in a dedicated queue's Redis; ``owner`` is the Deployment's uid.

    The suite's user has the password and may do everything. The original's images send no password, and no setting
    makes them: without one the data may be read and written, but the server not be managed or emptied.
    """
    digest = hashlib.sha256(submission.queue_password.encode()).hexdigest()
    users = (
        f"user {QUEUE_ADMIN} on #{digest} ~* &* +@all",
        "user default on nopass ~* &* +@all -@admin -@dangerous +keys +info +sort",
    )
    secrets = {_USERS_FILE: "\n".join(users) + "\n", _PASSWORD_KEY: submission.queue_password}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _owned_by_queue(submission, settings, owner),
        "data": _encoded(secrets),
    }


def _queue_selector(submission: Submission) -> dict[str, str]:
    return {SUBMISSION_LABEL: submission.id, ROLE_LABEL: QUEUE_ROLE}


def _owned_by_queue(submission: Submission, settings: ManifestSettings, owner: str) -> dict[str, Any]:
    name = queue_name(submission.id)
    return {
        "name": name,
        "namespace": namespace_of(submission.spec, settings),
        "labels": _labels(submission, settings, QUEUE_ROLE, 0),
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": owner}],
    }


def redis_secret(submission: Submission, settings: ManifestSettings, items_token: str = "") -> dict[str, Any]:
    """What no manifest may show: the shared Redis's address for the workers, as their own user if they have one, and
    the token with which the pods take items over HTTP ('' for none)."""
    url = settings.worker_redis_url
    if submission.queue_password:
        url = with_credentials(url, queue_user(submission.id), submission.queue_password)
    secrets = {_URL_KEY: url, **({_TOKEN_KEY: items_token} if items_token else {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": secret_name(submission.id),
            "namespace": namespace_of(submission.spec, settings),
            "labels": _labels(submission, settings, WORKER_ROLE, 0),
        },
        "data": _encoded(secrets),
    }


def _encoded(secrets: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in secrets.items()}


def runner_config_map(submission: Submission, settings: ManifestSettings) -> dict[str, Any] | None:
    """The runner's archive for the pods of one submission; None when they do not need it."""
    runner = _mounted_runner(submission.spec, settings)
    if runner is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_map_name(submission.id),
            "namespace": namespace_of(submission.spec, settings),
            "labels": _labels(submission, settings, WORKER_ROLE, 0),
        },
        # Kubelets need not watch what cannot change.
        "immutable": True,
        "binaryData": {PurePosixPath(RUNNER_COMMAND[-1]).name: base64.b64encode(runner.content).decode()},
    }


def _mounted_runner(spec: SubmissionSpec, settings: ManifestSettings) -> RunnerArchive | None:
    return settings.runner if spec.run is not None else None


def with_credentials(url: str, user: str, password: str) -> str:
    """The Redis URL with this user's credentials in place of its own."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("username", "password")]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def _labels(submission: Submission, settings: ManifestSettings, role: str, generation: int) -> dict[str, str]:
    return {
        **submission.spec.labels,
        _NAME: submission.spec.name,
        _MANAGED_BY: "asperathos",
        SUBMISSION_LABEL: submission.id,
        ROLE_LABEL: role,
        GENERATION_LABEL: str(generation),
        **({INSTALLATION_LABEL: settings.installation} if settings.installation else {}),
    }


def _annotations(spec: SubmissionSpec) -> dict[str, dict[str, str]]:
    return {"annotations": dict(spec.annotations)} if spec.annotations else {}


def _worker_pod(submission: Submission, settings: ManifestSettings) -> dict[str, Any]:
    spec = submission.spec
    container: dict[str, Any] = {
        "name": _CONTAINER,
        "image": spec.image or settings.default_image,
        "imagePullPolicy": spec.image_pull_policy,
        "env": _worker_env(submission, settings),
        "securityContext": pods.container_security(),
    }
    if spec.run is not None:
        container["command"] = list(settings.runner_command)
    elif spec.command is not None:
        container["command"] = list(spec.command)
    if spec.args:
        container["args"] = list(spec.args)
    resources = pods.resources(spec.resources)
    if resources:
        container["resources"] = resources
    if spec.working_dir is not None:
        container["workingDir"] = spec.working_dir
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(spec.grace_period),
        "automountServiceAccountToken": spec.service_account is not None,
        "enableServiceLinks": False,
        "securityContext": pods.pod_security(pods.user_of(spec, settings.default_user), settings.run_as_non_root),
        "containers": [container],
    }
    if _knows_its_process(spec):
        # The first process of a namespace of its own would not get a SIGTERM that comes before it listens: it would
        # take items all the same, and be killed with one in hand.
        pod["shareProcessNamespace"] = True
    if spec.service_account is not None:
        pod["serviceAccountName"] = spec.service_account
    if spec.volumes:
        container["volumeMounts"] = pods.mounts(spec.volumes)
        pod["volumes"] = pods.volumes(spec.volumes)
    if _mounted_runner(spec, settings) is not None:
        _mount_runner(pod, container, config_map_name(submission.id))
    if spec.affinity is not None:
        pod["affinity"] = pods.affinity(spec.affinity)
    priority_class = settings.priority_classes.get(spec.priority)
    if priority_class is not None:
        pod["priorityClassName"] = priority_class
    _place(pod, spec)
    return pod


def _knows_its_process(spec: SubmissionSpec) -> bool:
    """Whether we say what runs, and it works by our protocol. An image's own entry point may insist on being process 1,
    and the original's workers were."""
    return spec.queue == "shared" and (spec.run is not None or spec.command is not None)


def _mount_runner(pod: dict[str, Any], container: dict[str, Any], config_map: str) -> None:
    container["command"] = list(RUNNER_COMMAND)
    directory = str(PurePosixPath(RUNNER_COMMAND[-1]).parent)
    volume = {"name": _RUNNER_VOLUME, "configMap": {"name": config_map, "defaultMode": 0o444}}
    mount = {"name": _RUNNER_VOLUME, "mountPath": directory, "readOnly": True}
    pod.setdefault("volumes", []).append(volume)
    container.setdefault("volumeMounts", []).append(mount)


def _place(pod: dict[str, Any], spec: SubmissionSpec) -> None:
    if spec.secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.secrets]
    if spec.node_selector:
        pod["nodeSelector"] = dict(spec.node_selector)
    if spec.tolerations:
        pod["tolerations"] = [pods.toleration(toleration) for toleration in spec.tolerations]


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
        elif settings.worker_manager_url:
            ours += _items_over_http(submission.id, settings)
    ours.append(_from_field("POD_NAME", "metadata.name"))
    taken = {entry["name"] for entry in ours}
    users = [pods.variable(name, value) for name, value in spec.env.items() if name not in taken]
    return [*ours, *users]


def _items_over_http(submission: str, settings: ManifestSettings) -> list[dict[str, Any]]:
    key = {"name": secret_name(submission), "key": _TOKEN_KEY, "optional": True}
    return [
        _plain("ASPERATHOS_ITEMS_URL", f"{settings.worker_manager_url.rstrip('/')}/submissions/{submission}/items"),
        {"name": "ASPERATHOS_ITEMS_TOKEN", "valueFrom": {"secretKeyRef": key}},
    ]


def _plain(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
