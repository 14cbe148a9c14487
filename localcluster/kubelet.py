"""The kubelet: makes containers follow their pods, and pods' statuses follow their containers.

Level-triggered: ``sync`` compares a pod object with what is known of its containers and does what is missing; runtime
events only update that knowledge. Called from one thread.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from localcluster.addresses import AddressPool
from localcluster.clock import Clock
from localcluster.events import Recorder
from localcluster.launch import NotStartable, build_start, pod_setup
from localcluster.log import Log
from localcluster.objects import (
    Obj,
    clone,
    dig,
    evolve,
    finalizers_of,
    format_time,
    is_deleting,
    is_terminal,
    name_of,
    namespace_of,
    parse_time,
    set_condition,
    uid_of,
)
from localcluster.pod_lifecycle import (
    CREATING,
    ERR_IMAGE_PULL,
    IMAGE_BACKOFF,
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
    advance,
    ended,
    fresh_records,
    pod_status,
)
from localcluster.resources import CONFIGMAPS, PODS, SECRETS, SERVICES
from localcluster.runtime.port import (
    ContainerStart,
    Exited,
    LogsDropped,
    NotStarted,
    Runtime,
    RuntimeEvent,
    RuntimeLost,
    Said,
    Started,
    StartFailed,
)
from localcluster.services import names_of, selects
from localcluster.store import Store

COMPONENT = "kubelet"
HOST_IP = "127.0.0.1"
_RETRY_SECONDS = 10.0
_PULL_SHOWN_SECONDS = 1.0
_LOST_CODE = 137
_LOST_REASON = "ContainerStatusUnknown"
_LOST_MESSAGE = "The container could not be located when the pod was terminated"
_KEPT_LOGS = 2


@dataclass(frozen=True)
class KubeletSettings:
    """``start_delay`` seconds are added before a pod's first start; ``crash_base`` is CrashLoopBackOff's first wait."""

    logs_dir: Path
    log_limit: int
    start_delay: float = 0.0
    crash_base: float = 10.0


@dataclass
class PodWorker:
    """What the kubelet knows of one pod."""

    uid: str
    namespace: str
    name: str
    ip: str
    records: tuple[ContainerRecord, ...]
    ids: dict[str, str] = field(default_factory=dict)
    references: dict[str, Started] = field(default_factory=dict)
    stopping: bool = False
    stop_grace: float | None = None
    eviction: tuple[str, str] | None = None

    def record(self, name: str) -> ContainerRecord:
        """The record of a container."""
        return next(item for item in self.records if item.name == name)

    def put(self, record: ContainerRecord) -> None:
        """Replace a container's record."""
        self.records = tuple(record if item.name == record.name else item for item in self.records)


class Kubelet:
    """All pods of all nodes; there is one machine behind them."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        recorder: Recorder,
        addresses: AddressPool,
        clock: Clock,
        log: Log,
        settings: KubeletSettings,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._recorder = recorder
        self._addresses = addresses
        self._clock = clock
        self._log = log
        self._settings = settings
        self._workers: dict[str, PodWorker] = {}
        self._uid_by_key: dict[tuple[str, str], str] = {}
        self._finish_times: dict[str, float] = {}

    def finish_time(self, uid: str) -> float | None:
        """When the pod's last container ended, to the fraction of a second; None when not known."""
        return self._finish_times.get(uid)

    def waiting_pods(self) -> list[tuple[str, str]]:
        """Pods with a container that could not be started yet; they may become startable when other objects change."""
        return [
            (worker.namespace, worker.name)
            for worker in self._workers.values()
            if any(isinstance(item.state, Waiting) for item in worker.records)
        ]

    def fail_lost_pods(self, reason: str, message: str) -> None:
        """At start: pods that an earlier server ran are over; they end as lost to a disruption, not as failed work."""
        for pod in self._store.list(PODS)[0]:
            if dig(pod, "spec", "nodeName") and not is_terminal(pod):
                self._lose(pod, reason, message)

    def sync(self, namespace: str, name: str) -> float | None:
        """Make one pod right; returns the seconds after which to look again, if any."""
        pod = self._store.find(PODS, namespace, name)
        known = self._uid_by_key.get((namespace, name))
        if known is not None and (pod is None or uid_of(pod) != known):
            self._abandon(known)
        if pod is None:
            return None
        if is_terminal(pod) or not dig(pod, "spec", "nodeName"):
            if is_deleting(pod):
                self._let_go(pod)
            return None
        return self._sync_running(pod)

    def handle(self, event: RuntimeEvent) -> list[tuple[str, str]]:
        """Take note of a runtime event; returns the pods to sync."""
        if isinstance(event, RuntimeLost):
            return self._lose_everything()
        uid, name, _ = event.id.split("/")
        worker = self._workers.get(uid)
        if worker is None or worker.ids.get(name) != event.id:
            return []
        record = worker.record(name)
        if isinstance(event, Started):
            worker.references[name] = event
            worker.put(replace(record, state=Running(event.at), pull_failures=0))
            self._say(worker, "Normal", "Created", f"Created container: {name}")
            self._say(worker, "Normal", "Started", f"Started container {name}")
        elif isinstance(event, NotStarted):
            self._wait(worker, record, event.reason, event.message)
        elif isinstance(event, StartFailed):
            self._say(worker, "Warning", "Failed", f"Error: {event.message}")
            worker.put(replace(record, state=Terminated(event.code, event.reason, event.message, event.at, event.at)))
        elif isinstance(event, Exited):
            since = record.state.since if isinstance(record.state, Running) and record.state.since else event.at
            worker.put(replace(record, state=ended(event.code, since, event.at, event.reason, event.message)))
        elif isinstance(event, Said):
            self._say(worker, event.kind, event.reason, event.message)
        elif isinstance(event, LogsDropped):
            # The same words each time, so that the events are counted instead of piling up.
            message = f"Output of container {name} cannot be written to its log and is dropped: {event.error}"
            self._log.warning("logs_dropped", container=event.id, bytes=event.bytes, error=event.error)
            self._say(worker, "Warning", "LogsDropped", message)
        return [(worker.namespace, worker.name)]

    def stop_all(self, reason: str, message: str, grace_seconds: float) -> None:
        """The server ends: stop every pod, saying that it was disrupted; ``sync`` writes down how each one ended."""
        for worker in list(self._workers.values()):
            worker.eviction = (reason, message)
            worker.stopping = True
            self._stop(worker, grace_seconds)
            pod = self._store.find(PODS, worker.namespace, worker.name)
            if pod is not None and uid_of(pod) == worker.uid and not is_terminal(pod):
                self._mark_disrupted(pod, reason, message)

    def is_idle(self) -> bool:
        """Whether every pod has ended and its end is written down."""
        return not self._workers

    def _sync_running(self, pod: Obj) -> float | None:
        worker = self._worker(pod)
        now = self._clock.now()
        again = self._check_deadline(pod, worker, now)
        deleting = is_deleting(pod)
        if deleting or worker.eviction is not None:
            worker.stopping = True
            grace = dig(pod, "metadata", "deletionGracePeriodSeconds") if deleting else None
            default = dig(pod, "spec", "terminationGracePeriodSeconds")
            self._stop(worker, float(grace if grace is not None else default if default is not None else 30))
        policy = str(dig(pod, "spec", "restartPolicy") or "Always")
        step = advance(worker.records, policy, worker.stopping, now, self._settings.crash_base)
        worker.records = step.records
        for name in step.backed_off:
            self._say(worker, "Normal", "BackOff", f'Back-off pulling image "{worker.record(name).image}"')
            self._say(worker, "Warning", "Failed", f"Error: {IMAGE_BACKOFF}")
        if step.start:
            again = _sooner(again, self._start(pod, worker, step.start))
        if step.again_at is not None:
            again = _sooner(again, max(0.0, step.again_at - now))
        if step.finished:
            self._finish(worker)
        else:
            self._write_status(worker, False)
        return again

    def _worker(self, pod: Obj) -> PodWorker:
        uid = uid_of(pod)
        worker = self._workers.get(uid)
        if worker is None:
            records = fresh_records(pod["spec"])
            if self._settings.start_delay > 0:
                until = self._clock.now() + self._settings.start_delay
                records = tuple(replace(item, state=Waiting(CREATING, "", until)) for item in records)
            worker = PodWorker(uid, namespace_of(pod), name_of(pod), self._addresses.take(uid), records)
            self._workers[uid] = worker
            self._uid_by_key[(worker.namespace, worker.name)] = uid
        return worker

    def _check_deadline(self, pod: Obj, worker: PodWorker, now: float) -> float | None:
        limit = dig(pod, "spec", "activeDeadlineSeconds")
        start = dig(pod, "status", "startTime")
        if limit is None or start is None:
            return float(limit) if limit is not None else None
        left = parse_time(str(start)) + float(limit) - now
        if left > 0:
            return left
        worker.eviction = worker.eviction or (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
        )
        return None

    def _start(self, pod: Obj, worker: PodWorker, names: tuple[str, ...]) -> float | None:
        again: float | None = None
        for name in names:
            record = worker.record(name)
            try:
                request = self._prepare(pod, worker, record)
            except NotStartable as error:
                # No time is set for it: what is missing may appear at any moment.
                worker.put(replace(record, state=Waiting(error.reason, error.message)))
                self._say_why_waiting(worker, error.reason, error.message)
                again = _RETRY_SECONDS
                continue
            except OSError as error:
                message = f"the container's log cannot be kept: {error.strerror or error}"
                worker.put(replace(record, state=Waiting("CreateContainerError", message)))
                self._say_why_waiting(worker, "CreateContainerError", message)
                again = _RETRY_SECONDS
                continue
            worker.ids[name] = request.id
            # While an image is pulled again, the last failure is what an observer wants to see.
            state = Running()
            if isinstance(record.state, Waiting) and record.state.reason == IMAGE_BACKOFF:
                state = Running(shown=record.state)
            worker.put(replace(record, state=state))
            self._runtime.start(request)
        return again

    def _prepare(self, pod: Obj, worker: PodWorker, record: ContainerRecord) -> ContainerStart:
        container = next(item for item in _all_containers(pod) if item.get("name") == record.name)

        def config_map(namespace: str, wanted: str) -> Obj | None:
            return self._store.find(CONFIGMAPS, namespace, wanted)

        def secret(namespace: str, wanted: str) -> Obj | None:
            return self._store.find(SECRETS, namespace, wanted)

        services = [service for service in self._store.list(SERVICES)[0] if selects(service, pod)]
        service_names = [name for service in services for name in names_of(service)]
        setup = pod_setup(pod, worker.ip, service_names, config_map, secret)
        logs = self._settings.logs_dir / worker.uid / record.name
        logs.mkdir(parents=True, exist_ok=True)
        for suffix in ("", ".1"):
            (logs / f"{record.restarts - _KEPT_LOGS}.log{suffix}").unlink(missing_ok=True)
        log_path, log_limit = logs / f"{record.restarts}.log", self._settings.log_limit
        return build_start(pod, container, setup, record.restarts, HOST_IP, config_map, secret, log_path, log_limit)

    def _wait(self, worker: PodWorker, record: ContainerRecord, reason: str, message: str) -> None:
        """The runtime could not start it: look again later; images soon, to say that their pull backs off."""
        failed_pull = reason == ERR_IMAGE_PULL
        until = self._clock.now() + (_PULL_SHOWN_SECONDS if failed_pull else _RETRY_SECONDS)
        failures = record.pull_failures + failed_pull
        worker.put(replace(record, state=Waiting(reason, message, until), pull_failures=failures))
        if not worker.stopping:
            self._say_why_waiting(worker, reason, reason if failed_pull else message)

    def _say_why_waiting(self, worker: PodWorker, reason: str, message: str) -> None:
        self._say(worker, "Warning", "FailedMount" if reason == CREATING else "Failed", f"Error: {message}")

    def _stop(self, worker: PodWorker, grace: float) -> None:
        if worker.stop_grace is not None and worker.stop_grace <= grace:
            return
        first = worker.stop_grace is None
        worker.stop_grace = grace
        for record in worker.records:
            if record.is_running:
                if first:
                    self._say(worker, "Normal", "Killing", f"Stopping container {record.name}")
                self._runtime.stop(worker.ids[record.name], grace)

    def _finish(self, worker: PodWorker) -> None:
        ends = [item.state.finished for item in worker.records if isinstance(item.state, Terminated)]
        self._finish_times[worker.uid] = max(ends, default=self._clock.now())
        worker.records = tuple(
            replace(item, state=_never_ran(self._clock.now())) if isinstance(item.state, Waiting) else item
            for item in worker.records
        )
        with self._store.transaction():
            self._write_status(worker, True)
            current = self._store.find(PODS, worker.namespace, worker.name)
            if current is not None and is_deleting(current):
                self._let_go(current)
        self._forget(worker)

    def _write_status(self, worker: PodWorker, finished: bool) -> None:
        with self._store.transaction():
            current = self._store.find(PODS, worker.namespace, worker.name)
            if current is None or uid_of(current) != worker.uid:
                return
            now = self._clock.now()
            status = pod_status(current, worker.records, finished, worker.ip, HOST_IP, worker.references, now)
            if finished and worker.eviction is not None:
                status["reason"], status["message"] = worker.eviction
                if worker.eviction[0] == "DeadlineExceeded":
                    status["phase"] = "Failed"
            if status == current.get("status"):
                return
            self._store.update(PODS, evolve(current, status=status))

    def _let_go(self, pod: Obj) -> None:
        """Nothing of the pod runs any more: it may leave as soon as its finalizers allow."""
        with self._store.transaction():
            marked = self._store.mark_deleted(PODS, pod, 0)
            if not finalizers_of(marked):
                self._store.remove(PODS, marked)

    def _abandon(self, uid: str) -> None:
        """The pod object is gone: end what still runs, and remove its files."""
        worker = self._workers.pop(uid, None)
        if worker is not None:
            for record in worker.records:
                if record.is_running:
                    self._runtime.stop(worker.ids[record.name], 0.0)
            self._addresses.give_back(uid)
            self._uid_by_key.pop((worker.namespace, worker.name), None)
        self._finish_times.pop(uid, None)
        self._runtime.forget(uid)
        shutil.rmtree(self._settings.logs_dir / uid, ignore_errors=True)

    def forget_pod(self, uid: str) -> None:
        """The pod object was deleted."""
        self._abandon(uid)

    def _forget(self, worker: PodWorker) -> None:
        """The pod ended: its logs stay until it is deleted, its volumes go."""
        self._workers.pop(worker.uid, None)
        self._uid_by_key.pop((worker.namespace, worker.name), None)
        self._addresses.give_back(worker.uid)
        self._runtime.forget(worker.uid)

    def _lose_everything(self) -> list[tuple[str, str]]:
        """The runtime died: every container with it."""
        lost = []
        now = self._clock.now()
        for worker in self._workers.values():
            if not any(item.is_running for item in worker.records):
                continue
            for record in worker.records:
                if record.is_running:
                    since = record.state.since if isinstance(record.state, Running) else now
                    worker.put(
                        replace(record, state=Terminated(_LOST_CODE, _LOST_REASON, _LOST_MESSAGE, since or now, now))
                    )
            worker.eviction = ("NodeLost", "the node agent died")
            worker.stopping = True
            pod = self._store.find(PODS, worker.namespace, worker.name)
            if pod is not None and uid_of(pod) == worker.uid:
                self._mark_disrupted(pod, *worker.eviction)
            lost.append((worker.namespace, worker.name))
        return lost

    def _mark_disrupted(self, pod: Obj, reason: str, message: str) -> None:
        status = pod.get("status") or {}
        known = status.get("conditions") or []
        conditions = set_condition(known, "DisruptionTarget", "True", reason, message, self._clock.now())
        self._store.update(PODS, evolve(pod, status={**status, "conditions": conditions}))

    def _lose(self, pod: Obj, reason: str, message: str) -> None:
        now = self._clock.now()
        made = clone(pod)
        status = made.setdefault("status", {})
        conditions = set_condition(status.get("conditions") or [], "DisruptionTarget", "True", reason, message, now)
        for kind in ("Ready", "ContainersReady"):
            conditions = set_condition(conditions, kind, "False", "PodFailed", "", now)
        status.update(phase="Failed", reason=reason, message=message, conditions=conditions)
        for item in status.get("containerStatuses") or []:
            if "terminated" in (item.get("state") or {}):
                continue
            since = dig(item, "state", "running", "startedAt")
            item["state"] = {
                "terminated": {
                    "exitCode": _LOST_CODE,
                    "reason": _LOST_REASON,
                    "message": _LOST_MESSAGE,
                    "startedAt": since,
                    "finishedAt": format_time(now),
                }
            }
            item["ready"] = item["started"] = False
        self._finish_times[uid_of(pod)] = now
        with self._store.transaction():
            lost = self._store.update(PODS, made)
            self._recorder.record(lost, "Warning", reason, message, COMPONENT)
            if is_deleting(lost):
                self._let_go(lost)
        self._log.warning("pod_lost", namespace=namespace_of(pod), pod=name_of(pod), reason=reason)

    def _say(self, worker: PodWorker, kind: str, reason: str, message: str) -> None:
        pod = self._store.find(PODS, worker.namespace, worker.name)
        if pod is not None and uid_of(pod) == worker.uid:
            self._recorder.record(pod, kind, reason, message, COMPONENT)


def _all_containers(pod: Obj) -> list[Obj]:
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _never_ran(now: float) -> Terminated:
    return Terminated(_LOST_CODE, _LOST_REASON, "The container was never started", now, now)


def _sooner(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return left if right is None else right
    return min(left, right)
