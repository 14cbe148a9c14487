"""A bounded outbox: what is written waits in memory until a store takes it, a request a second at most."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from common.domain.errors import AsperathosError, BadRequest
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)


class OutboxMeter(Protocol):
    """What becomes of the lines."""

    def delivered(self, lines: int) -> None: ...

    def lost(self, lines: int) -> None: ...

    def waiting(self, lines: int) -> None: ...

    def back(self) -> None:
        """The store took a request again after one that failed."""


@dataclass(frozen=True)
class OutboxLimits:
    """``bound``: most lines that wait; ``batch``: most in one request. Durations in seconds: ``pause`` between two
    requests, doubling up to ``backoff_cap`` while they fail."""

    bound: int = 200_000
    batch: int = 20_000
    pause: float = 1.0
    backoff_cap: float = 30.0


class Outbox:
    """Sends lines in their order, from one thread of its own.

    ``send`` raises BadRequest for lines that will never be taken: they are dropped and said. Whatever else goes wrong,
    the lines wait for the next try; beyond the bound the oldest are dropped, counted, and said.
    """

    def __init__(
        self,
        send: Callable[[Sequence[str]], None],
        clock: Clock,
        meter: OutboxMeter,
        limits: OutboxLimits | None = None,
    ) -> None:
        self._send = send
        self._clock = clock
        self._meter = meter
        self._limits = limits or OutboxLimits()
        self._changed = threading.Condition()
        """Guards what follows; notified when lines come and when a request ends."""
        self._waiting: deque[str] = deque()
        self._put = 0
        self._settled = 0
        """Lines put, and lines that were delivered or dropped, so far: in their order."""
        self._lost = 0
        """Lines dropped since the last request that succeeded."""
        self._failures = 0
        self._next_at = clock.monotonic()
        self._closed = False

    def put(self, lines: Sequence[str]) -> None:
        """Have the lines sent. Never waits for the store."""
        if not lines:
            return
        with self._changed:
            self._waiting.extend(lines)
            self._put += len(lines)
            self._drop_oldest()
            self._meter.waiting(len(self._waiting))
            self._changed.notify_all()

    def start(self) -> None:
        """Send from now on."""
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def flush(self, timeout: float) -> bool:
        """Wait until what was put before has been sent, for ``timeout`` seconds at most; False at once while the store
        is away."""
        with self._changed:
            until = self._put
            self._changed.wait_for(lambda: self._settled >= until or self._failures > 0, timeout)
            return self._settled >= until

    def close(self, timeout: float) -> None:
        """Send what waits, for ``timeout`` seconds at most, and end the thread.

        A store that was away is asked once more.
        """
        self.flush(timeout)
        with self._changed:
            self._closed = True
            self._next_at = self._clock.monotonic()
            self._changed.notify_all()
        self.deliver()
        if self._waiting:
            log.warning("metrics_left_behind", lines=len(self._waiting))

    def deliver(self) -> float | None:
        """One request if it is time for it; returns the seconds to the next, None when nothing waits."""
        with self._changed:
            if not self._waiting:
                return None
            early = self._next_at - self._clock.monotonic()
            if early > 0:
                return early
            batch = list(islice(self._waiting, self._limits.batch))
            for _ in batch:
                self._waiting.popleft()
        try:
            self._send(batch)
        except BadRequest as error:
            log.warning("metrics_refused", lines=len(batch), error=error.message)
            self._meter.lost(len(batch))
            self._done(len(batch))
        except AsperathosError as error:
            self._failed(batch, error.message)
        except Exception as error:
            log.warning("metrics_not_sent", exc_info=True)
            self._failed(batch, f"{type(error).__name__}: {error}")
        else:
            self._meter.delivered(len(batch))
            self._done(len(batch))
        return self._next_at - self._clock.monotonic()

    def _done(self, lines: int) -> None:
        with self._changed:
            if self._failures:
                self._meter.back()
                log.info("metrics_store_back", lines=lines, waiting=len(self._waiting), lost=self._lost)
            elif self._lost:
                log.warning("metrics_too_many", waiting=len(self._waiting), lost=self._lost)
            self._settled += lines
            self._failures = self._lost = 0
            self._next_at = self._clock.monotonic() + self._limits.pause
            self._meter.waiting(len(self._waiting))
            self._changed.notify_all()

    def _failed(self, batch: Sequence[str], problem: str) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(batch))
            self._failures += 1
            self._drop_oldest()
            pause = min(self._limits.backoff_cap, self._limits.pause * 2.0 ** min(self._failures - 1, 10))
            self._next_at = self._clock.monotonic() + pause
            if self._failures == 1 or pause == self._limits.backoff_cap:
                log.warning("metrics_delayed", waiting=len(self._waiting), lost=self._lost, error=problem)
            self._meter.waiting(len(self._waiting))
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        beyond = len(self._waiting) - self._limits.bound
        if beyond <= 0:
            return
        for _ in range(beyond):
            self._waiting.popleft()
        self._settled += beyond
        self._lost += beyond
        self._meter.lost(beyond)

    def _run(self) -> None:
        while True:
            wait = self.deliver()
            with self._changed:
                if self._closed:
                    return
                if wait is None:
                    if not self._waiting:
                        self._changed.wait()
                elif wait > 0:
                    self._changed.wait_for(lambda: self._closed, wait)
