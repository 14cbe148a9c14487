"""The one thread that reconciles: takes notes of changes and runtime events, and works them off.

It sleeps while nothing changes; a failing reconciliation is logged and tried again with back-off, and stops nothing
else.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from localcluster.clock import Clock
from localcluster.errors import LocalClusterError
from localcluster.log import Log

Key = tuple[str, str, str]

_FIRST_RETRY = 0.05
_LAST_RETRY = 10.0


@dataclass(frozen=True)
class Task:
    """Work other than reconciling a key: done once, in order."""

    name: str
    run: Callable[[], None]


class ControlLoop:
    """Keys are (what, namespace, name); each key waits at most once in the queue, and waits in its turn."""

    def __init__(self, clock: Clock, log: Log, reconcile: Callable[[Key], float | None]) -> None:
        self._clock = clock
        self._log = log
        self._reconcile = reconcile
        self._wake = threading.Condition()
        self._queue: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._tasks: deque[Task] = deque()
        self._timers: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="control-loop", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the reconciliation in progress."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def add(self, key: Key) -> None:
        """Reconcile this key soon. May be called under the store's lock."""
        with self._wake:
            if key not in self._queued:
                self._queued.add(key)
                self._queue.append(key)
                self._wake.notify()

    def submit(self, task: Task) -> None:
        """Do this before the queued keys."""
        with self._wake:
            self._tasks.append(task)
            self._wake.notify()

    def add_later(self, key: Key, seconds: float) -> None:
        """Reconcile this key after that time, or earlier if that was asked for already."""
        due = self._clock.monotonic() + seconds
        with self._wake:
            known = self._due.get(key)
            if known is not None and known <= due:
                return
            self._due[key] = due
            heapq.heappush(self._timers, (due, key))
            self._wake.notify()

    def _next(self) -> Task | Key | None:
        with self._wake:
            while not self._stopping:
                now = self._clock.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    due, key = heapq.heappop(self._timers)
                    if self._due.get(key) == due:
                        del self._due[key]
                        if key not in self._queued:
                            self._queued.add(key)
                            self._queue.append(key)
                if self._tasks:
                    return self._tasks.popleft()
                if self._queue:
                    key = self._queue.popleft()
                    self._queued.discard(key)
                    return key
                self._wake.wait(self._timers[0][0] - now if self._timers else None)
            return None

    def _run(self) -> None:
        while True:
            item = self._next()
            if item is None:
                return
            try:
                if isinstance(item, Task):
                    item.run()
                    continue
                again = self._reconcile(item)
                self._failures.pop(item, None)
                if again is not None:
                    self.add_later(item, again)
            except Exception as error:  # noqa: BLE001 - a loop survives a failing tick
                self._failed(item, error)

    def _failed(self, item: Task | Key, error: Exception) -> None:
        expected = isinstance(error, LocalClusterError)
        if isinstance(item, Task):
            self._log.error("task_failed", task=item.name, error=repr(error), expected=expected)
            return
        count = self._failures[item] = self._failures.get(item, 0) + 1
        delay = min(_FIRST_RETRY * 2.0 ** min(count - 1, 16), _LAST_RETRY)
        self._log.error("reconcile_failed", key="/".join(item), error=repr(error), expected=expected, retry_in=delay)
        self.add_later(item, delay)
