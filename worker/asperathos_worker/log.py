"""Log lines on stderr: ``time level event key=value ...``, one ``write`` each, never an error to the caller."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Protocol

from .clock import timestamp

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+-]+\Z")


class Log(Protocol):
    """Where events go."""

    def info(self, event: str, **fields: object) -> None:
        """Something expected happened."""

    def warning(self, event: str, **fields: object) -> None:
        """Something went wrong that the worker or the queue deals with."""

    def error(self, event: str, **fields: object) -> None:
        """Something went wrong that ends the worker."""


def field_text(value: object) -> str:
    """A value as it stands in a log line: bare when it is one plain word, else as a JSON string."""
    if isinstance(value, float):
        value = f"{value:.3f}"
    text = str(value)
    return text if _PLAIN.match(text) else json.dumps(text)


class StreamLog:
    """Writes to a file descriptor (stderr). A full disk or a closed pipe loses log lines, never an item."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor

    def info(self, event: str, **fields: object) -> None:
        self._line("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._line("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._line("error", event, fields)

    def _line(self, level: str, event: str, fields: "dict[str, object]") -> None:
        words = [timestamp(), level, event]
        words += [f"{key}={field_text(value)}" for key, value in fields.items()]
        self.write((" ".join(words) + "\n").encode("utf-8", "backslashreplace"))

    def write(self, data: bytes) -> None:
        """Write bytes as they are, whole lines at a time."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


class SilentLog:
    """Keeps no line. For in-memory runs."""

    def info(self, event: str, **fields: object) -> None:
        """Drop the line."""

    def warning(self, event: str, **fields: object) -> None:
        """Drop the line."""

    def error(self, event: str, **fields: object) -> None:
        """Drop the line."""
