"""The Cluster port on a Kubernetes API server.

Jobs and pods are watched: a namespace costs two quiet connections, however many submissions there are and however often
they are looked at. Events are listed through a short-lived cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.adapters.kubernetes_logs import log_lines, rfc3339
from common.adapters.kubernetes_usage import FRESH, UsageReader
from common.adapters.kubernetes_views import (
    event_view,
    is_ending,
    job_view,
    left_over,
    node_view,
    pod_requests,
    pod_view,
    submission_view,
)
from common.adapters.kubernetes_watch import Follower, WatchSettings
from common.clock import SystemClock
from common.domain.access import Access
from common.domain.capacity import Capacity, Requests
from common.domain.cluster import SUBMISSION_LABEL, ClusterEvent, JobView, LogLine, NodeView, SubmissionView
from common.domain.errors import AsperathosError, ClusterError, Unavailable
from common.domain.progress import Usage
from common.ports import Clock

T = TypeVar("T")
MERGE_PATCH = "application/merge-patch+json"
_SCALE_ATTEMPTS = 6
_LOG_BYTES = 4 << 20
_MOST_SILENCE = 5.0
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_TEMPLATE_LABEL = "pod-template-hash"
"""What a Deployment's pods have and no others."""
_NO_ADDRESS = "None"
"""As Kubernetes writes it."""
_ABSENCE_AGE = 0.5
"""Seconds; that a submission has no Job is told only when a list not older than this says so."""
_PODS_AT_WORK = "status.phase!=Succeeded,status.phase!=Failed"
_PAGE = 500
_READING = 0.1
"""Share of the time that is spent with reading one cached value at most."""


class _Namespace:
    """The mirrors of one namespace."""

    def __init__(
        self, api: KubernetesApi, namespace: str, clock: Clock, settings: WatchSettings, resumed: Callable[[], None]
    ) -> None:
        self.jobs = Follower(api, _jobs(namespace), job_view, clock, settings, resumed)
        self.pods = Follower(api, _pods(namespace), pod_view, clock, settings, resumed)


class KubernetesCluster:
    """Implements ports.Cluster. Threads may share it; it connects at its first call.

    ``kubeconfig``: a path; empty means in-cluster, then the default file. ``timeout`` bounds the server's silence in
    one request, ``events_age`` and ``usage_age`` are how old these may be; all in seconds.
    ``document``: a kubeconfig without references to files, instead of one at a path. ``resumed`` is told of each watch
    that is open again after one that broke.
    """

    def __init__(
        self,
        kubeconfig: str = "",
        timeout: float = 5.0,
        *,
        watching: WatchSettings | None = None,
        events_age: float = 2.0,
        usage_age: float = FRESH,
        clock: Clock | None = None,
        document: Mapping[str, Any] | None = None,
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        self._resumed = resumed
        self._clock = clock or SystemClock()
        self._api = KubernetesApi(ApiSettings(kubeconfig=kubeconfig, read=timeout, document=document), self._clock)
        self._watching = watching or WatchSettings()
        self._lock = threading.Lock()
        self._namespaces: dict[str, _Namespace] = {}
        self._events = _Cache(self._list_events, self._clock, events_age)
        self._usage = UsageReader(self._api, self._clock, usage_age)

    def close(self) -> None:
        """End the watches and let go of idle connections; calls under way end by themselves."""
        with self._lock:
            namespaces = list(self._namespaces.values())
            self._namespaces.clear()
        for namespace in namespaces:
            namespace.jobs.stop()
            namespace.pods.stop()
        self._api.close()

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        made = self._create("/apis/batch/v1", "jobs", manifest)
        metadata = manifest["metadata"]
        self._mirrors(metadata["namespace"]).jobs.wrote((metadata.get("labels") or {}).get(SUBMISSION_LABEL, ""), made)
        return made is not None

    def create_deployment(self, manifest: Mapping[str, Any]) -> str:
        return str(self._have("/apis/apps/v1", "deployments", manifest)["metadata"]["uid"])

    def create_service(self, manifest: Mapping[str, Any]) -> str:
        service = self._have("/api/v1", "services", manifest)
        address = str(service["spec"].get("clusterIP") or _NO_ADDRESS)
        metadata = service["metadata"]
        return f"{metadata['name']}.{metadata['namespace']}.svc" if address == _NO_ADDRESS else address

    def create_secret(self, manifest: Mapping[str, Any]) -> bool:
        return self._create("/api/v1", "secrets", manifest) is not None

    def create_config_map(self, manifest: Mapping[str, Any]) -> bool:
        return self._create("/api/v1", "configmaps", manifest) is not None

    def adopt_secret(self, namespace: str, name: str, job: str) -> bool:
        return self._adopt(_secrets(namespace), namespace, name, job)

    def adopt_config_map(self, namespace: str, name: str, job: str) -> bool:
        return self._adopt(_config_maps(namespace), namespace, name, job)

    def _adopt(self, path: str, namespace: str, name: str, job: str) -> bool:
        try:
            owner = self._api.call("GET", f"{_jobs(namespace)}/{quote(job)}").json()
            reference = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": job,
                "uid": owner["metadata"]["uid"],
            }
            # A merge patch replaces the list: the Job of an earlier generation owns it no longer.
            patch = {"metadata": {"ownerReferences": [reference]}}
            self._api.call("PATCH", f"{path}/{quote(name)}", body=patch, content_type=MERGE_PATCH)
        except ClusterError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    def scale_job(self, namespace: str, name: str, replicas: int) -> JobView | None:
        path = f"{_jobs(namespace)}/{quote(name)}"
        refusal: ClusterError | None = None
        for _ in range(_SCALE_ATTEMPTS):
            try:
                job = self._api.call("GET", path).json()
                if is_ending(job) or job["metadata"].get("deletionTimestamp"):
                    return None
                patch = _scale_patch(job, replicas)
                if patch is None:
                    return job_view(job)
                # The version in it makes sure that the Job has not ended since it was read.
                patched = self._api.call("PATCH", path, body=patch, content_type=MERGE_PATCH).json()
            except ClusterError as error:
                if error.reason == "NotFound":
                    return None
                if error.reason not in ("Conflict", "Invalid"):
                    raise
                if error.reason == "Invalid" and refusal is not None and refusal.reason == "Invalid":
                    raise
                refusal = error
                continue
            scaled = job_view(patched)
            self._mirrors(namespace).jobs.wrote(scaled.submission, patched)
            return scaled
        raise refusal or ClusterError(f"Job {name} changes too often to be scaled", "Conflict")

    def delete_submission(self, namespace: str, submission: str, grace: float | None = None) -> int:
        selector = f"{SUBMISSION_LABEL}={submission}"
        deleted = 0
        for path in (_jobs(namespace), _deployments(namespace)):
            # Their own grace period means nothing: a Job's pods get theirs when they are deleted below.
            deleted += self._delete_matching(path, selector, None)
        # A Deployment's pods go with it; deleted one by one, they would only be replaced.
        deleted += self._delete_matching(_pods(namespace), f"{selector},!{_TEMPLATE_LABEL}", grace)
        for path in (_services(namespace), _secrets(namespace), _config_maps(namespace)):
            deleted += self._delete_matching(path, selector, None)
        self._deleted(namespace, submission)
        return deleted

    def delete_job(self, namespace: str, name: str, grace: float | None = None) -> bool:
        try:
            self._api.call("DELETE", f"{_jobs(namespace)}/{quote(name)}", body=_delete_options(None))
            was_there = True
        except ClusterError as error:
            if error.reason != "NotFound":
                raise
            was_there = False
        if grace is not None:
            self._delete_matching(_pods(namespace), f"{_JOB_NAME_LABEL}={name}", grace)
        self._deleted(namespace, self._mirrors(namespace).jobs.mirror.owner(name))
        return was_there

    def view(self, namespace: str, submission: str) -> SubmissionView:
        mirrors = self._mirrors(namespace)
        jobs = mirrors.jobs.current(submission)
        if not jobs.of(submission):
            # Much follows from a Job's absence, so it is never concluded from an event that may be under way.
            mirrors.jobs.confirm(submission, _ABSENCE_AGE)
        return submission_view(jobs.of(submission), mirrors.pods.current(submission).of(submission))

    def views(self, namespace: str) -> dict[str, SubmissionView]:
        mirrors = self._mirrors(namespace)
        jobs, pods = mirrors.jobs.current(), mirrors.pods.current()
        found = {*jobs.submissions(), *pods.submissions()}
        return {id: submission_view(jobs.of(id), pods.of(id)) for id in found if id}

    def usage(self, namespace: str) -> Mapping[str, Usage] | None:
        return self._usage.of(namespace)

    def pod_log(self, namespace: str, pod: str, limit: int = 65536) -> str:
        lines = max(10, limit // 32)
        try:
            body = self._log_tail(namespace, pod, lines)
            while len(body) >= _LOG_BYTES and lines > 1:
                # limitBytes cuts off the end of what tailLines selects, and it is the end that is wanted.
                lines = max(1, lines // 16)
                body = self._log_tail(namespace, pod, lines)
        except ClusterError as error:
            # No such pod (any more), or a container that has not started.
            if error.reason in ("NotFound", "BadRequest"):
                return ""
            raise
        return body[-limit:].decode("utf-8", "replace")

    def pod_log_since(self, namespace: str, pod: str, since: int = 0, tail: int | None = None) -> list[LogLine]:
        query = [("timestamps", "true"), ("limitBytes", str(_LOG_BYTES))]
        if since > 0:
            query.append(("sinceTime", rfc3339(since)))
        if tail is not None:
            query.append(("tailLines", str(tail)))
        try:
            body = self._api.call("GET", f"{_pods(namespace)}/{quote(pod)}/log", query, accept="*/*").body
        except ClusterError as error:
            if error.reason in ("NotFound", "BadRequest"):
                return []
            raise
        return log_lines(body)

    def events(self, namespace: str, submission: str) -> list[ClusterEvent]:
        prefix = f"{submission}-"
        return [event for event in self._events.get(namespace) if event.object.startswith(prefix)]

    def nodes(self) -> list[NodeView]:
        listed = self._api.call("GET", "/api/v1/nodes").json()
        return sorted(map(node_view, listed.get("items") or ()), key=lambda node: node.name)

    def offer(self) -> Capacity:
        nodes = [node for node in self.nodes() if node.ready]
        others: list[Requests] = []
        query = [("labelSelector", f"!{SUBMISSION_LABEL}"), ("fieldSelector", _PODS_AT_WORK), ("limit", str(_PAGE))]
        following = ""
        while True:
            page = [*query, ("continue", following)] if following else query
            listed = self._api.call("GET", "/api/v1/pods", page).json()
            others += map(pod_requests, listed.get("items") or ())
            following = str((listed.get("metadata") or {}).get("continue") or "")
            if not following:
                return left_over(nodes, others)

    def version(self) -> str:
        return str(self._api.call("GET", "/version").json().get("gitVersion", ""))

    def has_namespace(self, namespace: str) -> bool:
        try:
            self._api.call("GET", f"/api/v1/namespaces/{quote(namespace)}")
        except ClusterError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    def allowed(self, namespace: str, access: Access) -> bool:
        review = self._api.call("POST", _ACCESS_REVIEWS, body=_access_review(namespace, access)).json()
        return bool((review.get("status") or {}).get("allowed"))

    def _log_tail(self, namespace: str, pod: str, lines: int) -> bytes:
        query = [("tailLines", str(lines)), ("limitBytes", str(_LOG_BYTES))]
        return self._api.call("GET", f"{_pods(namespace)}/{quote(pod)}/log", query, accept="*/*").body

    def _mirrors(self, namespace: str) -> _Namespace:
        with self._lock:
            if namespace not in self._namespaces:
                self._namespaces[namespace] = _Namespace(
                    self._api, namespace, self._clock, self._watching, self._resumed
                )
            return self._namespaces[namespace]

    def _deleted(self, namespace: str, submission: str) -> None:
        """A deletion's answer has no version, so its next view (all, where it is not known whose) is read anew."""
        mirrors = self._mirrors(namespace)
        mirrors.jobs.wrote(submission)
        mirrors.pods.wrote(submission)

    def _create(self, group: str, plural: str, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """The object made; None when one by that name is there already."""
        namespace = manifest["metadata"]["namespace"]
        try:
            return self._api.call("POST", f"{group}/namespaces/{quote(namespace)}/{plural}", body=manifest).json()
        except ClusterError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    def _have(self, group: str, plural: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The object, made or as it is there."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        made = self._create(group, plural, manifest)
        if made is not None:
            return made
        return self._api.call("GET", f"{group}/namespaces/{quote(namespace)}/{plural}/{quote(name)}").json()

    def _delete_matching(self, path: str, selector: str, grace: float | None) -> int:
        query = [("labelSelector", selector)]
        answer = self._api.call("DELETE", path, query, body=_delete_options(grace)).json()
        return len(answer.get("items") or ())

    def _list_events(self, namespace: str) -> list[ClusterEvent]:
        """Page by page: a busy namespace has thousands, of which little is kept."""
        found: list[ClusterEvent] = []
        following = ""
        while True:
            query = [("limit", str(_PAGE)), *([("continue", following)] if following else ())]
            listed = self._api.call("GET", f"/api/v1/namespaces/{quote(namespace)}/events", query).json()
            found += map(event_view, listed.get("items") or ())
            following = str((listed.get("metadata") or {}).get("continue") or "")
            if not following:
                return sorted(found, key=lambda event: event.at)


@dataclass
class _Entry(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    problem: AsperathosError | None = None
    until: float = 0.0


class _Cache(Generic[T]):
    """One value per namespace, read anew when older than ``max_age`` seconds; one reader at a time.

    What took long to read is read less often: reading takes a tenth of the time at most. That the server does not
    answer is remembered too, for as long as it took to find out (at most a few seconds), so that not every thread waits
    for it anew.
    """

    def __init__(self, read: Callable[[str], T], clock: Clock, max_age: float) -> None:
        self._read = read
        self._clock = clock
        self._max_age = max_age
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry[T]] = {}

    def get(self, namespace: str) -> T:
        entry = self._entry(namespace)
        with entry.lock:
            if self._clock.monotonic() >= entry.until:
                self._refresh(namespace, entry)
            if entry.problem is not None:
                raise entry.problem.with_traceback(None)
            assert entry.value is not None
            return entry.value

    def _refresh(self, namespace: str, entry: _Entry[T]) -> None:
        began = self._clock.monotonic()
        problem: AsperathosError | None = None
        try:
            entry.value = self._read(namespace)
        except (Unavailable, ClusterError) as error:
            problem = error
        ended = self._clock.monotonic()
        took = ended - began
        entry.problem = problem
        entry.until = ended + max(self._max_age, took / _READING if problem is None else min(_MOST_SILENCE, took))

    def _entry(self, namespace: str) -> _Entry[T]:
        with self._lock:
            return self._entries.setdefault(namespace, _Entry())


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{quote(namespace)}/jobs"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/pods"


def _deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{quote(namespace)}/deployments"


def _services(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/services"


def _config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/configmaps"


def _secrets(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/secrets"


def _access_review(namespace: str, access: Access) -> dict[str, Any]:
    attributes = {
        "namespace": namespace,
        "verb": access.verb,
        "group": access.group,
        "resource": access.resource,
        "subresource": access.subresource,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
    }


def _delete_options(grace: float | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    if grace is not None:
        options["gracePeriodSeconds"] = int(grace)
    return options


def _scale_patch(job: Mapping[str, Any], replicas: int) -> dict[str, Any] | None:
    """The patch that gives the Job that size, None when it has it. Zero replicas is a suspended Job of its old size."""
    spec = job["spec"]
    suspended = bool(spec.get("suspend"))
    if replicas == 0:
        change: dict[str, Any] = {"suspend": True}
        done = suspended
    else:
        change = {"suspend": False, "completions": replicas, "parallelism": replicas}
        done = not suspended and (spec.get("completions"), spec.get("parallelism")) == (replicas, replicas)
    if done:
        return None
    return {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"]}, "spec": change}
