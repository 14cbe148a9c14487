"""The node agent: a small single-threaded process that forks containers and outlives none of them.

It reads commands and writes events as JSON lines on its standard input and output. End of input means that the server
is gone: everything is killed and the agent ends. Children are killed by the kernel when the agent itself dies
(PR_SET_PDEATHSIG); the agent adopts their orphans (PR_SET_CHILD_SUBREAPER), and whatever still escaped carries a marker
in its environment and is found by it, at a container's end and at the next start.

Standard library only, and little of it: this process is part of every idle cluster.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import selectors
import signal
import sys
import time

from localcluster.runtime.logfile import LogWriter

MARKER = "ASPERATHOS_LOCALCLUSTER_POD"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHUNK = 65536
_SWEEP_SECONDS = 3.0


class Container:
    """One started container."""

    __slots__ = ("deadline", "id", "log", "pid", "pipe", "reported_drop", "status")

    def __init__(self, container_id: str, pid: int, pipe: int, log: LogWriter) -> None:
        self.id = container_id
        self.pid = pid
        self.pipe = pipe
        self.log = log
        self.deadline: float | None = None
        self.status: int | None = None
        self.reported_drop = 0.0


class Agent:
    """The event loop. ``state_id`` names the cluster whose leftovers this agent may kill."""

    def __init__(self, state_id: str, commands: int, events: int) -> None:
        self._prefix = f"{state_id}/"
        self._commands = commands
        self._events = events
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._containers: dict[str, Container] = {}
        self._by_pid: dict[int, Container] = {}
        self._selector = selectors.DefaultSelector()
        self._buffer = b""
        self._pid = os.getpid()
        self._closing = False

    def run(self) -> None:
        """Serve until the server says close or goes away."""
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        # A terminal's Ctrl-C and a supervisor's TERM go to the whole group; the server decides when the agent ends.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        self._selector.register(self._commands, selectors.EVENT_READ, None)
        self._emit({"event": "hello", "killed": sweep(self._prefix)})
        while True:
            for key, _ in self._selector.select(self._timeout()):
                if key.fd == wake_read:
                    os.read(wake_read, 4096)
                elif key.fd == self._commands:
                    if not self._read_commands():
                        self._kill_everything()
                        return
                elif isinstance(key.data, Container):
                    self._read_output(key.data)
            self._reap()
            self._enforce_deadlines()
            if self._closing and not self._containers:
                self._kill_everything()
                return

    def _timeout(self) -> float | None:
        deadlines = [item.deadline for item in self._containers.values() if item.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _emit(self, event: dict[str, object]) -> None:
        data = json.dumps(event).encode() + b"\n"
        while data:
            try:
                data = data[os.write(self._events, data) :]
            except OSError:
                return

    def _read_commands(self) -> bool:
        data = os.read(self._commands, _CHUNK)
        if not data:
            return False
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["op"] == "start":
                self._start(command)
            elif command["op"] == "stop":
                self._stop(command["id"], float(command["grace"]))
            elif command["op"] == "close":
                self._closing = True
                for container_id in list(self._containers):
                    self._stop(container_id, float(command["grace"]))
        return True

    def _start(self, command: dict[str, object]) -> None:
        container_id = str(command["id"])
        try:
            container = self._spawn(container_id, command)
        except OSError as error:
            reason = error.strerror or str(error)
            self._emit({"event": "start_failed", "id": container_id, "message": reason, "at": time.time()})
            return
        self._containers[container_id] = container
        self._by_pid[container.pid] = container
        self._selector.register(container.pipe, selectors.EVENT_READ, container)
        self._emit({"event": "started", "id": container_id, "pid": container.pid, "at": time.time()})

    def _spawn(self, container_id: str, command: dict[str, object]) -> Container:
        argv = [str(word) for word in command["argv"]]  # type: ignore[attr-defined]
        env = {str(key): str(value) for key, value in command["env"].items()}  # type: ignore[attr-defined]
        env[MARKER] = self._prefix + container_id
        output_read, output_write = os.pipe2(os.O_CLOEXEC)
        failure_read, failure_write = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:
            for fd in (output_read, output_write, failure_read, failure_write):
                os.close(fd)
            raise
        if pid == 0:
            self._become(argv, env, str(command["cwd"]), output_write, failure_write)
        os.close(output_write)
        os.close(failure_write)
        failure = os.read(failure_read, 256)
        os.close(failure_read)
        if failure:
            os.close(output_read)
            os.waitpid(pid, 0)
            number, _, what = failure.decode().partition(" ")
            raise OSError(int(number), f'exec: "{what}": {_exec_error(int(number))}')
        os.set_blocking(output_read, False)
        return Container(container_id, pid, output_read, LogWriter(str(command["log"]), int(str(command["log_limit"]))))

    def _become(self, argv: list[str], env: dict[str, str], cwd: str, output: int, failure: int) -> None:
        """In the child: turn into the container's process, or report why not; never returns."""
        what = argv[0] if argv else ""
        try:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._pid:
                os._exit(1)
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            what = cwd
            os.chdir(cwd)
            what = argv[0]
            os.execvpe(what, argv, env)
        except OSError as error:
            os.write(failure, f"{error.errno} {what}".encode())
        finally:
            os._exit(127)

    def _stop(self, container_id: str, grace: float) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        deadline = time.monotonic() + grace
        first = container.deadline is None
        container.deadline = deadline if first else min(deadline, container.deadline or deadline)
        if grace <= 0:
            _signal_group(container.pid, signal.SIGKILL)
        elif first:
            # Like a container engine: only the first process is told.
            _signal(container.pid, signal.SIGTERM)

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for container in list(self._containers.values()):
            if container.deadline is not None and container.deadline <= now:
                _signal_group(container.pid, signal.SIGKILL)
                # Once more should the signal meet a process on its way out of a fork.
                container.deadline = now + 1.0

    def _read_output(self, container: Container) -> None:
        try:
            data = os.read(container.pipe, _CHUNK)
        except BlockingIOError:
            return
        if data:
            container.log.write(data, time.time_ns())
            self._report_drops(container, False)
        else:
            self._selector.unregister(container.pipe)
            os.close(container.pipe)
            container.pipe = -1

    def _report_drops(self, container: Container, final: bool) -> None:
        now = time.monotonic()
        if not final and now - container.reported_drop < 5.0:
            return
        dropped, error = container.log.take_dropped()
        if dropped:
            container.reported_drop = now
            self._emit({"event": "logs_dropped", "id": container.id, "bytes": dropped, "error": error})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            container = self._by_pid.pop(pid, None)
            if container is not None:
                self._finish(container, os.waitstatus_to_exitcode(status))

    def _finish(self, container: Container, code: int) -> None:
        self._kill_remains(container)
        if container.pipe >= 0:
            self._drain(container)
        self._report_drops(container, True)
        container.log.close()
        del self._containers[container.id]
        self._emit({"event": "exited", "id": container.id, "code": 128 - code if code < 0 else code, "at": time.time()})

    def _drain(self, container: Container) -> None:
        while True:
            try:
                data = os.read(container.pipe, _CHUNK)
            except OSError:
                break
            if not data:
                break
            container.log.write(data, time.time_ns())
        self._selector.unregister(container.pipe)
        os.close(container.pipe)

    def _kill_remains(self, container: Container) -> None:
        """End what the container's first process left behind; a container's end is the end of all its processes.

        Its orphans are this agent's children by now, so that reading one file usually tells that there are none.
        """
        _signal_group(container.pid, signal.SIGKILL)
        marker = f"{MARKER}={self._prefix}{container.id}".encode()
        limit = time.monotonic() + 1.0
        while time.monotonic() < limit:
            orphans = [pid for pid in _children(self._pid) if pid not in self._by_pid]
            found = [pid for pid in orphans if _session(pid) == container.pid or _is_marked(pid, marker, exact=True)]
            if not found:
                return
            for pid in found:
                _signal(pid, signal.SIGKILL)
            for pid in found:
                _wait_gone(pid)

    def _kill_everything(self) -> None:
        limit = time.monotonic() + _SWEEP_SECONDS
        while time.monotonic() < limit:
            for pid in _children(self._pid):
                _signal_group(pid, signal.SIGKILL)
                _signal(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.002)
        sweep(self._prefix)


def sweep(prefix: str) -> int:
    """Kill every process that carries the marker of this cluster; returns how many there were."""
    marker = f"{MARKER}={prefix}".encode()
    limit = time.monotonic() + _SWEEP_SECONDS
    seen: set[int] = set()
    while time.monotonic() < limit:
        found = [pid for pid in _all_pids() if pid != os.getpid() and _is_marked(pid, marker, exact=False)]
        if not found:
            break
        seen.update(found)
        for pid in found:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.005)
    return len(seen)


def _all_pids() -> list[int]:
    # pathlib would be a tenth of this process.
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        # Kernels without that file: compare everyone's parent.
        return [other for other in _all_pids() if _stat(other)[0] == pid]


def _stat(pid: int) -> tuple[int, int]:
    """Parent and session of a process; zeros when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[1]), int(fields[3])
    except (OSError, IndexError, ValueError):
        return 0, 0


def _session(pid: int) -> int:
    return _stat(pid)[1]


def _is_marked(pid: int, marker: bytes, exact: bool) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return False
    return any(entry == marker if exact else entry.startswith(marker) for entry in entries)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _wait_gone(pid: int) -> None:
    for _ in range(200):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.001)


def _exec_error(number: int) -> str:
    if number == errno.ENOENT:
        return "executable file not found in $PATH"
    return os.strerror(number).lower()


def main() -> None:
    """Entry point: ``agent <state id>`` with commands on standard input and events on standard output."""
    Agent(sys.argv[1], 0, 1).run()


if __name__ == "__main__":
    main()
