"""Structured log: one JSON object a line on standard error, event name plus fields.

The standard library alone: this process promises to stay small, and a logging package would be a fifth of it.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Protocol, TextIO

from localcluster.clock import Clock
from localcluster.objects import format_time

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log(Protocol):
    """What the other modules need of a log."""

    def debug(self, event: str, **fields: object) -> None: ...

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...


class JsonLog:
    """Writes lines of JSON; a stream that cannot be written to loses lines, never the server."""

    def __init__(self, clock: Clock, level: str = "info", stream: TextIO | None = None) -> None:
        self._clock = clock
        self._threshold = LEVELS[level]
        self._stream = stream if stream is not None else sys.stderr
        self._lock = threading.Lock()

    def debug(self, event: str, **fields: object) -> None:
        """What helps while developing."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What an operator wants to have seen."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What went wrong and was dealt with."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What went wrong and needs someone."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        if LEVELS[level] < self._threshold:
            return
        record = {
            "timestamp": format_time(self._clock.now()),
            "level": level,
            "service": "localcluster",
            "event": event,
        }
        line = json.dumps({**record, **fields}, default=str)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return
