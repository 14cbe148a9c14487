"""What becomes of a pod's containers, and what its status says. Pure.

Container records in, the containers to start or stop and the pod's phase, conditions and statuses out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from localcluster.objects import Obj, dig, format_time, make_condition, set_condition
from localcluster.runtime.port import Started

CREATING = "ContainerCreating"
ERR_IMAGE_PULL = "ErrImagePull"
IMAGE_BACKOFF = "ImagePullBackOff"
CRASH_LOOP = "CrashLoopBackOff"
CRASH_LOOP_CAP = 300.0
CRASH_LOOP_FORGET = 600.0


@dataclass(frozen=True)
class Waiting:
    """Not running: being created, not creatable, or backing off until ``until`` (seconds since the epoch)."""

    reason: str = CREATING
    message: str = ""
    until: float = 0.0


@dataclass(frozen=True)
class Running:
    """Started at ``since`` (seconds since the epoch), which is 0 until the runtime confirms; ``shown`` until then."""

    since: float = 0.0
    shown: Waiting = Waiting()


@dataclass(frozen=True)
class Terminated:
    """Ended."""

    code: int
    reason: str
    message: str
    started: float
    finished: float


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """One container of a pod: its state, its state before the last restart, and how often it was restarted.

    ``pull_failures``: how often in a row its image could not be pulled.
    """

    name: str
    image: str
    init: bool = False
    state: State = Waiting()
    last: Terminated | None = None
    restarts: int = 0
    pull_failures: int = 0

    @property
    def is_running(self) -> bool:
        """Started (or asked to start) and not ended."""
        return isinstance(self.state, Running)


@dataclass(frozen=True)
class Step:
    """What to do for a pod now; ``backed_off``: containers whose image is not tried again for a while."""

    start: tuple[str, ...] = ()
    records: tuple[ContainerRecord, ...] = ()
    finished: bool = False
    again_at: float | None = None
    backed_off: tuple[str, ...] = ()


def fresh_records(spec: Obj) -> tuple[ContainerRecord, ...]:
    """The records of a pod that never ran."""
    init = [ContainerRecord(str(c["name"]), str(c.get("image", "")), True) for c in spec.get("initContainers") or []]
    main = [ContainerRecord(str(c["name"]), str(c.get("image", ""))) for c in spec.get("containers") or []]
    return (*init, *main)


def advance(
    records: tuple[ContainerRecord, ...], restart_policy: str, stopping: bool, now: float, crash_base: float
) -> Step:
    """The next containers to start, or that the pod has ended. ``stopping``: nothing is started any more."""
    if stopping:
        return Step(records=records, finished=not any(item.is_running for item in records))
    init = [item for item in records if item.init]
    for item in init:
        if isinstance(item.state, Terminated) and item.state.code == 0:
            continue
        # Init containers run one after the other; main containers wait for the last.
        return _advance_some(records, (item,), "OnFailure" if restart_policy != "Never" else "Never", now, crash_base)
    main = tuple(item for item in records if not item.init)
    return _advance_some(records, main, restart_policy, now, crash_base)


def _advance_some(
    records: tuple[ContainerRecord, ...],
    some: tuple[ContainerRecord, ...],
    restart_policy: str,
    now: float,
    crash_base: float,
) -> Step:
    start: list[str] = []
    changed: dict[str, ContainerRecord] = {}
    backed_off: list[str] = []
    again: list[float] = []
    finished = True
    for item in some:
        state = item.state
        if isinstance(state, Terminated):
            if not _restarts(state, restart_policy):
                continue
            finished = False
            delay = _crash_delay(item, state, crash_base)
            waiting = Waiting(
                CRASH_LOOP, f"back-off {delay:g}s restarting failed container={item.name}", state.finished + delay
            )
            item = replace(item, state=waiting, last=state, restarts=item.restarts + 1)
            changed[item.name] = item
            state = waiting
        finished = False
        if isinstance(state, Waiting):
            if state.until <= now and state.reason == ERR_IMAGE_PULL:
                state = Waiting(IMAGE_BACKOFF, _about_pull(item, state), now + _pull_delay(item, crash_base))
                changed[item.name] = replace(item, state=state)
                backed_off.append(item.name)
            if state.until > now:
                again.append(state.until)
            else:
                start.append(item.name)
    updated = tuple(changed.get(item.name, item) for item in records)
    failed_init = any(
        item.init and isinstance(item.state, Terminated) and item.state.code != 0 and restart_policy == "Never"
        for item in some
    )
    return Step(tuple(start), updated, finished or failed_init, min(again) if again else None, tuple(backed_off))


def _restarts(state: Terminated, policy: str) -> bool:
    return policy == "Always" or (policy == "OnFailure" and state.code != 0)


def _crash_delay(item: ContainerRecord, state: Terminated, base: float) -> float:
    """The first restart is immediate; then base seconds, doubling to five minutes, forgotten after a long good run."""
    if item.restarts == 0 or state.finished - state.started > CRASH_LOOP_FORGET:
        return 0.0
    return float(min(base * 2.0 ** min(item.restarts - 1, 32), CRASH_LOOP_CAP))


def _pull_delay(item: ContainerRecord, base: float) -> float:
    """Base seconds, doubling to five minutes."""
    return float(min(base * 2.0 ** min(item.pull_failures - 1, 32), CRASH_LOOP_CAP))


def _about_pull(item: ContainerRecord, state: Waiting) -> str:
    return f'Back-off pulling image "{item.image}": {state.reason}: {state.message}'


def phase_of(records: tuple[ContainerRecord, ...], finished: bool) -> str:
    """Pending, Running, Succeeded or Failed."""
    if finished:
        good = all(isinstance(item.state, Terminated) and item.state.code == 0 for item in records)
        return "Succeeded" if good and records else "Failed"
    main = [item for item in records if not item.init]
    if any(not isinstance(item.state, Waiting) or item.last is not None for item in main):
        started = any(not (isinstance(item.state, Running) and item.state.since == 0.0) for item in main)
        return "Running" if started else "Pending"
    return "Pending"


def pod_status(
    pod: Obj,
    records: tuple[ContainerRecord, ...],
    finished: bool,
    pod_ip: str,
    host_ip: str,
    references: Mapping[str, Started],
    now: float,
) -> Obj:
    """The pod's whole status; keeps reason, message and conditions set by others (such as DisruptionTarget)."""
    old = pod.get("status") or {}
    phase = phase_of(records, finished)
    init = [item for item in records if item.init]
    main = [item for item in records if not item.init]
    status: Obj = {**old, "phase": phase, "hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}
    status["podIP"], status["podIPs"] = pod_ip, [{"ip": pod_ip}]
    status.setdefault("startTime", format_time(now))
    status["containerStatuses"] = [_container_status(item, references.get(item.name)) for item in main]
    if init:
        status["initContainerStatuses"] = [_container_status(item, references.get(item.name)) for item in init]
    status["conditions"] = _conditions(old.get("conditions") or [], init, main, phase, now)
    return status


def _conditions(
    old: list[Obj], init: list[ContainerRecord], main: list[ContainerRecord], phase: str, now: float
) -> list[Obj]:
    running = phase not in ("Succeeded", "Failed")
    initialized = all(isinstance(item.state, Terminated) and item.state.code == 0 for item in init)
    unready = [item.name for item in main if not (isinstance(item.state, Running) and item.state.since > 0)]
    if phase == "Succeeded":
        reason, message = "PodCompleted", ""
    elif not running:
        reason, message = "PodFailed", ""
    elif unready:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    else:
        reason, message = "", ""
    ready = "True" if running and not unready else "False"
    result = set_condition(old, "PodReadyToStartContainers", "True" if running else "False", "", "", now)
    if initialized:
        result = set_condition(result, "Initialized", "True", "PodCompleted" if phase == "Succeeded" else "", "", now)
    else:
        names = [item.name for item in init if not (isinstance(item.state, Terminated) and item.state.code == 0)]
        said = f"containers with incomplete status: [{' '.join(names)}]"
        result = set_condition(result, "Initialized", "False", "ContainersNotInitialized", said, now)
    result = set_condition(result, "Ready", ready, reason, message, now)
    return set_condition(result, "ContainersReady", ready, reason, message, now)


def scheduled_condition(now: float) -> Obj:
    """PodScheduled=True."""
    return make_condition("PodScheduled", "True", "", "", format_time(now))


def _container_status(item: ContainerRecord, reference: Started | None) -> Obj:
    running = isinstance(item.state, Running) and item.state.since > 0
    done = item.init and isinstance(item.state, Terminated) and item.state.code == 0
    status: Obj = {
        "name": item.name,
        "image": item.image,
        "imageID": "" if reference is None else reference.image_id,
        "ready": (running and not item.init) or done,
        "started": running,
        "restartCount": item.restarts,
        "state": _state(item.state),
        "lastState": {} if item.last is None else _state(item.last),
    }
    if reference is not None:
        status["containerID"] = reference.reference
        if isinstance(item.state, Terminated):
            status["state"]["terminated"]["containerID"] = reference.reference
    return status


def _state(state: State) -> Obj:
    if isinstance(state, Waiting):
        said: Obj = {"reason": state.reason}
        if state.message:
            said["message"] = state.message
        return {"waiting": said}
    if isinstance(state, Running):
        if state.since == 0.0:
            return _state(state.shown)
        return {"running": {"startedAt": format_time(state.since)}}
    ended: Obj = {
        "exitCode": state.code,
        "reason": state.reason,
        "startedAt": format_time(state.started),
        "finishedAt": format_time(state.finished),
    }
    if state.message:
        ended["message"] = state.message
    return {"terminated": ended}


def ended(code: int, started: float, finished: float, reason: str = "", message: str = "") -> Terminated:
    """A container's end; without a ``reason`` the code tells it."""
    return Terminated(code, reason or ("Completed" if code == 0 else "Error"), message, started, finished)


def finished_at(pod: Obj) -> str | None:
    """The latest end of the pod's containers, as written in its status."""
    ends = []
    for item in dig(pod, "status", "containerStatuses") or []:
        end = dig(item, "state", "terminated", "finishedAt")
        if end:
            ends.append(str(end))
    return max(ends) if ends else None
