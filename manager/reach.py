"""Looks from inside the cluster whether pods reach what workers need: a short-lived Job really connects.

It is made like a submission's, so that the same calls find, read and remove it, and the same network policies hold.
Should the manager die meanwhile, Kubernetes ends and removes it by itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from common.domain.access import Finding
from common.domain.cluster import (
    GENERATION_LABEL,
    ROLE_LABEL,
    SUBMISSION_LABEL,
    WORKER_ROLE,
    PodView,
    SubmissionView,
)
from common.domain.errors import ClusterError, Unavailable
from common.ports import Clock, Cluster
from manager import pods

PODS = "pods"
"""Who finds out: the service of these findings."""
CHECK_LABEL = "asperathos.io/check"
"""What tells such a Job and its pod from a submission's."""
_CONTAINER = "check"
_USER = 65532
_POLL = 0.2
_KEPT = 60
_UNMADE = 3.0
"""Seconds after which a Job without a pod is asked why."""
_HOPELESS = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerError"})
_LOG_BYTES = 65536


@dataclass(frozen=True)
class Target:
    """What pods have to reach: its name, the URL without credentials, and the setting that says where it is."""

    name: str
    url: str
    setting: str


@dataclass(frozen=True)
class ProbeSettings:
    """``script`` is the text of ``pod_probe``; the image needs a python3. ``timeout`` in seconds, start included."""

    namespace: str
    image: str
    script: str
    timeout: float = 60.0


def targets(redis_url: str, manager_url: str) -> tuple[Target, ...]:
    """Redis for every worker, and the manager for those that take items over HTTP."""
    return (
        Target("redis", without_credentials(redis_url), "ASPERATHOS_WORKER_REDIS_URL"),
        Target("manager", without_credentials(manager_url), "ASPERATHOS_WORKER_MANAGER_URL"),
    )


def without_credentials(url: str) -> str:
    """Scheme, host and port only: a pod that only knocks needs no password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def probe_job(id: str, wanted: tuple[Target, ...], settings: ProbeSettings) -> dict[str, Any]:
    """The Job: one attempt, ended by Kubernetes after the timeout, and removed a minute later."""
    labels = {
        "app.kubernetes.io/managed-by": "asperathos",
        SUBMISSION_LABEL: id,
        ROLE_LABEL: WORKER_ROLE,
        CHECK_LABEL: "reach",
        GENERATION_LABEL: "1",
    }
    amounts = {"cpu": "100m", "memory": "64Mi"}
    container = {
        "name": _CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", settings.script, *(target.url for target in wanted)],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": pods.container_security(),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{id}-g1", "namespace": settings.namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, int(settings.timeout)),
            "ttlSecondsAfterFinished": _KEPT,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": pods.pod_security(_USER, True),
                    "containers": [container],
                },
            },
        },
    }


class ReachProbe:
    """``look`` never raises for what the cluster does: that is a finding."""

    def __init__(self, cluster: Cluster, wanted: tuple[Target, ...], settings: ProbeSettings, clock: Clock) -> None:
        self._cluster = cluster
        self._targets = wanted
        self._settings = settings
        self._clock = clock

    def look(self) -> list[Finding]:
        """Have a pod connect to each target, and remove it."""
        id = f"check-{secrets.token_hex(4)}"
        try:
            self._cluster.create_job(probe_job(id, self._targets, self._settings))
            try:
                return list(self._findings(*self._outcome(id)))
            finally:
                self._remove(id)
        except (ClusterError, Unavailable) as error:
            return list(self._findings("", f"no pod could be made to look: {error.message}"))

    def _remove(self, id: str) -> None:
        # What cannot be removed now removes itself.
        with suppress(ClusterError, Unavailable):
            self._cluster.delete_submission(self._settings.namespace, id, grace=0)

    def _outcome(self, id: str) -> tuple[str, str]:
        """The probe's log, and why it may say nothing."""
        namespace = self._settings.namespace
        began = self._clock.monotonic()
        while True:
            view = self._cluster.view(namespace, id)
            pod = view.pods[-1] if view.pods else None
            if pod is not None and pod.ended:
                return self._cluster.pod_log(namespace, pod.name, _LOG_BYTES), _ending(pod)
            waited = self._clock.monotonic() - began
            trouble = self._trouble(view, id, pod, waited)
            if trouble:
                return "", trouble
            self._clock.sleep(_POLL)

    def _trouble(self, view: SubmissionView, id: str, pod: PodView | None, waited: float) -> str:
        """Why no answer is to be expected any more; '' to go on waiting."""
        if pod is None and waited > _UNMADE:
            warnings = [event for event in self._cluster.events(self._settings.namespace, id) if event.warning]
            if warnings:
                return f"no pod could be made to look: {warnings[-1].reason}: {warnings[-1].message}"
        job = view.job(1)
        if pod is None and job is not None and job.ended:
            return f"no pod could be made to look: {job.reason}: {job.message}"
        said = f"{pod.reason}: {pod.message}".strip(": ") if pod is not None and pod.reason else ""
        if pod is not None and pod.reason in _HOPELESS:
            return f"the pod that was to look cannot start: {said}"
        if waited <= self._settings.timeout:
            return ""
        late = f"the pod that was to look did not end within {self._settings.timeout:g} s"
        return f"{late}: {said}" if said else late

    def _findings(self, log: str, trouble: str) -> Iterator[Finding]:
        answers = dict(_answers(log))
        for target in self._targets:
            answer = answers.get(target.url)
            if answer is None:
                yield Finding(service=PODS, name=target.name, ok=False, message=trouble or "the probe said nothing")
            elif answer["ok"]:
                yield Finding(service=PODS, name=target.name, ok=True, message=target.url)
            else:
                message = f"{target.url} from a pod: {answer['message']}; {target.setting} says where pods reach it"
                yield Finding(service=PODS, name=target.name, ok=False, message=message)


def _ending(pod: PodView) -> str:
    """For a probe that ended without an answer: most likely its image has no python3."""
    cause = f": {pod.message}" if pod.message else ""
    code = f" with code {pod.exit_code}" if pod.exit_code is not None else ""
    return f"the pod that was to look ended{code}{cause}; it needs an image with python3: ASPERATHOS_CHECK_IMAGE"


def _answers(log: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line in log.splitlines():
        try:
            said = json.loads(line)
            yield str(said["url"]), {"ok": bool(said["ok"]), "message": str(said["message"])}
        except (ValueError, KeyError, TypeError):
            # Something else that the image says.
            continue
