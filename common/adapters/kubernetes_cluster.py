"""The Cluster port on a Kubernetes API server.

Listing goes through one short-lived cache for all threads: a namespace costs two requests a ``max_age``, however many
submissions there are. A watch may take the cache's place without a change to the port.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.adapters.kubernetes_views import event_view, is_ending, job_view, node_view, submission_views
from common.clock import SystemClock
from common.domain.cluster import SUBMISSION_LABEL, ClusterEvent, JobView, NodeView, SubmissionView
from common.domain.errors import AsperathosError, ClusterError, Unavailable
from common.ports import Clock

T = TypeVar("T")
MERGE_PATCH = "application/merge-patch+json"
_SCALE_ATTEMPTS = 6
_LOG_BYTES = 4 << 20
_MOST_SILENCE = 5.0
_JOB_NAME_LABEL = "batch.kubernetes.io/job-name"


class KubernetesCluster:
    """Implements ports.Cluster. Threads may share it; it connects at its first call.

    ``kubeconfig``: a path; empty means in-cluster, then the default file. ``timeout`` bounds the server's silence in
    one request, ``max_age`` is how old a view may be and ``events_age`` how old events; all in seconds.
    ``document``: a kubeconfig without references to files, instead of one at a path.
    """

    def __init__(
        self,
        kubeconfig: str = "",
        timeout: float = 5.0,
        *,
        max_age: float = 0.5,
        events_age: float = 2.0,
        clock: Clock | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._api = KubernetesApi(ApiSettings(kubeconfig=kubeconfig, read=timeout, document=document), clock)
        self._views = _Cache(self._list_views, clock, max_age)
        self._events = _Cache(self._list_events, clock, events_age)

    def close(self) -> None:
        """Let go of idle connections; calls under way end by themselves."""
        self._api.close()

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        return self._create("/apis/batch/v1", "jobs", manifest)

    def create_pod(self, manifest: Mapping[str, Any]) -> bool:
        return self._create("/api/v1", "pods", manifest)

    def create_secret(self, manifest: Mapping[str, Any]) -> bool:
        return self._create("/api/v1", "secrets", manifest)

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
            finally:
                self._views.invalidate(namespace)
            return job_view(patched)
        raise refusal or ClusterError(f"Job {name} changes too often to be scaled", "Conflict")

    def delete_submission(self, namespace: str, submission: str, grace: float | None = None) -> int:
        selector = f"{SUBMISSION_LABEL}={submission}"
        deleted = 0
        for path in (_jobs(namespace), _pods(namespace), f"/api/v1/namespaces/{quote(namespace)}/secrets"):
            # A Job's own grace period means nothing: its pods get theirs when they are deleted below.
            deleted += self._delete_matching(path, selector, grace if path == _pods(namespace) else None)
        self._views.invalidate(namespace)
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
        self._views.invalidate(namespace)
        return was_there

    def view(self, namespace: str, submission: str) -> SubmissionView:
        return self.views(namespace).get(submission, SubmissionView())

    def views(self, namespace: str) -> dict[str, SubmissionView]:
        return self._views.get(namespace)

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

    def events(self, namespace: str, submission: str) -> list[ClusterEvent]:
        prefix = f"{submission}-"
        return [event for event in self._events.get(namespace) if event.object.startswith(prefix)]

    def nodes(self) -> list[NodeView]:
        listed = self._api.call("GET", "/api/v1/nodes").json()
        return sorted(map(node_view, listed.get("items") or ()), key=lambda node: node.name)

    def version(self) -> str:
        return str(self._api.call("GET", "/version").json().get("gitVersion", ""))

    def _log_tail(self, namespace: str, pod: str, lines: int) -> bytes:
        query = [("tailLines", str(lines)), ("limitBytes", str(_LOG_BYTES))]
        return self._api.call("GET", f"{_pods(namespace)}/{quote(pod)}/log", query, accept="*/*").body

    def _create(self, group: str, plural: str, manifest: Mapping[str, Any]) -> bool:
        namespace = manifest["metadata"]["namespace"]
        try:
            self._api.call("POST", f"{group}/namespaces/{quote(namespace)}/{plural}", body=manifest)
        except ClusterError as error:
            if error.reason == "AlreadyExists":
                return False
            raise
        finally:
            self._views.invalidate(namespace)
        return True

    def _delete_matching(self, path: str, selector: str, grace: float | None) -> int:
        query = [("labelSelector", selector)]
        answer = self._api.call("DELETE", path, query, body=_delete_options(grace)).json()
        return len(answer.get("items") or ())

    def _list_views(self, namespace: str) -> dict[str, SubmissionView]:
        query = [("labelSelector", SUBMISSION_LABEL)]
        jobs = self._api.call("GET", _jobs(namespace), query).json()
        pods = self._api.call("GET", _pods(namespace), query).json()
        return submission_views(jobs.get("items") or (), pods.get("items") or ())

    def _list_events(self, namespace: str) -> list[ClusterEvent]:
        listed = self._api.call("GET", f"/api/v1/namespaces/{quote(namespace)}/events").json()
        return sorted(map(event_view, listed.get("items") or ()), key=lambda event: event.at)


@dataclass
class _Entry(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    problem: AsperathosError | None = None
    until: float = 0.0
    epoch: int = 0


class _Cache(Generic[T]):
    """One value per namespace, read anew when older than ``max_age`` seconds or invalidated; one reader at a time.

    That the server does not answer is remembered too, for as long as it took to find out (at most a few seconds), so
    that not every thread waits for it anew.
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

    def invalidate(self, namespace: str) -> None:
        """What was read, or is being read now, may lack what was just written."""
        entry = self._entry(namespace)
        with self._lock:
            entry.epoch += 1
            entry.until = 0.0

    def _refresh(self, namespace: str, entry: _Entry[T]) -> None:
        with self._lock:
            epoch = entry.epoch
        began = self._clock.monotonic()
        age = self._max_age
        problem: AsperathosError | None = None
        try:
            entry.value = self._read(namespace)
        except (Unavailable, ClusterError) as error:
            problem = error
            age = max(age, min(_MOST_SILENCE, self._clock.monotonic() - began))
        with self._lock:
            entry.problem = problem
            entry.until = self._clock.monotonic() + age if entry.epoch == epoch else 0.0

    def _entry(self, namespace: str) -> _Entry[T]:
        with self._lock:
            return self._entries.setdefault(namespace, _Entry())


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{quote(namespace)}/jobs"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/pods"


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
