"""The line to the queue: keeps asking while the queue is away, and says so once, not once per try."""

from __future__ import annotations

import threading
from typing import Callable, Dict, Optional, Type, TypeVar

from .clock import Clock
from .errors import QueueGone
from .log import Log
from .pace import RETRY
from .queue.api import CredentialsRefused, QueueMissing, QueueUnavailable

T = TypeVar("T")

CREDENTIALS_PATIENCE = 30.0
"""Seconds that credentials may be refused before they are taken to be wrong."""


_EVENTS: Dict[Type[Exception], str] = {QueueMissing: "queue_missing", CredentialsRefused: "credentials_refused"}


class Line:
    """Calls to the queue from both threads, with one view of whether it can be reached.

    ``patience`` is how many seconds it may be away in a row before ``insist`` raises QueueGone.
    """

    def __init__(self, submission: str, patience: float, clock: Clock, log: Log) -> None:
        self._submission = submission
        self._patience = patience
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._away_since: Optional[float] = None
        self._never = threading.Event()

    def attempt(self, call: Callable[[], T]) -> T:
        """One try. Raises the queue's errors like the call itself, after having told the log of those that may pass."""
        try:
            value = call()
        except (QueueUnavailable, QueueMissing, CredentialsRefused) as error:
            self._away(error)
            raise
        self._back()
        return value

    def insist(self, call: Callable[[], T], unless: Callable[[], bool] = lambda: False) -> T:
        """Try until it works. Raises QueueGone when the patience is over, or once ``unless`` says so, and QueueRefused
        when the server refuses to serve."""
        began = self._clock.now()
        tries = 0
        while True:
            try:
                return self.attempt(call)
            except (QueueUnavailable, QueueMissing, CredentialsRefused) as error:
                waited = self._clock.now() - began
                if isinstance(error, CredentialsRefused) and (waited >= CREDENTIALS_PATIENCE or unless()):
                    raise
                if waited >= self._patience or unless():
                    problem = "does not exist" if isinstance(error, QueueMissing) else "cannot be reached"
                    raise QueueGone(
                        f"the queue of submission {self._submission} {problem} for {waited:.0f} s "
                        f"(ASPERATHOS_QUEUE_PATIENCE is {self._patience:.0f} s): {error}"
                    ) from error
                pause = min(RETRY.wait(tries) * self._clock.jitter(), max(0.0, self._patience - waited))
                tries += 1
                self._clock.wait(self._never, pause)

    def _away(self, error: Exception) -> None:
        with self._lock:
            first = self._away_since is None
            if first:
                self._away_since = self._clock.now()
        if first:
            event = _EVENTS.get(type(error), "queue_unavailable")
            self._log.warning(event, error=error, patience=self._patience)

    def _back(self) -> None:
        if self._away_since is None:
            return
        with self._lock:
            since, self._away_since = self._away_since, None
        if since is not None:
            self._log.info("queue_back", away=self._clock.now() - since)
