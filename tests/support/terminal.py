"""A command on a terminal of a given size: what it wrote, what it shows, keys, and a new size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "asperathos")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_MOVE = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")


class Terminal:
    """Runs ``asperathos`` with these arguments on a pseudo-terminal."""

    def __init__(self, *arguments: str, columns: int, rows: int = 24, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
        self._process = subprocess.Popen(
            [COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.written = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, seen: Callable[[str], bool], within: float = 15.0) -> None:
        """Read until ``seen`` holds of all that was written. Fails after ``within`` seconds."""
        end = time.monotonic() + within
        while not seen(self.written):
            assert time.monotonic() < end, f"not seen in time in {self.written[-2000:]!r}"
            self._read(0.1)

    def lines(self, since: int = 0) -> list[str]:
        """What was written from that place on, without escape codes, as lines: where the cursor moves, one ends."""
        return re.split(r"[\r\n]+", _MOVE.sub("\n", _STYLE.sub("", self.written[since:])))

    def end(self, within: float = 15.0) -> int:
        """Wait for its end; the exit code."""
        end = time.monotonic() + within
        while self._process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self._read(0.1)
        while self._read(0.0):
            pass
        return self._process.returncode

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)
        os.close(self._ours)

    def _read(self, timeout: float) -> bool:
        if not select.select([self._ours], [], [], timeout)[0]:
            return False
        try:
            found = os.read(self._ours, 65536)
        except OSError:  # EIO: the other side has closed
            return False
        self.written += found.decode("utf-8", "replace")
        return bool(found)
