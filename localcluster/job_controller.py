"""The Job controller's effects: reads objects, lets ``jobs`` decide, carries the decision out in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from localcluster.admission import RETRY_SECONDS, create_pod
from localcluster.clock import Clock
from localcluster.defaults import defaulted_pod_spec
from localcluster.deletion import BACKGROUND, TRACKING_FINALIZER, DeleteOptions, delete_object
from localcluster.errors import Forbidden
from localcluster.events import Recorder
from localcluster.intervals import parse_indexes
from localcluster.jobs import (
    Announce,
    Backoff,
    BackoffSettings,
    Condition,
    ContainerExit,
    CreatePod,
    DeletePod,
    ExitCodeRule,
    FailureRule,
    JobSpec,
    JobStatus,
    Outcome,
    PodConditionRule,
    PodView,
    ReleasePod,
    RemoveJob,
    SuccessRule,
    reconcile,
)
from localcluster.objects import (
    Obj,
    annotations_of,
    clone,
    controller_of,
    dig,
    evolve,
    finalizers_of,
    format_time,
    generated_name,
    is_condition_true,
    is_deleting,
    name_of,
    namespace_of,
    pod_phase,
    time_field,
    uid_of,
    with_finalizers,
)
from localcluster.resources import JOBS, PODS
from localcluster.store import Store

INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
COMPONENT = "job-controller"
_MAX_PREFIX = 58


class JobController:
    """Reconciles one Job at a time; ``finish_time`` gives a pod's end where the kubelet knows it better."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        clock: Clock,
        settings: BackoffSettings,
        finish_time: Callable[[str], float | None],
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._settings = settings
        self._finish_time = finish_time
        self._backoffs: dict[str, Backoff] = {}

    def sync(self, namespace: str, name: str) -> float | None:
        """Reconcile; returns the seconds after which to look again, if any."""
        with self._store.transaction():
            job = self._store.find(JOBS, namespace, name)
            if job is None:
                return None
            pods = self._pods_of(job)
            now = self._clock.now()
            spec, status = job_spec(job), job_status(job)
            known = self._backoffs.get(uid_of(job), Backoff())
            outcome = reconcile(spec, status, [self._view(pod) for pod in pods], known, now, self._settings)
            refused = self._carry_out(job, pods, outcome)
            # What could not be made is decided on again, from what was known before.
            self._backoffs[uid_of(job)] = known if refused else outcome.backoff
            after = replace(outcome.status, active=outcome.status.active - refused)
            if after != status:
                self._write_status(job, after)
            return min(outcome.again_in or RETRY_SECONDS, RETRY_SECONDS) if refused else outcome.again_in

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self._backoffs.pop(uid, None)

    def _pods_of(self, job: Obj) -> list[Obj]:
        uid = uid_of(job)
        pods, _ = self._store.list(PODS, namespace_of(job))
        return [pod for pod in pods if (controller_of(pod) or {}).get("uid") == uid]

    def _view(self, pod: Obj) -> PodView:
        return pod_view(pod, self._finish_time(uid_of(pod)))

    def _carry_out(self, job: Obj, pods: list[Obj], outcome: Outcome) -> int:
        """Returns how many pods were not admitted."""
        refused = 0
        by_name = {name_of(pod): pod for pod in pods}
        for action in outcome.actions:
            if isinstance(action, CreatePod):
                refused += not self._create(job, action)
            elif isinstance(action, ReleasePod):
                self._release(by_name[action.name])
            elif isinstance(action, DeletePod):
                found = self._store.find(PODS, namespace_of(job), action.name)
                if found is not None:
                    delete_object(self._store, PODS, found, DeleteOptions())
                    self._recorder.record(job, "Normal", "SuccessfulDelete", f"Deleted pod: {action.name}", COMPONENT)
            elif isinstance(action, Announce):
                self._recorder.record(job, action.kind, action.reason, action.message, COMPONENT)
            elif isinstance(action, RemoveJob):
                found = self._store.find(JOBS, namespace_of(job), name_of(job))
                if found is not None:
                    delete_object(self._store, JOBS, found, DeleteOptions(propagation=BACKGROUND))
        return refused

    def _create(self, job: Obj, action: CreatePod) -> bool:
        try:
            made = create_pod(self._store, build_pod(job, action))
        except Forbidden as error:
            self._recorder.record(job, "Warning", "FailedCreate", f"Error creating: {error.message}", COMPONENT)
            return False
        self._recorder.record(job, "Normal", "SuccessfulCreate", f"Created pod: {name_of(made)}", COMPONENT)
        return True

    def _release(self, pod: Obj) -> None:
        found = self._store.find(PODS, namespace_of(pod), name_of(pod))
        if found is None or TRACKING_FINALIZER not in finalizers_of(found):
            return
        left = [item for item in finalizers_of(found) if item != TRACKING_FINALIZER]
        self._store.update(PODS, with_finalizers(found, left))

    def _write_status(self, job: Obj, status: JobStatus) -> None:
        found = self._store.find(JOBS, namespace_of(job), name_of(job))
        if found is None:
            return
        self._store.update(JOBS, evolve(found, status=status_object(status)))


def build_pod(job: Obj, action: CreatePod) -> Obj:
    """The pod of a Job (for an index), named, labelled and owned as the real controller does."""
    template = clone(job["spec"]["template"])
    origin = template.get("metadata") or {}
    labels = dict(origin.get("labels") or {})
    annotations = dict(origin.get("annotations") or {})
    spec = defaulted_pod_spec(template["spec"])
    prefix = f"{name_of(job)}-"
    if action.index is not None:
        infix = f"-{action.index}-"
        prefix = name_of(job)[: _MAX_PREFIX - len(infix)] + infix
        labels[INDEX] = annotations[INDEX] = str(action.index)
        spec.setdefault("hostname", f"{name_of(job)}-{action.index}")
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            env = container.setdefault("env", [])
            if not any(item.get("name") == "JOB_COMPLETION_INDEX" for item in env):
                source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
                env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    if action.index_failures is not None:
        annotations[INDEX_FAILURES] = str(action.index_failures)
        if action.index_ignored_failures:
            annotations[INDEX_IGNORED] = str(action.index_ignored_failures)
    metadata: Obj = {
        "name": generated_name(prefix),
        "generateName": prefix,
        "namespace": namespace_of(job),
        "labels": labels,
        "finalizers": [*(origin.get("finalizers") or []), TRACKING_FINALIZER],
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": name_of(job),
                "uid": uid_of(job),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def job_spec(job: Obj) -> JobSpec:
    """The decisions' view of a Job's spec."""
    spec = job.get("spec") or {}
    completions = spec.get("completions")
    policy = spec.get("podFailurePolicy")
    return JobSpec(
        namespace=namespace_of(job),
        name=name_of(job),
        parallelism=int(spec.get("parallelism", 1)),
        completions=None if completions is None else int(completions),
        indexed=spec.get("completionMode") == "Indexed",
        backoff_limit=int(spec.get("backoffLimit", 6)),
        backoff_limit_per_index=spec.get("backoffLimitPerIndex"),
        max_failed_indexes=spec.get("maxFailedIndexes"),
        failure_rules=None if policy is None else tuple(_failure_rule(rule) for rule in policy.get("rules") or []),
        success_rules=tuple(_success_rule(rule) for rule in (spec.get("successPolicy") or {}).get("rules") or []),
        replace_only_failed=spec.get("podReplacementPolicy") == "Failed",
        restart_policy=str(dig(spec, "template", "spec", "restartPolicy") or "Never"),
        suspend=bool(spec.get("suspend")),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        ttl_seconds_after_finished=spec.get("ttlSecondsAfterFinished"),
        deleting=is_deleting(job),
    )


def job_status(job: Obj) -> JobStatus:
    """The decisions' view of a Job's status."""
    status = job.get("status") or {}
    conditions = tuple(
        Condition(
            str(item.get("type")),
            str(item.get("status")),
            str(item.get("reason") or ""),
            str(item.get("message") or ""),
            time_field(item, "lastTransitionTime") or 0.0,
        )
        for item in status.get("conditions") or []
    )
    return JobStatus(
        active=int(status.get("active") or 0),
        ready=int(status.get("ready") or 0),
        terminating=int(status.get("terminating") or 0),
        succeeded=int(status.get("succeeded") or 0),
        failed=int(status.get("failed") or 0),
        completed_indexes=str(status.get("completedIndexes") or ""),
        failed_indexes=status.get("failedIndexes"),
        start_time=time_field(status, "startTime"),
        completion_time=time_field(status, "completionTime"),
        conditions=conditions,
    )


def status_object(status: JobStatus) -> Obj:
    """A Job's status as the API shows it."""
    made: Obj = {"ready": status.ready, "terminating": status.terminating, "uncountedTerminatedPods": {}}
    for name, number in (("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)):
        if number:
            made[name] = number
    if status.completed_indexes:
        made["completedIndexes"] = status.completed_indexes
    if status.failed_indexes is not None:
        made["failedIndexes"] = status.failed_indexes
    if status.start_time is not None:
        made["startTime"] = format_time(status.start_time)
    if status.completion_time is not None:
        made["completionTime"] = format_time(status.completion_time)
    if status.conditions:
        made["conditions"] = [_condition_object(item) for item in status.conditions]
    return made


def pod_view(pod: Obj, finished: float | None = None) -> PodView:
    """The decisions' view of a pod; ``finished`` is its exact end when known."""
    annotations = annotations_of(pod)
    statuses = [*(dig(pod, "status", "containerStatuses") or []), *(dig(pod, "status", "initContainerStatuses") or [])]
    exits = []
    ends = [finished] if finished is not None else []
    for item in statuses:
        end = dig(item, "state", "terminated")
        if end is not None:
            exits.append(ContainerExit(str(item.get("name")), int(end.get("exitCode", 0))))
            when = time_field(end, "finishedAt")
            if finished is None and when is not None:
                ends.append(when)
    created = time_field(pod, "metadata", "creationTimestamp") or 0.0
    deleted = time_field(pod, "metadata", "deletionTimestamp")
    if not ends:
        ends = [
            created if deleted is None else deleted - float(dig(pod, "metadata", "deletionGracePeriodSeconds") or 0)
        ]
    index = annotations.get(INDEX, "")
    return PodView(
        uid=uid_of(pod),
        name=name_of(pod),
        index=int(index) if index.isdigit() else None,
        phase=pod_phase(pod),
        deleting=is_deleting(pod),
        tracked=TRACKING_FINALIZER in finalizers_of(pod),
        ready=is_condition_true(pod, "Ready"),
        scheduled=bool(dig(pod, "spec", "nodeName")),
        created_at=created,
        finished_at=max(ends),
        exits=tuple(exits),
        conditions=tuple((str(c.get("type")), str(c.get("status"))) for c in dig(pod, "status", "conditions") or []),
        index_failures=_count(annotations.get(INDEX_FAILURES)),
        index_ignored_failures=_count(annotations.get(INDEX_IGNORED)),
        restarts=sum(int(item.get("restartCount") or 0) for item in statuses),
    )


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0


def _condition_object(item: Condition) -> Obj:
    stamp = format_time(item.since)
    made: Obj = {"type": item.kind, "status": item.status, "lastProbeTime": stamp, "lastTransitionTime": stamp}
    if item.reason:
        made["reason"] = item.reason
    if item.message:
        made["message"] = item.message
    return made


def _failure_rule(rule: Obj) -> FailureRule:
    codes = rule.get("onExitCodes")
    exit_codes = None
    if codes is not None:
        values = frozenset(int(value) for value in codes.get("values") or [])
        exit_codes = ExitCodeRule(str(codes.get("operator")), values, codes.get("containerName"))
    patterns = tuple(
        PodConditionRule(str(item.get("type")), str(item.get("status") or "True"))
        for item in rule.get("onPodConditions") or []
    )
    return FailureRule(str(rule.get("action")), exit_codes, patterns)


def _success_rule(rule: Obj) -> SuccessRule:
    text = rule.get("succeededIndexes")
    return SuccessRule(None if text is None else parse_indexes(str(text), 10**6), rule.get("succeededCount"))
