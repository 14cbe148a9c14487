"""Container log files: one line per output line, ``<RFC 3339 nanoseconds> <F|P> <text>``.

F ends a line, P is a part that the next record continues. A file that reaches half of the cap is renamed to
``<name>.1`` (the older half is forgotten), so a log never takes more than the cap. Standard library only: the node
agent imports this.
"""

from __future__ import annotations

import os
import time


def stamp(nanoseconds: int) -> bytes:
    """RFC 3339 with nine decimals."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


def encode(chunk: bytes, nanoseconds: int) -> bytes:
    """Raw output as log records, all with the same time."""
    if not chunk:
        return b""
    head = stamp(nanoseconds)
    lines = chunk.split(b"\n")
    tail = lines.pop()
    full = head + b" F "
    records = b"".join([full + line + b"\n" for line in lines])
    return records + (head + b" P " + tail + b"\n" if tail else b"")


class LogWriter:
    """Appends to one log file. Never raises for a full disk: it drops, counts, and says so through ``take_dropped``."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._half = max(limit // 2, 1)
        self._fd = -1
        self._size = 0
        self._dropped = 0
        self._error = ""
        self._open()

    def write(self, chunk: bytes, nanoseconds: int) -> None:
        """Append output that arrived at that time (nanoseconds since the epoch)."""
        data = encode(chunk, nanoseconds)
        try:
            if self._fd < 0:
                self._open()
            if self._fd < 0:
                self._dropped += len(chunk)
                return
            if self._size and self._size + len(data) > self._half:
                self._rotate()
            if len(data) > self._half:
                # More at once than fits: the newest whole records.
                data = data[data.find(b"\n", len(data) - self._half - 1) + 1 :]
            written = os.write(self._fd, data)
            self._size += written
            if written < len(data):
                self._dropped += len(data) - written
                self._error = "short write"
        except OSError as error:
            self._dropped += len(chunk)
            self._error = error.strerror or str(error)

    def take_dropped(self) -> tuple[int, str]:
        """Bytes lost since the last call, and why."""
        taken = self._dropped, self._error
        self._dropped = 0
        return taken

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self._fd = -1
            self._error = error.strerror or str(error)

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        os.replace(self._path, self._path + ".1")  # noqa: PTH105 - no pathlib in the agent
        self._open()
        if self._fd < 0:
            raise OSError(0, self._error)
