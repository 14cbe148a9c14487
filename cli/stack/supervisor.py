"""Starts the parts, restarts one that dies, and ends them all in order. Nothing outlives it, not even kill -9."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from cli.stack.plan import Part
from cli.stack.ports import LOOPBACK, holder_of, session_of

_PR_SET_PDEATHSIG = 1
_RESTARTS = 5
_RESTART_WINDOW = 60.0
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
_OUTSIDE = ("ASPERATHOS_METRICS", "ASPERATHOS_INFLUX_", "ASPERATHOS_GRAFANA_")
"""Settings of what the stack does not bring itself: taken from whoever starts it."""


class StartFailed(Exception):
    """A part did not come up; the message ends with the tail of its log."""


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    deaths: deque[float] = field(default_factory=deque)


class Supervisor:
    """Owns the processes of one stack. ``say`` gets a sentence about each thing a person should know."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._running: list[_Running] = []
        self._starter = _libc()

    def start(self, part: Part, timeout: float = 30.0) -> None:
        """Start a part and wait until it is ready. Raises StartFailed."""
        running = _Running(part, self._spawn(part))
        self._running.append(running)
        self._await_ready(running, timeout)

    def start_together(self, parts: Sequence[Part], timeout: float = 60.0) -> None:
        """Start several parts at once and wait for all. Raises StartFailed."""
        started = [_Running(part, self._spawn(part)) for part in parts]
        self._running.extend(started)
        for running in started:
            self._await_ready(running, timeout)

    def pids(self) -> dict[str, int]:
        """The process of each part."""
        return {running.part.name: running.process.pid for running in self._running}

    def watch(self, stop: threading.Event, interval: float = 0.5) -> None:
        """Restart what dies until ``stop`` is set. Raises StartFailed when a part keeps dying."""
        while not stop.wait(interval):
            for running in self._running:
                code = running.process.poll()
                if code is not None:
                    self._restart(running, code)

    def end(self, timeout: float = 20.0) -> None:
        """Stop the parts in reverse order: SIGTERM, then SIGKILL after ``timeout`` seconds."""
        for running in reversed(self._running):
            process = running.process
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout)
                except subprocess.TimeoutExpired:
                    self._say(f"the {running.part.name} did not end within {timeout:.0f} s: killed")
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait(5)
        self._running.clear()

    def _restart(self, running: _Running, code: int) -> None:
        now = time.monotonic()
        running.deaths.append(now)
        while running.deaths and now - running.deaths[0] > _RESTART_WINDOW:
            running.deaths.popleft()
        name = running.part.name
        if len(running.deaths) > _RESTARTS:
            raise StartFailed(
                f"the {name} died {len(running.deaths)} times within a minute; its log ends:\n{self._tail(name)}"
            )
        self._say(f"the {name} ended with code {code}: started again")
        time.sleep(min(2.0, 0.2 * 2 ** (len(running.deaths) - 1)))
        running.process = self._spawn(running.part)

    def _spawn(self, part: Part) -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_OUTSIDE)
        }
        with (self._logs / f"{part.name}.log").open("ab") as log:
            return subprocess.Popen(
                part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, **part.environment},
                start_new_session=True,
                preexec_fn=self._starter,
            )

    def _await_ready(self, running: _Running, timeout: float) -> None:
        part = running.part
        end = time.monotonic() + timeout
        while not (_answers(part) and self._is_ours(running)):
            if running.process.poll() is not None:
                raise StartFailed(
                    f"the {part.name} ended at once with code {running.process.returncode}; "
                    f"its log ends:\n{self._tail(part.name)}"
                )
            if time.monotonic() > end:
                raise StartFailed(
                    f"the {part.name} is not ready after {timeout:.0f} s; its log ends:\n{self._tail(part.name)}"
                )
            time.sleep(0.05)

    def _is_ours(self, running: _Running) -> bool:
        """Whether it is our process that answers. Raises StartFailed when another took the port meanwhile."""
        part = running.part
        holder = holder_of(part.port)
        if not holder.pid or session_of(holder.pid) in (None, running.process.pid):
            return running.process.poll() is None
        raise StartFailed(f"port {part.port}, chosen for the {part.name}, was taken meanwhile by {holder}: try again")

    def _tail(self, name: str, lines: int = 15) -> str:
        try:
            text = (self._logs / f"{name}.log").read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join("  " + line for line in text.splitlines()[-lines:])


def _answers(part: Part) -> bool:
    try:
        if part.ready:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(part.ready, timeout=2).status_code == 200
        with socket.create_connection((LOOPBACK, part.port), timeout=1):
            return True
    except (requests.RequestException, OSError):
        return False


def _libc() -> Callable[[], None] | None:
    """Makes the kernel end a child when this process dies, however it dies. Linux only; a no-op elsewhere."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):
        return None

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return die_with_parent
