"""The process runtime: each container's command is a process of this machine, run by the node agent.

This side starts the agent, sends it commands, turns its events into runtime events, and starts it anew when it dies.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from localcluster.clock import Clock
from localcluster.errors import ConfigError
from localcluster.log import Log
from localcluster.runtime.port import (
    ContainerStart,
    EventSink,
    Exited,
    Files,
    HostPath,
    LogsDropped,
    NotStarted,
    PodSetup,
    RuntimeEvent,
    RuntimeLost,
    Said,
    Started,
    StartFailed,
    Used,
)
from localcluster.runtime.process_launch import Launch, PodDirs, build_launch, volume_paths
from localcluster.runtime.process_usage import usage_of

_ROOT = Path(__file__).resolve().parent.parent.parent
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from localcluster.runtime.agent import main; main()"
_HELLO_SECONDS = 15.0
_CLOSE_SECONDS = 5.0
_MAX_RESTART_DELAY = 5.0


class ProcessRuntime:
    """Implements ``Runtime`` with the node agent."""

    def __init__(
        self, state_id: str, pods_dir: Path, base_env: Mapping[str, str], sink: EventSink, clock: Clock, log: Log
    ) -> None:
        """Start the agent, which first kills what an earlier run with this ``state_id`` left; raises ConfigError.

        Pods' directories are made in ``pods_dir``; every process has ``base_env`` below its own environment.
        """
        self._state_id = state_id
        self._pods_dir = pods_dir
        self._base_env = dict(base_env)
        self._sink = sink
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._leaders: dict[str, int] = {}
        """The first process of each running container."""
        self._closing = threading.Event()
        self._hello = threading.Event()
        self._agent = self._spawn()
        self._reader = threading.Thread(target=self._read, name="runtime", daemon=True)
        self._reader.start()
        if not self._hello.wait(_HELLO_SECONDS):
            raise ConfigError("the node agent did not start")
        # No process runs yet: whatever is there is an earlier run's.
        shutil.rmtree(pods_dir, ignore_errors=True)

    @property
    def version(self) -> str:
        """As nodes show it."""
        return "process://1"

    @property
    def agent_pid(self) -> int:
        """The process id of the node agent."""
        return self._agent.pid

    def start(self, request: ContainerStart) -> None:
        """Start a container's process, in the pod's directory with its volumes as directories."""
        dirs = PodDirs(self._pods_dir / request.pod.uid)
        launch = build_launch(request, dirs, self._base_env)
        if launch is None:
            message = "no command specified: the process runtime does not know the image's own command"
            self._sink(NotStarted(request.id, "CreateContainerError", message))
            return
        try:
            _prepare(request.pod, dirs, launch)
        except OSError as error:
            message = f"the pod's directory cannot be prepared: {error.strerror or error}"
            self._sink(NotStarted(request.id, "CreateContainerError", message))
            return
        self._say_what_is_different(request, launch)
        self._send(
            {
                "op": "start",
                "id": request.id,
                "argv": list(launch.argv),
                "env": dict(launch.env),
                "cwd": str(launch.working_dir),
                "log": str(request.log_path),
                "log_limit": request.log_limit,
            }
        )

    def stop(self, container_id: str, grace_seconds: float) -> None:
        """TERM, then KILL of the whole process group after the grace period."""
        self._send({"op": "stop", "id": container_id, "grace": grace_seconds})

    @property
    def measures(self) -> bool:
        """The kernel tells of each process."""
        return True

    def usage(self) -> Mapping[str, Used]:
        """What the processes of each container use."""
        with self._lock:
            leaders = dict(self._leaders)
        return usage_of(leaders) if leaders else {}

    def forget(self, pod_uid: str) -> None:
        """Remove the pod's directory."""
        shutil.rmtree(self._pods_dir / pod_uid, ignore_errors=True)

    def close(self, grace_seconds: float) -> None:
        """Stop all containers, then the agent; its death ends whatever is left."""
        with self._lock:
            self._closing.set()
        self._send({"op": "close", "grace": grace_seconds})
        try:
            self._agent.wait(grace_seconds + _CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._agent.kill()
            self._agent.wait()
        self._reader.join(_CLOSE_SECONDS)

    def _say_what_is_different(self, request: ContainerStart, launch: Launch) -> None:
        if not request.id.endswith("/0"):
            return
        message = f'Image "{request.image}" is not pulled: the container\'s command runs as a process of this machine'
        self._sink(Said(request.id, "Normal", "ImageNotPulled", message))
        if launch.links:
            paths = ", ".join(sorted(mount.path for mount in request.mounts))
            message = f"Not really mounted: {paths}; see ASPERATHOS_VOLUME_* and the links in the working directory"
            self._sink(Said(request.id, "Warning", "VolumesNotMounted", message))

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Unbuffered pipes; no environment of the server reaches the agent, and hence no container.
        return subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _BOOT, str(_ROOT), self._state_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={"LC_CTYPE": "C.UTF-8"},
            start_new_session=True,
        )

    def _send(self, command: dict[str, object]) -> None:
        data = json.dumps(command).encode() + b"\n"
        with self._lock:
            stdin = self._agent.stdin
            try:
                while data and stdin is not None:
                    data = data[stdin.write(data) or 0 :]
            except (OSError, ValueError):
                # The reader is about to notice that the agent died and will report everything as lost.
                return

    def _read(self) -> None:
        delay = 0.05
        while True:
            self._read_one_agent()
            with self._lock:
                for stream in (self._agent.stdin, self._agent.stdout):
                    if stream is not None:
                        stream.close()
                self._agent.wait()
            if self._closing.is_set():
                return
            self._log.error("agent_died", pid=self._agent.pid, code=self._agent.returncode)
            if self._closing.wait(delay):
                return
            delay = min(delay * 2, _MAX_RESTART_DELAY)
            with self._lock:
                if self._closing.is_set():
                    return
                self._agent = self._spawn()
                self._leaders.clear()
            # Only now: containers started from here on reach the new agent.
            self._sink(RuntimeLost())

    def _read_one_agent(self) -> None:
        stdout = self._agent.stdout
        buffer = b""
        while stdout is not None:
            try:
                data = stdout.read(65536)
            except (OSError, ValueError):
                return
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self._handle(json.loads(line))

    def _handle(self, message: dict[str, object]) -> None:
        if message["event"] == "hello":
            if message["killed"]:
                self._log.warning("leftover_processes_killed", count=message["killed"])
            self._hello.set()
            return
        self._follow(message)
        event = _as_event(message)
        if event is not None:
            self._sink(event)

    def _follow(self, message: Mapping[str, object]) -> None:
        with self._lock:
            if message["event"] == "started":
                self._leaders[str(message["id"])] = int(str(message["pid"]))
            elif message["event"] == "exited":
                self._leaders.pop(str(message["id"]), None)


def _prepare(pod: PodSetup, dirs: PodDirs, launch: Launch) -> None:
    if not dirs.work.exists():
        dirs.temporary.mkdir(parents=True, exist_ok=True)
        dirs.root.chmod(0o700)
        for name, path in volume_paths(pod, dirs).items():
            volume = pod.volumes[name]
            if not isinstance(volume, HostPath):
                path.mkdir(parents=True, exist_ok=True)
            if isinstance(volume, Files):
                _write(path, volume)
        # Last: its being there says that all of it is.
        dirs.work.mkdir()
    for link, target in launch.links.items():
        if not link.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def _write(directory: Path, files: Files) -> None:
    for name, data in files.contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(files.modes.get(name, 0o644))


def _as_event(message: dict[str, object]) -> RuntimeEvent | None:
    kind, container_id = str(message["event"]), str(message["id"])
    if kind == "logs_dropped":
        return LogsDropped(container_id, int(str(message["bytes"])), str(message["error"]))
    at = float(str(message["at"]))
    if kind == "started":
        return Started(container_id, at, f"process://{container_id}")
    if kind == "start_failed":
        said = f"failed to start the container's process: {message['message']}"
        return StartFailed(container_id, 128, "StartError", said, at)
    if kind == "exited":
        return Exited(container_id, int(str(message["code"])), at)
    return None
