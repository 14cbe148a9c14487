"""The process runtime: each container's command is a process of this machine, run by the node agent.

This side starts the agent, sends it commands, turns its events into runtime events, and starts it anew when it dies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from localcluster.clock import Clock
from localcluster.errors import ConfigError
from localcluster.log import Log
from localcluster.runtime.port import (
    ContainerStart,
    EventSink,
    Exited,
    LogsDropped,
    RuntimeEvent,
    RuntimeLost,
    Started,
    StartFailed,
)

_ROOT = Path(__file__).resolve().parent.parent.parent
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from localcluster.runtime.agent import main; main()"
_HELLO_SECONDS = 15.0
_CLOSE_SECONDS = 5.0
_MAX_RESTART_DELAY = 5.0


class ProcessRuntime:
    """Implements ``Runtime`` with the node agent."""

    def __init__(self, state_id: str, sink: EventSink, clock: Clock, log: Log) -> None:
        """Start the agent, which first kills what an earlier run with this ``state_id`` left; raises ConfigError."""
        self._state_id = state_id
        self._sink = sink
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._hello = threading.Event()
        self._agent = self._spawn()
        self._reader = threading.Thread(target=self._read, name="runtime", daemon=True)
        self._reader.start()
        if not self._hello.wait(_HELLO_SECONDS):
            raise ConfigError("the node agent did not start")

    @property
    def pulls_images(self) -> bool:
        """Never: commands are found on this machine."""
        return False

    @property
    def agent_pid(self) -> int:
        """The process id of the node agent."""
        return self._agent.pid

    def start(self, request: ContainerStart) -> None:
        """Start a container's process."""
        self._send(
            {
                "op": "start",
                "id": request.id,
                "argv": list(request.argv),
                "env": dict(request.env),
                "cwd": str(request.working_dir),
                "log": str(request.log_path),
                "log_limit": request.log_limit,
            }
        )

    def stop(self, container_id: str, grace_seconds: float) -> None:
        """TERM, then KILL of the whole process group after the grace period."""
        self._send({"op": "stop", "id": container_id, "grace": grace_seconds})

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
        event = _as_event(message)
        if event is not None:
            self._sink(event)


def _as_event(message: dict[str, object]) -> RuntimeEvent | None:
    kind, container_id = str(message["event"]), str(message["id"])
    if kind == "logs_dropped":
        return LogsDropped(container_id, int(str(message["bytes"])), str(message["error"]))
    at = float(str(message["at"]))
    if kind == "started":
        return Started(container_id, int(str(message["pid"])), at)
    if kind == "start_failed":
        said = f"failed to start the container's process: {message['message']}"
        return StartFailed(container_id, 128, "StartError", said, at)
    if kind == "exited":
        return Exited(container_id, int(str(message["code"])), at)
    return None
