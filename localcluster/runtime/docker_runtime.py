"""The docker runtime: each container of a pod is a container of a Docker engine.

One thread follows one container through its life: image, volumes, creation, start, output, end, removal. It alone
talks to the engine about it, so nothing has to be agreed on between threads but the wish to stop, which wakes it.
Nothing outlives this runtime: whatever carries the cluster's label is removed when one starts and when it is closed.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.clock import Clock
from localcluster.errors import ConfigError
from localcluster.log import Log
from localcluster.runtime import docker_config
from localcluster.runtime.docker_config import CLUSTER_LABEL, Frames, ImageFacts
from localcluster.runtime.docker_engine import Engine, EngineAway, EngineError, NoSuchThing, Output, Refused
from localcluster.runtime.logfile import LogWriter
from localcluster.runtime.port import (
    ContainerStart,
    EventSink,
    Exited,
    LogsDropped,
    NotStarted,
    RuntimeEvent,
    Said,
    Started,
    StartFailed,
    Used,
)

_STARTS_AT_ONCE = 8
_WAIT_SECONDS = 5.0
_FIRST_RETRY = 0.1
_LAST_RETRY = 10.0
_REMOVALS = 5
_CLOSE_SECONDS = 10.0
_KILL_AGAIN_SECONDS = 5.0
_DROPS_SECONDS = 5.0
_LOST_CODE = 137
_LOST = ("ContainerStatusUnknown", "The container could not be located when the pod was terminated")
_STOPPED = ("ContainerCreating", "told to stop before it was started")
_NEXT_LOOK = 1.0
_ONE_SHOT = (1, 41)
"""The engine's API from which on one look at what a container uses does not wait for a second one."""


class DockerRuntime:
    """Implements ``Runtime`` with an engine; ``network`` is where the containers are, ``host`` the machine's own."""

    def __init__(self, engine: Engine, state_id: str, network: str, sink: EventSink, clock: Clock, log: Log) -> None:
        """Remove what an earlier run with this ``state_id`` left; raises ConfigError."""
        self._engine = engine
        self._state_id = state_id
        self._network = network
        self._sink = sink
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._runs: dict[str, _Run] = {}
        self._pods: dict[str, _Pod] = {}
        self._pulls: dict[str, threading.Lock] = {}
        self._starts = threading.BoundedSemaphore(_STARTS_AT_ONCE)
        try:
            left = self._sweep()
        except EngineError as error:
            raise ConfigError(f"containers of an earlier run cannot be removed: {error}") from error
        if left:
            log.warning("leftover_containers_removed", count=left)

    @property
    def version(self) -> str:
        """As nodes show it."""
        return f"docker://{self._engine.version}"

    def start(self, request: ContainerStart) -> None:
        """Bring the container up, in a thread of its own."""
        run = _Run(request.id, request.pod.uid, request.log_path, request.log_limit, request)
        with self._lock:
            if self._closing.is_set():
                return
            self._runs[run.id] = run
            self._pods.setdefault(run.pod_uid, _Pod()).running += 1
        threading.Thread(target=self._live, args=(run,), name=f"container {request.pod.name}", daemon=True).start()

    def stop(self, container_id: str, grace_seconds: float) -> None:
        """Tell the container's thread; it sends the image's stop signal, and KILL after the grace period."""
        with self._lock:
            run = self._runs.get(container_id)
        if run is not None and run.ask_to_stop(self._clock.monotonic() + grace_seconds):
            # A pull may take its time to notice; nobody has to wait for that.
            self._sink(NotStarted(run.id, *_STOPPED))

    @property
    def measures(self) -> bool:
        """Older engines take a second or two for each container."""
        return self._engine.api >= _ONE_SHOT

    def usage(self) -> Mapping[str, Used]:
        """What each running container uses; what the engine does not tell is left out."""
        with self._lock:
            started = [run for run in self._runs.values() if run.started_at is not None]
        if not started:
            return {}
        with ThreadPoolExecutor(_STARTS_AT_ONCE) as pool:
            return {run.id: used for run, used in zip(started, pool.map(self._used, started), strict=True) if used}

    def _used(self, run: _Run) -> Used | None:
        try:
            told = self._engine.usage(run.container)
        except EngineError as error:
            self._log.warning("usage_not_told", container=run.id, error=str(error))
            return None
        began = run.started_at
        return None if told is None or began is None else Used(*told, self._clock.monotonic() - began)

    def forget(self, pod_uid: str) -> None:
        """Remove the pod's volumes once none of its containers is left."""
        with self._lock:
            pod = self._pods.get(pod_uid)
            if pod is None:
                return
            pod.forgotten = True
            if pod.running:
                return
            del self._pods[pod_uid]
        threading.Thread(target=self._remove_volumes, args=(sorted(pod.volumes),), name="volumes", daemon=True).start()

    def close(self, grace_seconds: float) -> None:
        """Stop all containers and remove everything of this cluster."""
        with self._lock:
            self._closing.set()
            runs = list(self._runs.values())
        deadline = self._clock.monotonic() + grace_seconds
        for run in runs:
            run.ask_to_stop(deadline)
        last = deadline + _CLOSE_SECONDS
        for run in runs:
            run.ended.wait(max(0.0, last - self._clock.monotonic()))
        try:
            self._sweep()
        except EngineError as error:
            self._log.error("containers_left", error=str(error))

    def _live(self, run: _Run) -> None:
        """From the wish to run a container to its removal; every way out tells the kubelet."""
        try:
            outcome: RuntimeEvent = self._run(run)
        except EngineError as error:
            outcome = self._give_up(run, str(error))
        except Exception as error:  # noqa: BLE001 - the kubelet waits for an answer whatever happens
            self._log.error("container_thread_failed", container=run.id, error=repr(error))
            outcome = self._give_up(run, repr(error))
        run.close()
        with self._lock:
            self._runs.pop(run.id, None)
            pod = self._pods[run.pod_uid]
            pod.running -= 1
            is_last = pod.forgotten and not pod.running
            if is_last:
                del self._pods[run.pod_uid]
        if is_last:
            self._remove_volumes(sorted(pod.volumes))
        if not run.is_abandoned:
            self._sink(outcome)
        run.ended.set()

    def _give_up(self, run: _Run, message: str) -> RuntimeEvent:
        self._discard(run.container)
        if run.started_at is not None:
            return Exited(run.id, _LOST_CODE, self._clock.now(), _LOST[0], message)
        return NotStarted(run.id, "CreateContainerError", message)

    def _run(self, run: _Run) -> NotStarted | StartFailed | Exited:
        refused = self._bring_up(run)
        if refused is not None:
            return refused
        writer = LogWriter(str(run.log_path), run.log_limit)
        try:
            return self._follow(run, writer)
        finally:
            dropped, error = writer.take_dropped()
            if dropped:
                self._sink(LogsDropped(run.id, dropped, error))
            writer.close()

    def _bring_up(self, run: _Run) -> NotStarted | StartFailed | None:
        """Image, volumes, container; None when it runs."""
        request = run.take_request()
        image = self._provide_image(run, request)
        if isinstance(image, NotStarted):
            return image
        refusal = docker_config.objection(request, image, self._network, self._engine.api)
        if refusal is not None:
            return refusal
        with self._starts:
            if not run.commit():
                return NotStarted(run.id, *_STOPPED)
            self._provide_volumes(request)
            labels = docker_config.labels_for(self._state_id, request.pod, request.name)
            body = docker_config.container_body(request, image, self._network, labels)
            name = docker_config.container_name(request)
            # Until the engine has told the id: should its answer get lost, what it made is found by its name.
            run.container = name
            run.container = self._engine.create(name, body)
            run.stop_signal = image.stop_signal or "SIGTERM"
            run.output = self._engine.attach(run.container)
            try:
                self._engine.start(run.container)
            except Refused as error:
                self._discard(run.container)
                return StartFailed(run.id, 128, "StartError", str(error), self._clock.now())
        run.started_at = self._clock.monotonic()
        self._sink(Started(run.id, self._clock.now(), f"docker://{run.container}", image.digest or image.id))
        return None

    def _provide_image(self, run: _Run, request: ContainerStart) -> ImageFacts | NotStarted:
        name = request.image
        try:
            found = self._engine.image(name)
        except Refused as error:
            message = f'Failed to apply default image tag "{name}": {error}'
            return NotStarted(run.id, "InvalidImageName", message)
        if found is not None and request.pull_policy != "Always":
            self._sink(Said(run.id, "Normal", "Pulled", f'Container image "{name}" already present on machine'))
            return found
        if request.pull_policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            return NotStarted(run.id, "ErrImageNeverPull", message)
        lock = self._pull_lock(name)
        while not lock.acquire(timeout=_NEXT_LOOK):
            if run.is_abandoned:
                return NotStarted(run.id, *_STOPPED)
        try:
            # Whoever waited for another's pull has the image now.
            if request.pull_policy != "Always" and (found := self._engine.image(name)) is not None:
                return found
            return self._pull(run, request)
        finally:
            lock.release()

    def _pull(self, run: _Run, request: ContainerStart) -> ImageFacts | NotStarted:
        name = request.image
        self._sink(Said(run.id, "Normal", "Pulling", f'Pulling image "{name}"'))
        began = self._clock.monotonic()
        credentials = docker_config.credentials_for(name, request.pod.registries)
        try:
            self._engine.pull(name, credentials, lambda: run.is_abandoned)
            found = self._engine.image(name)
        except EngineError as error:
            self._sink(Said(run.id, "Warning", "Failed", f'Failed to pull image "{name}": {error}'))
            return NotStarted(run.id, "ErrImagePull", str(error))
        if found is None:
            return NotStarted(run.id, "ErrImagePull", "the engine has no such image after its pull")
        took = self._clock.monotonic() - began
        self._sink(Said(run.id, "Normal", "Pulled", f'Successfully pulled image "{name}" in {took:.3g}s'))
        return found

    def _provide_volumes(self, request: ContainerStart) -> None:
        """Once for each pod: its first container makes and fills what all share."""
        with self._lock:
            pod = self._pods[request.pod.uid]
        with pod.lock:
            if pod.is_ready:
                return
            labels = docker_config.labels_for(self._state_id, request.pod)
            for volume in docker_config.volume_requests(request.pod):
                pod.volumes.add(volume.name)
                self._engine.make_volume(volume.name, volume.options, labels)
            mounts = docker_config.filled_volumes(request.pod)
            if mounts:
                archive = docker_config.volume_archive(request.pod)
                self._engine.fill(
                    request.image, f"{docker_config.container_name(request)}_fill", mounts, archive, labels
                )
            pod.is_ready = True

    def _follow(self, run: _Run, writer: LogWriter) -> Exited:
        """Copy the output and see to stops until the container has ended; an engine that is away is waited for."""
        delay = _FIRST_RETRY
        while True:
            if run.output is not None:
                self._copy(run, writer)
            try:
                self._enforce(run)
                if self._engine.wait(run.container, _WAIT_SECONDS):
                    return self._bury(run)
                run.listen(self._engine.attach(run.container))
                delay = _FIRST_RETRY
            except EngineAway as error:
                self._log.warning("engine_away", container=run.id, error=str(error), retry_in=delay)
                run.pause(delay)
                delay = min(delay * 2, _LAST_RETRY)
            except NoSuchThing:
                return self._bury(run)

    def _bury(self, run: _Run) -> Exited:
        state = self._engine.state(run.container)
        if state is None:
            return Exited(run.id, _LOST_CODE, self._clock.now(), *_LOST)
        self._discard(run.container)
        code, reason = docker_config.end_of(state)
        return Exited(run.id, code, self._clock.now(), reason)

    def _copy(self, run: _Run, writer: LogWriter) -> None:
        """Until the end of the output, which is the container's end or the engine's."""
        output, frames = run.output, Frames()
        assert output is not None
        poll = select.poll()
        poll.register(output.fileno(), select.POLLIN)
        poll.register(run.wake_fd, select.POLLIN)
        reported = self._clock.monotonic()
        while True:
            timeout = self._enforce(run)
            ready = {fd for fd, _ in poll.poll(None if timeout is None else timeout * 1000)}
            if run.wake_fd in ready:
                run.drain_wake()
            if output.fileno() in ready:
                data = output.read()
                if not data:
                    break
                writer.write(frames.feed(data), int(self._clock.now() * 1e9))
                if self._clock.monotonic() - reported > _DROPS_SECONDS:
                    reported = self._clock.monotonic()
                    dropped, error = writer.take_dropped()
                    if dropped:
                        self._sink(LogsDropped(run.id, dropped, error))
        run.listen(None)

    def _enforce(self, run: _Run) -> float | None:
        """Send the signals that are due; the seconds until the next one is."""
        deadline = run.deadline
        if deadline is None:
            return None
        now = self._clock.monotonic()
        try:
            if deadline <= now:
                self._engine.signal(run.container, "SIGKILL")
                run.kill_again(now + _KILL_AGAIN_SECONDS)
            elif not run.is_signalled:
                self._engine.signal(run.container, run.stop_signal)
                run.is_signalled = True
        except EngineAway as error:
            self._log.warning("signal_not_sent", container=run.id, error=str(error))
            return _NEXT_LOOK
        return max(0.0, (run.deadline or now) - now)

    def _discard(self, container: str) -> None:
        """Remove a container; what cannot be removed now is found by its label at the next start."""
        if not container:
            return
        delay = _FIRST_RETRY
        for attempt in range(_REMOVALS):
            try:
                self._engine.remove(container)
                return
            except EngineError as error:
                if attempt == _REMOVALS - 1:
                    self._log.warning("container_not_removed", container=container, error=str(error))
            self._closing.wait(delay)
            delay *= 2

    def _remove_volumes(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._engine.remove_volume(name)
            except EngineError as error:
                self._log.warning("volume_not_removed", volume=name, error=str(error))

    def _sweep(self) -> int:
        """Remove every container and volume of this cluster; how many containers there were."""
        containers, _ = self._engine.labelled(CLUSTER_LABEL, self._state_id)
        with ThreadPoolExecutor(_STARTS_AT_ONCE) as pool:
            list(pool.map(self._discard, containers))
        # Asked again: it is only now that no volume is in use.
        _, volumes = self._engine.labelled(CLUSTER_LABEL, self._state_id)
        self._remove_volumes(volumes)
        return len(containers)

    def _pull_lock(self, image: str) -> threading.Lock:
        with self._lock:
            return self._pulls.setdefault(image, threading.Lock())


@dataclass
class _Pod:
    """What the containers of a pod share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    volumes: set[str] = field(default_factory=set)
    is_ready: bool = False
    running: int = 0
    forgotten: bool = False


class _Run:
    """One container on its way; its thread alone changes it, but for the wish to stop."""

    def __init__(self, id: str, pod_uid: str, log_path: Path, log_limit: int, request: ContainerStart) -> None:
        self.id = id
        self.pod_uid = pod_uid
        self.log_path = log_path
        self.log_limit = log_limit
        self.container = ""
        self.stop_signal = "SIGTERM"
        self.output: Output | None = None
        self.started_at: float | None = None
        self.is_signalled = False
        self.ended = threading.Event()
        self.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._request: ContainerStart | None = request
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._is_committed = False
        self._abandoned = threading.Event()

    @property
    def deadline(self) -> float | None:
        """When it is to be killed, in monotonic seconds; None as long as nobody asked to stop it."""
        with self._lock:
            return self._deadline

    @property
    def is_abandoned(self) -> bool:
        """Whether it was told to stop before there was anything to stop: nobody waits for its outcome any more."""
        return self._abandoned.is_set()

    def commit(self) -> bool:
        """From now on there is something to stop; False when it was abandoned."""
        with self._lock:
            self._is_committed = not self._abandoned.is_set()
            return self._is_committed

    def take_request(self) -> ContainerStart:
        """The request, once: with its volumes' files it is too large to be kept while the container runs."""
        request, self._request = self._request, None
        assert request is not None
        return request

    def ask_to_stop(self, deadline: float) -> bool:
        """Stop by then; the earliest wish counts. From any thread. Whether it is abandoned by that."""
        with self._lock:
            if self._deadline is None or deadline < self._deadline:
                self._deadline = deadline
            if self._is_committed:
                if self.wake_fd >= 0:
                    os.eventfd_write(self.wake_fd, 1)
                return False
            if self._abandoned.is_set():
                return False
            self._abandoned.set()
            self.ended.set()
            return True

    def kill_again(self, at: float) -> None:
        """KILL was sent; once more at that time, should it not have been enough."""
        with self._lock:
            self._deadline = at

    def drain_wake(self) -> None:
        """The wake-up was noticed."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.wake_fd)

    def pause(self, seconds: float) -> None:
        """Sleep, unless woken."""
        if select.select([self.wake_fd], [], [], seconds)[0]:
            self.drain_wake()

    def listen(self, output: Output | None) -> None:
        """Listen to this from now on."""
        if self.output is not None:
            self.output.close()
        self.output = output

    def close(self) -> None:
        """Give everything back."""
        self.listen(None)
        with self._lock:
            os.close(self.wake_fd)
            self.wake_fd = -1
