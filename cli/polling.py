"""Asking again and again, through a manager's restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cli.client import Rejected, Unreachable
from cli.render import printable
from common.domain.units import format_duration

T = TypeVar("T")
_SERVER_FAULT = 500


@dataclass(frozen=True)
class Heard(Generic[T]):
    """The latest answer. ``silent``: for how many seconds there has been none since, and ``cause`` why; 0 and empty
    when it is fresh."""

    value: T
    silent: float = 0.0
    cause: str = ""


class Poller(Generic[T]):
    """Asks by ``ask``. When the manager has answered once, it may be silent for ``patience`` seconds."""

    def __init__(self, ask: Callable[[], T], patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._patience = patience
        self._clock = clock
        self._last: Heard[T] | None = None
        self._heard_at = 0.0

    def look(self) -> Heard[T]:
        """What it answers now, or last did. Raises Rejected, and Unreachable at first or after too long a silence."""
        try:
            self._last = Heard(self._ask())
            self._heard_at = self._clock()
            return self._last
        except Unreachable as error:
            return self._patiently(error, error.cause)
        except Rejected as error:
            # It is there, but what it needs itself is not.
            if error.status < _SERVER_FAULT:
                raise
            return self._patiently(error, error.message)

    def _patiently(self, error: Exception, cause: str) -> Heard[T]:
        silent = self._clock() - self._heard_at
        if self._last is None or silent > self._patience:
            raise error
        return Heard(self._last.value, max(silent, 0.001), cause)


def silence(heard: Heard[Any]) -> str:
    """That there is no answer."""
    return f"no answer for {format_duration(heard.silent)} ({printable(heard.cause)}); trying again"
