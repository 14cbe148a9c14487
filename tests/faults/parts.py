"""One part of the stack as a process of its own: started, killed, paused, started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import requests

from cli.stack.plan import Part

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "TZ")
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class PartProcess:
    """A Part of the plan; ``environment`` is added to the plan's own."""

    def __init__(self, part: Part, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.part = replace(part, environment={**part.environment, **(environment or {})})
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, without waiting; ``environment`` is added for this time only."""
        inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, **self.part.environment, **(environment or {})},
                start_new_session=True,
            )

    def wait_ready(self, within: float = READY_SECONDS) -> None:
        """Until it answers. Raises AssertionError with the end of its log."""
        end = time.monotonic() + within
        while not self.answers():
            if not self.running or time.monotonic() > end:
                raise AssertionError(f"the {self.name} does not start: {self.tail()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            if self.part.ready:
                return requests.get(self.part.ready, timeout=2).status_code == 200
            with socket.create_connection(("127.0.0.1", self.part.port), timeout=1):
                return True
        except (requests.RequestException, OSError):
            return False

    def kill(self) -> None:
        """kill -9 of the process and of what it forked into its own group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def pause(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM; SIGKILL when that is not enough."""
        if self._process is None or not self.running:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the {self.name} did not end within {STOP_SECONDS:.0f} s") from None

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
