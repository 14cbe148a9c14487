"""Structured logs: one line an event, JSON where a machine reads, aligned text where a person does."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import Any, TextIO, cast

import structlog


def configure_logging(service: str, level: str = "info", json_lines: bool | None = None) -> None:
    """Set the process's log format: JSON unless standard error is a terminal (or as ``json_lines`` says)."""
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    shared: list[Any] = [
        _named(service),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
    ]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # It tells of every retry; who retries tells of what came of it.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def get_logger(name: str) -> Any:
    """A logger whose first argument is the event's name and whose keywords are its fields."""
    return structlog.get_logger(module=name)


class _Unfailing(io.TextIOBase):
    """Loses what cannot be written: a full disk under the log must not end what is logged about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _named(service: str) -> Any:
    """Says the service in every line. A context variable would not do: each thread starts without any."""

    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["service"] = service
        return event

    return add
