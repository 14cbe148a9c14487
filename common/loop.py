"""The level-triggered loop every service has: look at each active record when it is due, or when nudged.

Any number of processes may run the same loop: a step happens under a short Redis lease of its record, and every
write names the record's version. A step that fails is logged, counted, and tried again with backoff; the loop goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from common.domain.errors import AsperathosError, Conflict, Unavailable
from common.logging import get_logger
from common.ports import Clock, Leases, Wakeups

log = get_logger(__name__)
_STEPPING_POLL = 0.05


class Steps(Protocol):
    """What a loop drives."""

    def active_ids(self) -> Iterable[str]:
        """Records that need looking at."""

    def step(self, id: str) -> float:
        """Bring one record one bounded step nearer to its goal; returns the seconds until it wants the next."""


class LoopMeter(Protocol):
    """What the loop tells about itself. Durations in seconds."""

    def stepped(self, seconds: float, lag: float) -> None: ...

    def failed(self) -> None: ...


@dataclass(frozen=True)
class LoopSettings:
    """Durations in seconds. ``lease`` must exceed the longest step."""

    service: str
    owner: str
    workers: int = 4
    poll: float = 1.0
    """How long to wait for a nudge before looking at what is due."""
    scan: float = 5.0
    """How often to read which records are active, besides nudges."""
    lease: float = 10.0
    backoff_base: float = 0.5
    backoff_cap: float = 15.0


@dataclass
class _Due:
    at: float
    failures: int = 0
    running: bool = False


class Loop:
    """Runs Steps in a few threads until stopped."""

    def __init__(
        self, settings: LoopSettings, steps: Steps, leases: Leases, wakeups: Wakeups, clock: Clock, meter: LoopMeter
    ) -> None:
        self._settings = settings
        self._steps = steps
        self._leases = leases
        self._wakeups = wakeups
        self._clock = clock
        self._meter = meter
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._due: dict[str, _Due] = {}
        self._next_scan = 0.0
        self._last_tick = clock.monotonic()
        self._thread: threading.Thread | None = None
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix=f"{settings.service}-step")

    def start(self) -> None:
        """Run in a thread of this process."""
        self._thread = threading.Thread(target=self.run, name=f"{self._settings.service}-loop", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let running steps end (at most timeout seconds) and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """Readiness: raises Unavailable when the loop has not ticked lately."""
        if self._clock.monotonic() - self._last_tick > self._settings.scan + 30.0:
            raise Unavailable(f"the {self._settings.service} loop does not tick")

    def run(self) -> None:
        """Tick until stopped."""
        log.info("loop_started", owner=self._settings.owner)
        while not self._stopping.is_set():
            try:
                self._tick()
            except Exception as error:  # the loop must survive any failing tick
                self._meter.failed()
                log.error("loop_tick_failed", error=str(error), exc_info=not isinstance(error, AsperathosError))
                self._stopping.wait(self._settings.backoff_base)
            self._last_tick = self._clock.monotonic()
        log.info("loop_stopped", owner=self._settings.owner)

    def _tick(self) -> None:
        nudged = self._wakeups.wait(self._settings.service, self._wait_time())
        now = self._clock.monotonic()
        if now >= self._next_scan:
            self._scan(now)
        if nudged is not None:
            self._nudge(nudged, now)
        for id in self._take_due(now):
            self._pool.submit(self._guarded_step, id, now)

    def _wait_time(self) -> float:
        with self._lock:
            next_due = min((due.at for due in self._due.values() if not due.running), default=float("inf"))
            stepping = any(due.running for due in self._due.values())
        # A running step may ask for the next one at once, and only a short wait here lets it have it.
        most = min(self._settings.poll, _STEPPING_POLL) if stepping else self._settings.poll
        return min(most, max(0.01, next_due - self._clock.monotonic()))

    def _scan(self, now: float) -> None:
        active = set(self._steps.active_ids())
        self._next_scan = now + self._settings.scan
        with self._lock:
            for id in active - self._due.keys():
                self._due[id] = _Due(now)
            for id in [id for id, due in self._due.items() if id not in active and not due.running]:
                del self._due[id]

    def _nudge(self, id: str, now: float) -> None:
        with self._lock:
            due = self._due.setdefault(id, _Due(now))
            due.at = now

    def _take_due(self, now: float) -> list[str]:
        with self._lock:
            ready = [id for id, due in self._due.items() if due.at <= now and not due.running]
            for id in ready:
                self._due[id].running = True
                self._due[id].at = float("inf")
        return ready

    def _guarded_step(self, id: str, due_at: float) -> None:
        began = self._clock.monotonic()
        try:
            wait = self._step_under_lease(id)
            failures = 0
            self._meter.stepped(self._clock.monotonic() - began, began - due_at)
        except Exception as error:  # one record's failing step must not hurt the others
            failures = self._failures(id) + 1
            wait = min(self._settings.backoff_cap, self._settings.backoff_base * 2 ** min(failures - 1, 10))
            self._meter.failed()
            expected = isinstance(error, AsperathosError)
            log.warning("step_failed", id=id, error=str(error), failures=failures, exc_info=not expected)
        self._reschedule(id, began, wait, failures)

    def _step_under_lease(self, id: str) -> float:
        name = f"{self._settings.service}:{id}"
        if self._leases.hold(name, self._settings.owner, self._settings.lease) is None:
            return self._settings.backoff_base
        try:
            return self._steps.step(id)
        except Conflict:
            return 0.05
        finally:
            self._leases.release(name, self._settings.owner)

    def _failures(self, id: str) -> int:
        with self._lock:
            due = self._due.get(id)
            return due.failures if due is not None else 0

    def _reschedule(self, id: str, began: float, wait: float, failures: int) -> None:
        with self._lock:
            due = self._due.get(id)
            if due is None:
                return
            due.running = False
            due.failures = failures
            due.at = min(due.at, began + wait)
