"""Live logs of all replicas of a submission, merged by time, until it ends.

Each round asks for what every pod wrote since the last one, which needs one connection however many pods there are.
A pod that went between two rounds is finished with the log that was kept of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from common.domain.cluster import LogLine, PodView
from common.domain.errors import ClusterError, Unavailable
from common.domain.submission import Submission
from common.logging import get_logger
from common.ports import Clock, Clusters, Texts

log = get_logger(__name__)
_SECOND = 10**9
_REMEMBERED = 20
_MARGIN = 200


@dataclass(frozen=True)
class FollowRules:
    """``most`` logs are followed at once, each for ``limit`` seconds at most, of at most ``pods`` pods, with a look
    every ``period`` seconds."""

    most: int = 8
    limit: float = 3600.0
    period: float = 1.0
    pods: int = 100


@dataclass
class Cursor:
    """How far one pod's log has been told. A time alone does not say it: several lines may have the same."""

    at: int = 0
    told_at: int = 0
    """How many lines of the time ``at`` have been told."""
    last: list[str] = field(default_factory=list)
    """The last lines told, to find the place in a log without times."""
    done: bool = False

    def fresh(self, lines: list[LogLine], final: bool) -> list[LogLine]:
        """Those that were not told yet; they count as told now. An incomplete line is told when the log is final."""
        passed = self.told_at
        found: list[LogLine] = []
        for line in lines:
            if not line.complete and not final:
                continue
            if line.at < self.at:
                continue
            if line.at == self.at and passed > 0:
                passed -= 1
                continue
            found.append(line)
        for line in found:
            self.told_at = self.told_at + 1 if line.at == self.at else 1
            self.at = line.at
        self.last = [*self.last, *(line.text for line in found)][-_REMEMBERED:]
        return found

    def rest_of(self, text: str) -> list[str]:
        """What follows in a log without times; all of it when nothing was told, nothing when the place is not found."""
        lines = text.splitlines()
        if not self.last:
            return lines
        for length in range(min(len(self.last), len(lines)), 0, -1):
            wanted = self.last[-length:]
            for end in range(len(lines), length - 1, -1):
                if lines[end - length : end] == wanted:
                    return lines[end:]
        return []


class Following:
    """The lines of one follower as text, '' for a look that found none. Its end, or closing it, makes room again."""

    def __init__(self, texts: Iterator[str], release: Callable[[], None]) -> None:
        self._texts = texts
        self._release: Callable[[], None] | None = release
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._texts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place up. Idempotent."""
        with self._lock:
            release, self._release = self._release, None
        if release is not None:
            release()


@dataclass(frozen=True)
class Wanted:
    """Whose log, where its pods are, which of them ('' for all), how many lines of the past (None: all), and in
    which cluster."""

    id: str
    namespace: str
    pod: str = ""
    tail: int | None = None
    cluster: str = ""


class LogFollower:
    """``read`` gives the record of a submission, None when it is gone."""

    def __init__(
        self,
        clusters: Clusters,
        texts: Texts,
        clock: Clock,
        read: Callable[[str], Submission | None],
        rules: FollowRules | None = None,
    ) -> None:
        self._clusters = clusters
        self._texts = texts
        self._clock = clock
        self._read = read
        self._rules = rules or FollowRules()
        self._places = threading.BoundedSemaphore(self._rules.most)

    def follow(self, wanted: Wanted) -> Following:
        """Lines ``<pod> | <text>``. Raises Unavailable when as many as may be are followed already."""
        if not self._places.acquire(blocking=False):
            raise Unavailable(f"{self._rules.most} logs are followed already, and no more at once (log_followers)")
        return Following(self._texts_of(wanted), self._places.release)

    def _texts_of(self, wanted: Wanted) -> Iterator[str]:
        end = self._clock.monotonic() + self._rules.limit
        cursors: dict[str, Cursor] = {}
        tail = wanted.tail
        while True:
            # Read before the look: the look after the end has everything.
            submission = self._read(wanted.id)
            yield "".join(f"{name} | {text}\n" for name, text in self._look(wanted, submission, cursors, tail))
            if submission is None or submission.state.terminal:
                return
            if self._clock.monotonic() >= end:
                yield f"(followed for {self._rules.limit:g} s, which is the longest; the submission goes on)\n"
                return
            tail = None
            self._clock.sleep(self._rules.period)

    def _look(
        self, wanted: Wanted, submission: Submission | None, cursors: dict[str, Cursor], tail: int | None
    ) -> list[tuple[str, str]]:
        is_last = submission is None or submission.state.terminal
        pods = self._pods(wanted, submission)
        live: list[tuple[int, str, str]] = []
        present = set()
        for pod in pods or ():
            cursor = cursors.setdefault(pod.name, Cursor())
            lines = [] if cursor.done else self._lines_of(wanted, pod, cursor, tail)
            live += lines
            # The view may be older than the end: who says nothing more then may be gone, so see what was kept of it.
            if lines or not is_last:
                present.add(pod.name)
        kept = self._rest_of_gone(wanted, present, cursors, tail) if pods is not None or is_last else []
        live.sort(key=lambda line: line[0])
        return kept + [(name, text) for _, name, text in live]

    def _pods(self, wanted: Wanted, submission: Submission | None) -> list[PodView] | None:
        """The pods that have a log; None when the cluster does not tell."""
        if submission is None or submission.job_deleted or not submission.generation:
            return []
        try:
            workers = self._clusters.at(wanted.cluster).view(wanted.namespace, wanted.id).workers()
        except (Unavailable, ClusterError) as error:
            log.debug("pods_not_read", id=wanted.id, error=error.message)
            return None
        chosen = [pod for pod in workers if pod.phase != "Pending" and wanted.pod in ("", pod.name)]
        return chosen[: self._rules.pods]

    def _lines_of(self, wanted: Wanted, pod: PodView, cursor: Cursor, tail: int | None) -> list[tuple[int, str, str]]:
        # More than is told, so that all lines of the last one's moment are known to be of the past.
        most = None if tail is None else tail + _MARGIN
        try:
            lines = self._clusters.at(wanted.cluster).pod_log_since(pod.namespace, pod.name, cursor.at // _SECOND, most)
        except (Unavailable, ClusterError) as error:
            log.debug("log_not_read", id=pod.submission, pod=pod.name, error=error.message)
            return []
        fresh = cursor.fresh(lines, final=pod.ended)
        # What came last may not have been all: an ended pod is asked until there is no more.
        cursor.done = pod.ended and not fresh
        if tail is not None:
            fresh = fresh[max(0, len(fresh) - tail) :]
        return [(line.at, pod.name, line.text) for line in fresh]

    def _rest_of_gone(
        self, wanted: Wanted, present: set[str], cursors: dict[str, Cursor], tail: int | None
    ) -> list[tuple[str, str]]:
        names = self._texts.names(wanted.id)
        gone = [
            name
            for name in sorted(names)
            if name not in present and wanted.pod in ("", name) and not cursors.setdefault(name, Cursor()).done
        ]
        if not gone:
            return []
        kept = self._texts.get(wanted.id)
        lines: list[tuple[str, str]] = []
        for name in gone:
            rest = cursors[name].rest_of(kept.get(name, ""))
            lines += [(name, text) for text in (rest if tail is None else rest[max(0, len(rest) - tail) :])]
            cursors[name].done = True
        return lines
