"""The level-triggered loop every service has: look at each active record when it is due, or when nudged.

Any number of processes may run the same loop: a step happens under a short lease of its record, and every write names
the record's version. A step that fails is logged, counted, and tried again with backoff; the loop goes on.

One thread decides what is due, a second one waits for nudges, and a few carry the steps out; so neither a long step nor
a server that keeps nudges waiting holds up the rest.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from common.domain.errors import AsperathosError, Conflict, Unavailable
from common.logging import get_logger
from common.ports import Clock, Leases, Wakeups

log = get_logger(__name__)


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

    def waiting(self, steps: int) -> None:
        """How many steps are due and have not begun."""


@dataclass(frozen=True)
class LoopSettings:
    """Durations in seconds. ``lease`` should exceed the longest step."""

    service: str
    owner: str
    workers: int = 4
    poll: float = 2.0
    """How long one call waits for a nudge."""
    scan: float = 5.0
    """How often to read which records are active, besides nudges."""
    lease: float = 10.0
    backoff_base: float = 0.5
    backoff_cap: float = 15.0
    conflict_wait: float = 0.05
    """Wait after the first step in a row that met somebody else's change; doubles with each further one."""


@dataclass(frozen=True)
class Setbacks:
    """How a loop finds out that the records may be older than what it has seen of them, and what is to be done then.

    ``life`` names the life of the records' server: another name means that it was started again, or is another one, and
    may have lost its last second. ``forget`` drops what this process concluded from the records. Raises Unavailable.
    """

    life: Callable[[], str] = lambda: ""
    forget: Callable[[], None] = lambda: None


@dataclass
class _Due:
    at: float
    failures: int = 0
    conflicts: int = 0
    running: bool = False


class Loop:
    """Runs Steps in a few threads until stopped."""

    def __init__(
        self,
        settings: LoopSettings,
        steps: Steps,
        leases: Leases,
        wakeups: Wakeups,
        clock: Clock,
        meter: LoopMeter,
        executor: Executor | None = None,
        setbacks: Setbacks | None = None,
    ) -> None:
        self._settings = settings
        self._steps = steps
        self._leases = leases
        self._wakeups = wakeups
        self._clock = clock
        self._meter = meter
        self._setbacks = setbacks or Setbacks()
        self._life: str | None = None
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        """Guards the schedule below; notified when something becomes due earlier, or a step ends."""
        self._due: dict[str, _Due] = {}
        self._order: list[tuple[float, str]] = []
        """A heap of when which record is due; an entry counts only while its record says the same."""
        self._sleeps_until = float("-inf")
        """Until when the schedule sleeps unless notified; in the past while it is awake."""
        self._next_scan = clock.monotonic()
        self._failed_scans = 0
        self._failed_listens = 0
        self._at_work = 0
        self._waiting = 0
        """Steps that were handed to the pool and have not begun."""
        self._last_tick = clock.monotonic()
        self._threads: list[threading.Thread] = []
        self._pool = executor or ThreadPoolExecutor(settings.workers, thread_name_prefix=f"{settings.service}-step")

    def start(self) -> None:
        """Run in threads of this process."""
        for name, run in (("schedule", self._run_schedule), ("nudges", self._run_listening)):
            thread = threading.Thread(target=run, name=f"{self._settings.service}-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def begin_stop(self) -> None:
        """Begin no more steps. Returns at once; a signal handler may call it."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, timeout: float) -> None:
        """Begin no more steps and let the running ones end, for at most timeout seconds."""
        end = self._clock.monotonic() + timeout
        self.begin_stop()
        if self._threads:
            self._threads[0].join(timeout)
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            left = max(0.0, end - self._clock.monotonic())
            ended = self._changed.wait_for(lambda: self._at_work == 0, left)
        log.info("loop_stopped", owner=self._settings.owner, steps_cut_off=0 if ended else self._at_work)

    def check(self) -> None:
        """Readiness: raises Unavailable when the loop has not ticked lately."""
        if self._clock.monotonic() - self._last_tick > self._settings.scan + 30.0:
            raise Unavailable(f"the {self._settings.service} loop does not tick")

    def tick(self) -> float:
        """Begin every step that is due, after a look at what is active when it is time; returns the seconds to wait."""
        now = self._clock.monotonic()
        if now >= self._next_scan:
            self._scan(now)
        for id, due_at in self._take_due(now):
            self._pool.submit(self._guarded_step, id, due_at)
        self._last_tick = self._clock.monotonic()
        return max(0.0, self._next_due() - self._last_tick)

    def listen(self) -> float:
        """Wait once for a nudge and pass it on; returns the seconds to pause, above 0 when there is no listening."""
        try:
            nudged = self._wakeups.wait(self._settings.service, self._settings.poll)
        except Exception as error:  # the loop must survive whatever happens to its nudges
            self._failed_listens += 1
            if self._failed_listens == 1:
                self._report("nudges_not_heard", error)
            return self._backoff(self._failed_listens)
        self._failed_listens = 0
        if nudged is not None:
            self._nudge(nudged)
        return 0.0

    def _run_schedule(self) -> None:
        log.info("loop_started", owner=self._settings.owner)
        while not self._stopping.is_set():
            wait = self.tick()
            with self._changed:
                # What became due since the tick must not wait for the next one.
                now = self._clock.monotonic()
                wait = min(wait, self._next_due() - now)
                if wait > 0 and not self._stopping.is_set():
                    self._sleeps_until = now + wait
                    self._changed.wait(wait)
                    self._sleeps_until = float("-inf")

    def _run_listening(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.listen())

    def _next_due(self) -> float:
        with self._changed:
            while self._order and not self._counts(*self._order[0]):
                heapq.heappop(self._order)
            return min(self._next_scan, self._order[0][0]) if self._order else self._next_scan

    def _counts(self, at: float, id: str) -> bool:
        """Whether that entry of the heap is still what its record says. A running step adds its own at its end."""
        due = self._due.get(id)
        return due is not None and not due.running and due.at == at

    def _set_due(self, id: str, due: _Due, at: float) -> None:
        """With the lock held: the record is due then, and the schedule wakes up for it."""
        due.at = at
        heapq.heappush(self._order, (at, id))
        if at < self._sleeps_until:
            self._changed.notify_all()

    def _know(self, id: str, now: float) -> _Due:
        """With the lock held: the record's entry in the schedule; a new one is due at once."""
        due = self._due.get(id)
        if due is None:
            due = self._due[id] = _Due(now)
            self._set_due(id, due, now)
        return due

    def _scan(self, now: float) -> None:
        try:
            is_set_back = self._is_set_back()
            active = dict.fromkeys(self._steps.active_ids())
        except Exception as error:  # what is known already goes on
            self._failed_scans += 1
            self._meter.failed()
            self._report("scan_failed", error)
            self._next_scan = now + self._backoff(self._failed_scans)
            return
        self._failed_scans = 0
        self._next_scan = now + self._settings.scan
        with self._changed:
            for id in active:
                due = self._know(id, now)
                if is_set_back and not due.running:
                    self._set_due(id, due, min(due.at, now))
            for id in [id for id, due in self._due.items() if id not in active and not due.running]:
                del self._due[id]

    def _is_set_back(self) -> bool:
        """Whether the server has begun another life since the last look: then what was put off must be looked at, for
        the records it was put off by may be gone."""
        life = self._setbacks.life()
        before, self._life = self._life, life
        if before is None or before == life:
            return False
        log.warning("records_may_be_older", owner=self._settings.owner, why="their server was started again")
        self._setbacks.forget()
        return True

    def _nudge(self, id: str) -> None:
        if self._stopping.is_set():
            # Too late for us: somebody else's.
            self._wakeups.notify(self._settings.service, id)
            return
        with self._changed:
            now = self._clock.monotonic()
            self._set_due(id, self._know(id, now), now)

    def _take_due(self, now: float) -> list[tuple[str, float]]:
        with self._changed:
            ready = []
            while self._order and self._order[0][0] <= now:
                at, id = heapq.heappop(self._order)
                if self._counts(at, id):
                    self._due[id].running = True
                    self._due[id].at = float("inf")
                    ready.append((id, at))
            self._waiting += len(ready)
            self._meter.waiting(self._waiting)
        return ready

    def _guarded_step(self, id: str, due_at: float) -> None:
        with self._changed:
            self._at_work += 1
            self._waiting -= 1
            self._meter.waiting(self._waiting)
            due = self._due[id]
        began = self._clock.monotonic()
        failures = conflicts = 0
        try:
            wait = self._step_under_lease(id)
            self._meter.stepped(self._clock.monotonic() - began, began - due_at)
        except Conflict as error:
            conflicts = due.conflicts + 1
            wait = min(self._settings.backoff_cap, self._settings.conflict_wait * 2.0 ** min(conflicts - 1, 20))
            log.debug("step_conflicted", id=id, error=error.message, conflicts=conflicts)
        except Exception as error:  # one record's failing step must not hurt the others
            failures = due.failures + 1
            wait = self._backoff(failures)
            self._meter.failed()
            self._report("step_failed", error, id=id, failures=failures)
        with self._changed:
            self._at_work -= 1
            due.running = False
            due.failures = failures
            due.conflicts = conflicts
            # A failure waits from its end: the step may have spent longer than that on its way there.
            since = self._clock.monotonic() if failures else began
            self._set_due(id, due, min(due.at, since + max(0.0, wait)))
            if self._stopping.is_set():
                self._changed.notify_all()

    def _step_under_lease(self, id: str) -> float:
        name = f"{self._settings.service}:{id}"
        if self._leases.hold(name, self._settings.owner, self._settings.lease) is None:
            return self._settings.backoff_base
        try:
            return self._steps.step(id)
        finally:
            self._release(name)

    def _release(self, name: str) -> None:
        try:
            self._leases.release(name, self._settings.owner)
        except Unavailable as error:
            # It runs out by itself, and what the step did or raised matters more.
            log.debug("lease_not_released", lease=name, error=error.message)

    def _backoff(self, failures: int) -> float:
        return min(self._settings.backoff_cap, self._settings.backoff_base * 2.0 ** min(failures - 1, 20))

    def _report(self, event: str, error: Exception, **fields: object) -> None:
        log.warning(event, error=str(error), exc_info=not isinstance(error, AsperathosError), **fields)
