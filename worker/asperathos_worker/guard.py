"""A guard process: when the runner is gone, however it ended, it kills what the runner's commands left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import List

from .processes import kill, kill_group, marked

MARK = "ASPERATHOS_RUNNER"
"""Environment variable that marks every process a command starts, also those that leave its process group."""


class Guard:
    """A forked process that waits for the other end of a pipe to close.

    The runner writes the process group of each command it starts. The kernel closes the pipe whatever ends the
    runner, SIGKILL included, and the guard kills the last group and every process that carries the runner's mark.
    It has a session of its own, so that a signal to the runner's group does not end it first.
    """

    def __init__(self, mark: str) -> None:
        """``mark`` is the value of MARK in the commands' environment. Must be called before threads are started."""
        reader, self._writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # Nothing of the runner's interpreter may run in here, not even on the way out.
            try:
                os.close(self._writer)
                os.setsid()
                _stand_guard(reader, f"{MARK}={mark}".encode())
            finally:
                os._exit(0)
        os.close(reader)

    def started(self, group: int) -> None:
        """A command runs as this process group."""
        self._write(f"{group}\n")

    def ended(self) -> None:
        """The last command and its group are gone."""
        self._write("0\n")

    def close(self) -> None:
        """Let the guard clean up and wait for its end."""
        os.close(self._writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, text.encode())


def _stand_guard(reader: int, mark: bytes) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Whoever waits for the end of the runner's output must not wait for the guard.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    rest = b""
    group = 0
    while True:
        data = os.read(reader, 4096)
        if not data:
            break
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        if lines:
            group = int(lines[-1])
    if group > 1:
        kill_group(group)
    _kill_marked(mark)


def _kill_marked(mark: bytes) -> None:
    me = os.getpid()
    for _ in range(5):
        found: List[int] = [pid for pid in marked(mark) if pid != me]
        if not found:
            return
        for pid in found:
            kill(pid)
