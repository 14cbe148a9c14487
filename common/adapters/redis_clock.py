"""The suite's time of day: Redis's, whatever the clocks of the machines say.

Leases and the times of items are Redis's already. With every service's own clock beside them, a machine whose clock is
five minutes off would measure deadlines five minutes off, and a clock that is set would move them while they run.
"""

from __future__ import annotations

import threading

import redis

from common.adapters.redis_client import translated
from common.domain.errors import Unavailable
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)
_FIRST = 1.0
"""Most seconds that the first question waits for the first answer of Redis."""
_PROMPT = 0.5
"""Seconds within which an answer must come to be of use."""
_TOLD = 5.0
"""A difference of so many seconds to this machine's clock is told, once."""


class RedisClock:
    """Implements ports.Clock: ``now`` is Redis's time, carried on by this machine's monotonic clock between two looks.

    ``start`` looks every ``every`` seconds in a thread. Until Redis has answered once, ``now`` is the local clock's;
    while Redis is away the last known difference goes on. Threads may share it.
    """

    def __init__(self, client: redis.Redis, local: Clock, every: float = 10.0) -> None:
        self._client = client
        self._local = local
        self._every = every
        self._offset = local.now() - local.monotonic()
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_known = False
        self._is_told = False

    def now(self) -> float:
        if self._thread is not None and not self._answered.is_set():
            self._answered.wait(_FIRST)
            # Asked in vain once is enough.
            self._answered.set()
        return self._local.monotonic() + self._offset

    def monotonic(self) -> float:
        return self._local.monotonic()

    def sleep(self, seconds: float) -> None:
        self._local.sleep(seconds)

    def start(self) -> None:
        """Look from time to time, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="redis-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def look(self) -> None:
        """Ask Redis for its time. Raises Unavailable, also when the answer took so long that it is of no use."""
        asked = self._local.monotonic()
        with translated():
            seconds, microseconds = self._client.time()
        answered = self._local.monotonic()
        if answered - asked > _PROMPT and self._is_known:
            # Redis stood still, or was away and asked again: when in between it was that time nobody knows.
            raise Unavailable(f"Redis took {answered - asked:.1f} s to tell its time")
        # It was that time at some moment in between.
        self._offset = seconds + microseconds / 1e6 - (answered - min(answered - asked, _PROMPT) / 2)
        self._is_known = True
        self._answered.set()
        apart = self._local.now() - self.now()
        if abs(apart) >= _TOLD and not self._is_told:
            self._is_told = True
            log.warning("clocks_apart", seconds=round(apart, 1), effect="Redis's clock counts, not this machine's")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Unavailable as error:
                log.debug("time_not_told", error=error.message)
            self._stopping.wait(self._every)
