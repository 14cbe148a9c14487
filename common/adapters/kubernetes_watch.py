"""Keeps mirrors of a namespace's objects by list and watch: one thread and one connection per kind and namespace.

A thread is blocked in the connection and wakes up for events only. It is started by the first question and ends when
nobody has asked for long. What is told is never older than ``WatchSettings`` allows: a broken watch or a silent server
raises Unavailable instead.

Who has written something is told nothing older than that. Where the watch is late, the objects of that submission alone
are read: among thousands of submissions somebody always writes, and reading all of them for each write would cost their
number squared.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.adapters.kubernetes_api import KubernetesApi, Overloaded, Watch
from common.adapters.kubernetes_mirror import Mirror, V, version_of
from common.domain.cluster import SUBMISSION_LABEL
from common.domain.errors import AsperathosError, ClusterError, Unavailable
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)
_EXPIRED = frozenset({"Expired", "Gone"})
_SHORT_WATCH = 1.0
"""Seconds; a watch that ends sooner is not opened again at once."""
_ANEW = 3
"""Failures in a row after which the version that is known is given up."""
_STOP_SECONDS = 5.0
_MOST_OWED = 1000
"""Submissions that were written to and not looked at since, beyond which all is read once instead."""


@dataclass(frozen=True)
class _Owed:
    """A write that must be seen: the version it made (infinite when its answer told none), and which write it is."""

    version: float
    number: int


@dataclass(frozen=True)
class WatchSettings:
    """Durations in seconds.

    ``watch``: how long the server is asked to keep a watch open (somewhat less each time, so that not all clients come
    back at once). ``broken``: how long a watch may be broken before nothing is told any more. ``silence``: how long the
    server may say nothing before it is asked for a sign of life. ``failure``: how long a failure is remembered, so that
    not each thread finds out anew. ``pause_base`` and ``pause_cap`` bound the pause before the next try after a
    failure. ``idle``: how long nobody must ask before the watch ends.
    """

    watch: float = 20.0
    broken: float = 5.0
    silence: float = 5.0
    failure: float = 5.0
    pause_base: float = 0.25
    pause_cap: float = 8.0
    idle: float = 300.0


class Follower:
    """Keeps one mirror up to date."""

    def __init__(
        self,
        api: KubernetesApi,
        path: str,
        view: Callable[[Mapping[str, Any]], V],
        clock: Clock,
        settings: WatchSettings,
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        """``resumed`` is told of each watch that is open again after one that broke."""
        self._resumed = resumed
        self._api = api
        self._path = path
        self._clock = clock
        self._settings = settings
        self._chance = random.Random()
        self.mirror = Mirror(view)
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._listing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._watch: Watch | None = None
        self._used_at = 0.0
        self._heard_at = 0.0
        self._listed_at = 0.0
        self._broken_since: float | None = None
        self._problem: AsperathosError | None = None
        self._failed_until = 0.0
        self._failure: AsperathosError | None = None
        self._is_listed = False
        self._writes = 0
        self._owed: dict[str, _Owed] = {}
        """By submission: what must be seen when it is looked at next."""
        self._looked_at: dict[str, float] = {}
        """By submission: when its objects alone were read last, if that is not long ago."""
        self._must_list = False

    def current(self, submission: str = "") -> Mirror[Any]:
        """The mirror, which holds what was written to this submission (to any when ``''``), and is no older than the
        settings allow.

        Raises Unavailable when that cannot be had, ClusterError when the cluster refuses to show the objects.
        """
        self._used_at = self._clock.monotonic()
        with self._asking:
            if self._is_behind() or (not submission and self._is_any_owed()):
                self._ask(self._catch_up)
            self._ensure_running()
            self._check_watch()
            if self._clock.monotonic() - self._heard_at >= self._settings.silence:
                self._ask(self._listen)
        if submission and self._is_owed(submission):
            self._ask(lambda: self._look(submission))
        return self.mirror

    def confirm(self, submission: str, max_age: float) -> None:
        """Read the submission's objects anew unless they were read at most ``max_age`` seconds ago: what is missing may
        only not have come yet."""
        now = self._clock.monotonic()
        with self._lock:
            self._looked_at = {id: at for id, at in self._looked_at.items() if now - at < max_age}
            is_fresh = now - self._listed_at < max_age or submission in self._looked_at
        if not is_fresh:
            self._ask(lambda: self._look(submission))

    def wrote(self, submission: str = "", document: Mapping[str, Any] | None = None) -> None:
        """What is told next of this submission (of any when ``''``) must not be older than this write. ``document``:
        the object as the server answered it, None when the answer does not say its version."""
        try:
            version: float = math.inf if document is None else version_of(document)
        except ClusterError:
            version = math.inf
        with self._lock:
            self._writes += 1
            if not submission or (submission not in self._owed and len(self._owed) >= _MOST_OWED):
                self._must_list = True
                return
            before = self._owed.get(submission)
            self._owed[submission] = _Owed(max(version, before.version if before else 0), self._writes)

    def _catch_up(self) -> None:
        """Read everything if there is something that is not known."""
        with self._listing:
            if self._is_behind() or self._is_any_owed():
                self._list()

    def _is_behind(self) -> bool:
        with self._lock:
            return not self._is_listed or self._must_list

    def _is_any_owed(self) -> bool:
        """Whether somebody's write is not known yet. What the watch has told meanwhile is owed no more."""
        with self._lock:
            known = self.mirror.version_of
            self._owed = {id: owed for id, owed in self._owed.items() if known(id) < owed.version}
            return bool(self._owed)

    def _is_owed(self, submission: str) -> bool:
        with self._lock:
            owed = self._owed.get(submission)
            if owed is not None and self.mirror.version_of(submission) >= owed.version:
                del self._owed[submission]
                return False
            return owed is not None

    def _list(self) -> None:
        # Of two lists the older one could come last and undo what a watch has told since: hence one at a time.
        with self._lock:
            # A write that comes meanwhile may not be in the list.
            self._must_list = False
            is_first, owed = not self._is_listed, self._owed.copy()
        began = self._clock.monotonic()
        try:
            document = self._api.call("GET", self._path, [("labelSelector", SUBMISSION_LABEL)]).json()
            self.mirror.replace(document, anew=is_first)
        except AsperathosError:
            with self._lock:
                self._must_list = True
            raise
        with self._lock:
            self._is_listed = True
            self._owed = {id: now for id, now in self._owed.items() if owed.get(id) != now}
            self._listed_at = began
            self._heard_at = began

    def _look(self, submission: str) -> None:
        """Read this submission's objects. Several threads may do so at once: the later version counts."""
        with self._lock:
            owed = self._owed.get(submission)
        began = self._clock.monotonic()
        selector = f"{SUBMISSION_LABEL}={submission}"
        self.mirror.learn(submission, self._api.call("GET", self._path, [("labelSelector", selector)]).json())
        with self._lock:
            # A write that came meanwhile may not be in it.
            if owed is not None and self._owed.get(submission) == owed:
                del self._owed[submission]
            self._looked_at[submission] = began
            self._heard_at = max(self._heard_at, began)

    def stop(self) -> None:
        """End the thread, if there is one, and wait for it."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
            if self._watch is not None:
                self._watch.close()
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _ask(self, question: Callable[[], None]) -> None:
        with self._lock:
            failure = self._failure if self._clock.monotonic() < self._failed_until else None
        if failure is not None:
            raise failure.with_traceback(None)
        began = self._clock.monotonic()
        try:
            question()
        except (Unavailable, ClusterError) as error:
            now = self._clock.monotonic()
            with self._lock:
                self._failure = error
                self._failed_until = now + min(self._settings.failure, max(now - began, 0.5))
            raise
        with self._lock:
            self._failure = None

    # With self._asking held.

    def _listen(self) -> None:
        """A sign of life. The watch is open as far as we know, so a server that answers has nothing new to tell."""
        began = self._clock.monotonic()
        self._api.call("GET", "/version")
        self._heard_at = began

    def _check_watch(self) -> None:
        with self._lock:
            since, problem = self._broken_since, self._problem
        if since is None or problem is None or self._clock.monotonic() - since < self._settings.broken:
            return
        raise problem.with_traceback(None)

    def _ensure_running(self) -> None:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._stop = threading.Event()
            self._broken_since, self._problem = None, None
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name=f"watch {self._path}", daemon=True
            )
            self._thread.start()

    # Following, in the thread.

    def _run(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set() and self._clock.monotonic() - self._used_at < self._settings.idle:
            began = self._clock.monotonic()
            try:
                if not self._is_listed:
                    self._catch_up()
                was_useful = self._follow(stop)
            except (Unavailable, ClusterError) as error:
                if stop.is_set():
                    break
                failures += 1
                self._failed(error)
                if failures % _ANEW == 0:
                    # A server that was set back to an older state does not know our version yet, nor says so.
                    with self._lock:
                        self._is_listed = False
                stop.wait(self._pause(failures, error))
                continue
            failures = 0
            if not was_useful and self._clock.monotonic() - began < _SHORT_WATCH:
                stop.wait(self._pause(1, None))
        with self._lock:
            if self._stop is stop:
                # Without a thread nothing is known any more.
                self._is_listed = False
                self._thread = None

    def _follow(self, stop: threading.Event) -> bool:
        """One watch from its opening to its end; whether it told anything."""
        seconds = max(1.0, self._settings.watch * self._chance.uniform(0.75, 1.0))
        query = [("labelSelector", SUBMISSION_LABEL), ("resourceVersion", str(self.mirror.version))]
        try:
            watch = self._api.watch(self._path, query, seconds)
        except ClusterError as error:
            self._forget_if_expired(error)
            raise
        with self._lock:
            self._watch = watch
            self._heard_at = self._clock.monotonic()
            was_broken, self._broken_since = self._broken_since is not None, None
            self._problem = None
        if was_broken:
            self._resumed()
            log.info("watch_resumed", path=self._path)
        if stop.is_set():
            watch.close()
        told = False
        for event in watch:
            told = True
            self._heard_at = self._clock.monotonic()
            if event.get("type") == "ERROR":
                self._refused(event["object"])
            self.mirror.apply(str(event.get("type")), event["object"])
        return told

    def _refused(self, status: Mapping[str, Any]) -> None:
        message = str(status.get("message") or "the watch was refused")
        error = ClusterError(message, "Expired" if status.get("code") == 410 else str(status.get("reason") or ""))
        self._forget_if_expired(error)
        raise Unavailable(f"the watch ended: {message}") from error

    def _forget_if_expired(self, error: ClusterError) -> None:
        if error.reason in _EXPIRED:
            with self._lock:
                self._is_listed = False

    def _failed(self, error: AsperathosError) -> None:
        with self._lock:
            is_news = self._broken_since is None
            if is_news:
                self._broken_since = self._clock.monotonic()
            self._problem = error
        if is_news:
            log.warning("watch_broken", path=self._path, error=error.message)

    def _pause(self, failures: int, error: AsperathosError | None) -> float:
        """Seconds until the next try: longer each time, and never the same for two clients."""
        most = min(self._settings.pause_cap, self._settings.pause_base * 2.0 ** min(failures, 16))
        asked = error.retry_after if isinstance(error, Overloaded) else 0.0
        return asked + self._chance.uniform(most / 4, most)
