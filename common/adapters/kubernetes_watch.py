"""Keeps mirrors of a namespace's objects by list and watch: one thread and one connection per kind and namespace.

A thread is blocked in the connection and wakes up for events only. It is started by the first question and ends when
nobody has asked for long. What is told is never older than ``WatchSettings`` allows: a broken watch or a silent server
raises Unavailable instead.
"""

from __future__ import annotations

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
        self._wanted = 0
        self._must_list = False

    def current(self) -> Mirror[Any]:
        """The mirror, which holds what was written through ``wrote`` and is no older than the settings allow.

        Raises Unavailable when that cannot be had, ClusterError when the cluster refuses to show the objects.
        """
        self._used_at = self._clock.monotonic()
        with self._asking:
            if self._is_behind():
                self._ask(self._catch_up)
            self._ensure_running()
            self._check_watch()
            if self._clock.monotonic() - self._heard_at >= self._settings.silence:
                self._ask(self._listen)
        return self.mirror

    def confirm(self, max_age: float) -> None:
        """Read anew unless a list is at most ``max_age`` seconds old: what is missing may only not have come yet."""
        with self._asking:
            if self._clock.monotonic() - self._listed_at >= max_age:
                self.wrote()
                self._ask(self._catch_up)

    def wrote(self, document: Mapping[str, Any] | None = None) -> None:
        """What is told next must not be older than this write. ``document``: the object as the server answered it,
        None when the answer does not say its version."""
        try:
            version = None if document is None else version_of(document)
        except ClusterError:
            version = None
        with self._lock:
            if version is None:
                self._must_list = True
            else:
                self._wanted = max(self._wanted, version)

    def _catch_up(self) -> None:
        """Read everything if there is something that is not known."""
        with self._listing:
            if self._is_behind():
                self._list()

    def _is_behind(self) -> bool:
        with self._lock:
            return not self._is_listed or self._must_list or self.mirror.version < self._wanted

    def _list(self) -> None:
        # Of two lists the older one could come last and undo what a watch has told since: hence one at a time.
        with self._lock:
            # A write that comes meanwhile may not be in the list.
            self._must_list = False
            is_first, wanted = not self._is_listed, self._wanted
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
            if self._wanted == wanted:
                self._wanted = 0
            self._listed_at = began
            self._heard_at = began

    def stop(self) -> None:
        """End the thread, if there is one, and wait for it."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
            if self._watch is not None:
                self._watch.close()
        if thread is not None:
            thread.join(_STOP_SECONDS)

    # Asking, with self._asking held.

    def _ask(self, question: Callable[[], None]) -> None:
        if self._failure is not None and self._clock.monotonic() < self._failed_until:
            raise self._failure.with_traceback(None)
        began = self._clock.monotonic()
        try:
            question()
        except (Unavailable, ClusterError) as error:
            took = self._clock.monotonic() - began
            self._failure = error
            self._failed_until = self._clock.monotonic() + min(self._settings.failure, max(took, 0.5))
            raise
        self._failure = None

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
