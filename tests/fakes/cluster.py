"""A Kubernetes cluster in memory: elastic Indexed Jobs with per-index back-off, and hooks to play the pods' part."""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.domain.access import Access
from common.domain.capacity import Capacity
from common.domain.cluster import (
    GENERATION_LABEL,
    INSTALLATION_LABEL,
    ROLE_LABEL,
    SUBMISSION_LABEL,
    WORKER_ROLE,
    ClusterEvent,
    JobView,
    LogLine,
    NodeView,
    PodView,
    SubmissionView,
)
from common.domain.errors import ClusterError, Unavailable
from common.domain.progress import Usage
from common.ports import Clock
from tests.fakes.clock import FakeClock

BACKOFF_BASE = 10.0
BACKOFF_CAP = 600.0


@dataclass
class FakePod:
    """A pod; tests may read and set its fields, but end it through FakeCluster.finish."""

    name: str
    namespace: str
    manifest: dict[str, Any]
    created_at: float
    job: str = ""
    index: int = -1
    phase: str = "Pending"
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    ip: str = ""
    deleting: bool = False
    disrupted: bool = False
    failures: int = 0
    ignored: int = 0
    counted: bool = False
    released: bool = False
    """The Job has let go of it: it removed the pod itself, or another has taken its place."""
    log: str = ""

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.manifest["metadata"].get("labels") or {})

    @property
    def over(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass
class FakeJob:
    """A Job and what its controller remembers."""

    name: str
    namespace: str
    manifest: dict[str, Any]
    completions: int
    parallelism: int
    suspended: bool
    succeeded: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failed: int = 0
    waits: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    """Index -> counted failures, ignored failures, time of the last one."""
    ended: str = ""
    reason: str = ""
    message: str = ""
    pods_made: int = 0
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.manifest["metadata"].get("labels") or {})


class FakeCluster:
    """Implements ports.Cluster. With ``auto_start`` pods run as soon as they exist; with ``lingering`` a deleted pod
    stays, terminating, until the test ends it. ``down``: the API server does not answer. ``refusal``: it refuses
    to create anything, with that message."""

    def __init__(self, clock: Clock | None = None, auto_start: bool = True, lingering: bool = False) -> None:
        self.clock: Clock = clock or FakeClock()
        self.auto_start = auto_start
        self.lingering = lingering
        self.down = False
        self.refusal = ""
        self.jobs: dict[tuple[str, str], FakeJob] = {}
        self.pods: dict[tuple[str, str], FakePod] = {}
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.config_maps: dict[tuple[str, str], dict[str, Any]] = {}
        self.services: dict[tuple[str, str], dict[str, Any]] = {}
        self.deployments: dict[tuple[str, str], dict[str, Any]] = {}
        self.told: list[tuple[str, str, ClusterEvent]] = []
        self.calls: list[str] = []
        self.deletions: list[tuple[str, float | None]] = []
        self.scalings: list[tuple[str, int]] = []
        self.kubernetes = "v1.36.0-fake"
        self.namespaces = {"default"}
        self.denied: set[Access] = set()
        self.offered = Capacity(replicas=110, cpu=4.0, memory=8.0 * 2**30, gpus=0)
        self.usages: dict[str, Usage] | None = None
        """By pod; None: the cluster does not measure."""
        self._addresses = 1

    # The port.

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        self._enter("create_job")
        self._may_create()
        body = copy.deepcopy(dict(manifest))
        namespace, name = _place(body)
        if (namespace, name) in self.jobs:
            return False
        spec = body["spec"]
        if spec.get("completionMode") != "Indexed":
            raise ClusterError("the fake knows Indexed Jobs only", "Invalid")
        self.jobs[namespace, name] = FakeJob(
            name, namespace, body, spec["completions"], spec["parallelism"], bool(spec.get("suspend"))
        )
        self._reconcile()
        return True

    def create_deployment(self, manifest: Mapping[str, Any]) -> str:
        self._enter("create_deployment")
        if self._keep(self.deployments, manifest):
            self.deployments[_place(manifest)]["metadata"]["uid"] = uuid.uuid4().hex
            self._reconcile()
        return str(self.deployments[_place(manifest)]["metadata"]["uid"])

    def create_service(self, manifest: Mapping[str, Any]) -> str:
        self._enter("create_service")
        if self._keep(self.services, manifest):
            self._addresses += 1
            self.services[_place(manifest)]["spec"]["clusterIP"] = f"10.96.0.{self._addresses}"
        return str(self.services[_place(manifest)]["spec"]["clusterIP"])

    def create_secret(self, manifest: Mapping[str, Any]) -> bool:
        self._enter("create_secret")
        return self._keep(self.secrets, manifest)

    def create_config_map(self, manifest: Mapping[str, Any]) -> bool:
        self._enter("create_config_map")
        return self._keep(self.config_maps, manifest)

    def adopt_secret(self, namespace: str, name: str, job: str) -> bool:
        self._enter("adopt_secret")
        return self._adopt(self.secrets, namespace, name, job)

    def adopt_config_map(self, namespace: str, name: str, job: str) -> bool:
        self._enter("adopt_config_map")
        return self._adopt(self.config_maps, namespace, name, job)

    def _adopt(self, store: dict[tuple[str, str], dict[str, Any]], namespace: str, name: str, job: str) -> bool:
        self._collect()
        if (namespace, name) not in store or (namespace, job) not in self.jobs:
            return False
        store[namespace, name]["metadata"]["ownerReferences"] = [
            {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": self.jobs[namespace, job].uid}
        ]
        return True

    def scale_job(self, namespace: str, name: str, replicas: int) -> JobView | None:
        self._enter("scale_job")
        self._reconcile()
        job = self.jobs.get((namespace, name))
        if job is None or job.ended:
            return None
        job.suspended = replicas == 0
        if replicas > 0:
            job.completions = job.parallelism = replicas
        self.scalings.append((name, replicas))
        self._reconcile()
        return self._job_view(job)

    def delete_submission(self, namespace: str, submission: str, grace: float | None = None) -> int:
        self._enter("delete_submission")
        jobs = [job for job in self.jobs.values() if self._is_of(job.namespace, job.labels, namespace, submission)]
        pods = [pod for pod in self.pods.values() if self._is_of(pod.namespace, pod.labels, namespace, submission)]
        kept = [
            (store, place)
            for store in (self.secrets, self.config_maps, self.services, self.deployments)
            for place, body in store.items()
            if self._is_of(place[0], body["metadata"].get("labels") or {}, namespace, submission)
        ]
        self.deletions.append((submission, grace))
        for job in jobs:
            del self.jobs[job.namespace, job.name]
        for store, place in kept:
            del store[place]
        for pod in pods:
            self._remove(pod, grace)
        return len(jobs) + len(pods) + len(kept)

    def delete_job(self, namespace: str, name: str, grace: float | None = None) -> bool:
        self._enter("delete_job")
        self.deletions.append((name, grace))
        if self.jobs.pop((namespace, name), None) is None:
            return False
        for pod in [pod for pod in self.pods.values() if pod.namespace == namespace and pod.job == name]:
            self._remove(pod, grace)
        return True

    def view(self, namespace: str, submission: str) -> SubmissionView:
        return self.views(namespace).get(submission, SubmissionView())

    def views(self, namespace: str) -> dict[str, SubmissionView]:
        self._enter("views")
        self._reconcile()
        jobs: dict[str, list[JobView]] = {}
        pods: dict[str, list[PodView]] = {}
        for job in self.jobs.values():
            if job.namespace == namespace:
                jobs.setdefault(job.labels.get(SUBMISSION_LABEL, ""), []).append(self._job_view(job))
        for pod in self.pods.values():
            if pod.namespace == namespace:
                view = dataclasses.replace(_pod_view(pod), tracked=self._is_tracked(pod))
                pods.setdefault(pod.labels.get(SUBMISSION_LABEL, ""), []).append(view)
        return {
            id: SubmissionView(tuple(jobs.get(id, ())), tuple(pods.get(id, ()))) for id in jobs.keys() | pods.keys()
        }

    def usage(self, namespace: str) -> Mapping[str, Usage] | None:
        self._enter("usage")
        if self.usages is None:
            return None
        return {pod: used for pod, used in self.usages.items() if (namespace, pod) in self.pods}

    def pod_log(self, namespace: str, pod: str, limit: int = 65536) -> str:
        self._enter("pod_log")
        known = self.pods.get((namespace, pod))
        return "" if known is None else known.log[-limit:]

    def pod_log_since(self, namespace: str, pod: str, since: int = 0, tail: int | None = None) -> list[LogLine]:
        self._enter("pod_log_since")
        known = self.pods.get((namespace, pod))
        text = "" if known is None else known.log
        # The fake's pods write their lines a second apart from their creation on.
        first = 0 if known is None else int(known.created_at)
        lines = [
            LogLine((first + at) * 10**9, line.rstrip("\n"), line.endswith("\n"))
            for at, line in enumerate(text.splitlines(keepends=True))
        ]
        lines = [line for line in lines if line.at >= since * 10**9]
        return lines if tail is None else lines[max(0, len(lines) - tail) :]

    def events(self, namespace: str, submission: str) -> list[ClusterEvent]:
        self._enter("events")
        return [event for place, id, event in self.told if (place, id) == (namespace, submission)]

    def nodes(self) -> list[NodeView]:
        self._enter("nodes")
        return [NodeView("fake", True, 4.0, 8.0 * 2**30, 110)]

    def offer(self) -> Capacity:
        self._enter("offer")
        return self.offered

    def version(self) -> str:
        self._enter("version")
        return self.kubernetes

    def has_namespace(self, namespace: str) -> bool:
        self._enter("has_namespace")
        return namespace in self.namespaces

    def allowed(self, namespace: str, access: Access) -> bool:
        self._enter("allowed")
        return access not in self.denied

    # What tests do.

    def running(self, submission: str = "") -> list[FakePod]:
        """Running pods (of one submission), workers by index."""
        self._reconcile()
        found = [
            pod
            for pod in self.pods.values()
            if pod.phase == "Running" and not pod.deleting and submission in ("", pod.labels.get(SUBMISSION_LABEL))
        ]
        return sorted(found, key=lambda pod: (pod.index, pod.name))

    def start(self, pod: FakePod) -> None:
        """Its container runs."""
        pod.phase, pod.started_at, pod.reason, pod.message = "Running", self.clock.now(), "", ""
        self._addresses += 1
        pod.ip = f"127.0.{self._addresses // 256}.{self._addresses % 256}"

    def hold(self, pod: FakePod, reason: str, message: str = "") -> None:
        """It cannot start, and says why."""
        pod.phase, pod.reason, pod.message = "Pending", reason, message

    def finish(self, pod: FakePod, exit_code: int, log: str = "", reason: str = "") -> None:
        """Its container ends."""
        pod.phase = "Succeeded" if exit_code == 0 else "Failed"
        pod.exit_code, pod.finished_at = exit_code, self.clock.now()
        pod.reason = reason or ("Completed" if exit_code == 0 else "Error")
        pod.log = log or pod.log
        self._account(pod)
        if pod.deleting and not self._is_tracked(pod):
            self.pods.pop((pod.namespace, pod.name), None)
        self._reconcile()

    def delete_pod(self, pod: FakePod, exit_code: int = 143) -> None:
        """Somebody deletes it, and its container ends so on SIGTERM."""
        pod.deleting = True
        self.finish(pod, exit_code)

    def evict(self, pod: FakePod, exit_code: int = 143) -> None:
        """The cluster takes it away: a disruption."""
        pod.disrupted = True
        self.finish(pod, exit_code, reason="Evicted")

    def tell(self, namespace: str, submission: str, reason: str, message: str, warning: bool = True) -> None:
        """Record an event."""
        event = ClusterEvent(self.clock.now(), "Pod", submission, reason, message, warning)
        self.told.append((namespace, submission, event))

    def _collect(self) -> None:
        """The garbage collector: what a Job or Deployment owns goes with it."""
        alive = {job.uid for job in self.jobs.values()}
        alive |= {body["metadata"]["uid"] for body in self.deployments.values()}
        for store in (self.secrets, self.config_maps, self.services):
            for place, body in list(store.items()):
                owners = body["metadata"].get("ownerReferences") or ()
                if owners and not any(owner["uid"] in alive for owner in owners):
                    del store[place]

    # The Job controller.

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        if self.down:
            raise Unavailable("the cluster does not answer: the test says so")

    def _may_create(self) -> None:
        if self.refusal:
            raise ClusterError(self.refusal, "Forbidden")

    def _keep(self, store: dict[tuple[str, str], dict[str, Any]], manifest: Mapping[str, Any]) -> bool:
        self._may_create()
        body = copy.deepcopy(dict(manifest))
        place = _place(body)
        if place in store:
            return False
        store[place] = body
        return True

    @staticmethod
    def _is_of(place: str, labels: Mapping[str, str], namespace: str, submission: str) -> bool:
        return place == namespace and labels.get(SUBMISSION_LABEL) == submission

    def _remove(self, pod: FakePod, grace: float | None) -> None:
        if pod.over or not self.lingering or grace == 0:
            self.pods.pop((pod.namespace, pod.name), None)
            return
        pod.deleting = True

    def _reconcile(self) -> None:
        self._collect()
        for job in list(self.jobs.values()):
            self._reconcile_job(job)
        for body in list(self.deployments.values()):
            self._reconcile_deployment(body)
        if self.auto_start:
            for pod in self.pods.values():
                if pod.phase == "Pending" and not pod.deleting and not pod.reason:
                    self.start(pod)

    def _reconcile_deployment(self, body: dict[str, Any]) -> None:
        """One pod at a time, as Recreate does."""
        namespace, name = _place(body)
        template = copy.deepcopy(body["spec"]["template"])
        template["metadata"]["labels"]["pod-template-hash"] = "fake"
        mine = [pod for pod in self.pods.values() if pod.namespace == namespace and pod.name.startswith(f"{name}-")]
        if not any(not pod.over for pod in mine):
            self._addresses += 1
            made = f"{name}-fake-{self._addresses:05d}"
            self.pods[namespace, made] = FakePod(made, namespace, template, self.clock.now())

    def _is_tracked(self, pod: FakePod) -> bool:
        """Whether its Job still reckons with it: it is at work, or it failed and its index waits."""
        job = self.jobs.get((pod.namespace, pod.job))
        if job is None or pod.released:
            return False
        return not pod.over or (not job.ended and pod.index in job.waits)

    def _release(self, pod: FakePod) -> None:
        pod.released = True
        if pod.over and pod.deleting:
            self.pods.pop((pod.namespace, pod.name), None)

    def _account(self, pod: FakePod) -> None:
        job = self.jobs.get((pod.namespace, pod.job))
        if job is None or pod.counted or job.ended or pod.index >= job.completions:
            return
        pod.counted = True
        if pod.phase == "Succeeded":
            job.succeeded.add(pod.index)
            return
        ignored = pod.disrupted or pod.exit_code in _ignored_codes(job.manifest)
        failures, ignored_so_far = pod.failures, pod.ignored
        if ignored:
            ignored_so_far += 1
        else:
            failures += 1
            job.failed += 1
        job.waits[pod.index] = (failures, ignored_so_far, pod.finished_at or self.clock.now())
        limit = job.manifest["spec"].get("backoffLimitPerIndex")
        if limit is not None and failures > limit:
            job.failed_indexes.add(pod.index)

    def _reconcile_job(self, job: FakeJob) -> None:
        if job.ended:
            return
        pods = [pod for pod in self.pods.values() if pod.job == job.name and pod.namespace == job.namespace]
        for pod in pods:
            if pod.over:
                self._account(pod)
        job.succeeded = {index for index in job.succeeded if index < job.completions}
        job.failed_indexes = {index for index in job.failed_indexes if index < job.completions}
        alive = {pod.index: pod for pod in pods if not pod.over}
        if len(job.succeeded) + len(job.failed_indexes) >= job.completions:
            self._end(job, [pod for pod in alive.values() if not pod.deleting])
            return
        for index, pod in list(alive.items()):
            if not pod.deleting and (job.suspended or index >= job.completions):
                pod.counted = True
                pod.released = True
                self._remove(pod, None)
                if (pod.namespace, pod.name) not in self.pods:
                    del alive[index]
        job.waits = {index: wait for index, wait in job.waits.items() if index < job.completions}
        for pod in pods:
            if pod.over and pod.index not in job.waits:
                self._release(pod)
        if job.suspended:
            return
        for index in range(min(job.completions, job.parallelism)):
            if index not in alive and index not in job.succeeded | job.failed_indexes:
                self._create_index(job, index)

    def _create_index(self, job: FakeJob, index: int) -> None:
        failures, ignored, since = job.waits.get(index, (0, 0, 0.0))
        count = failures + ignored
        if count and self.clock.now() < since + min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** (count - 1)):
            return
        job.waits.pop(index, None)
        for pod in [pod for pod in self.pods.values() if (pod.namespace, pod.job) == (job.namespace, job.name)]:
            if pod.index == index:
                self._release(pod)
        job.pods_made += 1
        template = copy.deepcopy(job.manifest["spec"]["template"])
        name = f"{job.name}-{index}-{job.pods_made:05d}"
        pod = FakePod(name, job.namespace, template, self.clock.now(), job.name, index)
        pod.failures, pod.ignored = failures, ignored
        self.pods[pod.namespace, name] = pod

    def _end(self, job: FakeJob, active: list[FakePod]) -> None:
        if job.failed_indexes:
            job.ended, job.reason, job.message = "Failed", "FailedIndexes", "Job has failed indexes"
        elif not active:
            job.ended, job.reason = "Complete", "CompletionsReached"
            job.message = "Reached expected number of succeeded pods"
        if job.ended:
            for pod in active:
                self._remove(pod, None)
            for pod in [pod for pod in self.pods.values() if (pod.namespace, pod.job) == (job.namespace, job.name)]:
                self._release(pod)

    def _job_view(self, job: FakeJob) -> JobView:
        pods = [pod for pod in self.pods.values() if pod.job == job.name and pod.namespace == job.namespace]
        alive = [pod for pod in pods if not pod.over and not pod.deleting]
        return JobView(
            name=job.name,
            namespace=job.namespace,
            submission=job.labels.get(SUBMISSION_LABEL, ""),
            generation=int(job.labels.get(GENERATION_LABEL, "0")),
            parallelism=job.parallelism,
            suspended=job.suspended,
            active=len(alive),
            ready=sum(pod.phase == "Running" for pod in alive),
            succeeded=len(job.succeeded),
            failed=job.failed,
            ended=job.ended,
            reason=job.reason,
            message=job.message,
            installation=job.labels.get(INSTALLATION_LABEL, ""),
        )


def _place(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["metadata"].get("namespace", "default"), body["metadata"]["name"]


def _ignored_codes(manifest: Mapping[str, Any]) -> set[int]:
    codes: set[int] = set()
    for rule in (manifest["spec"].get("podFailurePolicy") or {}).get("rules", ()):
        if rule["action"] == "Ignore" and rule.get("onExitCodes", {}).get("operator") == "In":
            codes |= set(rule["onExitCodes"]["values"])
    return codes


def _pod_view(pod: FakePod) -> PodView:
    labels = pod.labels
    return PodView(
        name=pod.name,
        namespace=pod.namespace,
        submission=labels.get(SUBMISSION_LABEL, ""),
        generation=int(labels.get(GENERATION_LABEL, "0")),
        index=pod.index,
        role=labels.get(ROLE_LABEL, WORKER_ROLE),
        phase=pod.phase,
        created_at=pod.created_at,
        started_at=pod.started_at,
        finished_at=pod.finished_at,
        exit_code=pod.exit_code,
        reason=pod.reason,
        message=pod.message,
        ip=pod.ip,
        node="fake",
        deleting=pod.deleting,
        disrupted=pod.disrupted,
        installation=labels.get(INSTALLATION_LABEL, ""),
    )
