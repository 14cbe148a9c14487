"""What a cluster holds of one kind in one namespace, kept up to date by lists and watch events. Pure.

Truth has a version here: the resourceVersion of the last list, event or bookmark. Whatever is older than what is known
already changes nothing, so lists and a watch may be mixed in any order. What a list of one submission's objects tells
counts until the watch has come as far: each later change of them comes with a later version. resourceVersions of
built-in kinds are numbers that grow (Kubernetes promises it from 1.35 on and has always kept to it).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from common.domain.errors import ClusterError


class Named(Protocol):
    """A view of an object that belongs to a submission."""

    @property
    def name(self) -> str: ...

    @property
    def submission(self) -> str: ...


V = TypeVar("V", bound=Named)


@dataclass(frozen=True)
class _Ahead(Generic[V]):
    """What a list of one submission's objects told as of a version that the watch has not come to yet."""

    version: int
    views: tuple[V, ...]


class Mirror(Generic[V]):
    """Views by submission and name; only these are kept of the objects. Threads may share it."""

    def __init__(self, view: Callable[[Mapping[str, Any]], V]) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._version = 0
        self._by_submission: dict[str, dict[str, V]] = {}
        self._ahead: dict[str, _Ahead[V]] = {}

    @property
    def version(self) -> int:
        """The resourceVersion up to which everything is known; 0 before the first list."""
        return self._version

    def version_of(self, submission: str) -> int:
        """The resourceVersion up to which this submission's objects are known."""
        with self._lock:
            ahead = self._ahead.get(submission)
            return self._version if ahead is None else max(ahead.version, self._version)

    def replace(self, document: Mapping[str, Any], anew: bool = False) -> None:
        """Take over a list; ``anew`` whatever its version, for a server may have begun anew. Raises ClusterError when
        it has no version."""
        listed = version_of(document)
        views = [self._view(item) for item in document.get("items") or ()]
        with self._lock:
            if listed < self._version and not anew:
                return
            self._version = listed
            self._ahead = {} if anew else self._still_ahead()
            self._by_submission = {}
            for view in views:
                self._by_submission.setdefault(view.submission, {})[view.name] = view

    def learn(self, submission: str, document: Mapping[str, Any]) -> None:
        """Take over a list of this submission's objects only. Raises ClusterError as ``replace``."""
        listed = version_of(document)
        views = tuple(self._view(item) for item in document.get("items") or ())
        with self._lock:
            self._ahead = self._still_ahead()
            known = self._ahead.get(submission)
            if listed > (self._version if known is None else known.version):
                self._ahead[submission] = _Ahead(listed, views)

    def apply(self, kind: str, obj: Mapping[str, Any]) -> None:
        """Take over an event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK. Raises ClusterError as ``replace``."""
        version = version_of(obj)
        view = None if kind == "BOOKMARK" else self._view(obj)
        with self._lock:
            if version <= self._version:
                return
            self._version = version
            if view is None:
                return
            of_submission = self._by_submission.setdefault(view.submission, {})
            if kind == "DELETED":
                of_submission.pop(view.name, None)
            else:
                of_submission[view.name] = view
            if not of_submission:
                del self._by_submission[view.submission]

    def of(self, submission: str) -> list[V]:
        """The submission's objects."""
        with self._lock:
            ahead = self._ahead.get(submission)
            if ahead is not None and ahead.version > self._version:
                return list(ahead.views)
            return list(self._by_submission.get(submission, {}).values())

    def submissions(self) -> Iterable[str]:
        """Ids of all submissions that have objects."""
        with self._lock:
            ahead = self._still_ahead()
            found = [id for id in self._by_submission if id not in ahead]
            return [*found, *(id for id, known in ahead.items() if known.views)]

    def owner(self, name: str) -> str:
        """The submission of the object of that name, '' when no such object is known."""
        with self._lock:
            return next((id for id, views in self._by_submission.items() if name in views), "")

    def _still_ahead(self) -> dict[str, _Ahead[V]]:
        return {id: known for id, known in self._ahead.items() if known.version > self._version}


def version_of(document: Mapping[str, Any]) -> int:
    """The resourceVersion of a list or an object. Raises ClusterError when there is none to compare."""
    text = (document.get("metadata") or {}).get("resourceVersion")
    try:
        return int(text or "")
    except (TypeError, ValueError) as error:
        raise ClusterError(f"the cluster gave no usable resourceVersion: {str(text)[:40]!r}") from error
