"""What a cluster holds of one kind in one namespace, kept up to date by lists and watch events. Pure.

Truth has a version here: the resourceVersion of the last list, event or bookmark. Whatever is older than what is known
already changes nothing, so lists and a watch may be mixed in any order. resourceVersions of built-in kinds are numbers
that grow (Kubernetes promises it from 1.35 on and has always kept to it).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from common.domain.errors import ClusterError


class Named(Protocol):
    """A view of an object that belongs to a submission."""

    @property
    def name(self) -> str: ...

    @property
    def submission(self) -> str: ...


V = TypeVar("V", bound=Named)


class Mirror(Generic[V]):
    """Views by submission and name; only these are kept of the objects. Threads may share it."""

    def __init__(self, view: Callable[[Mapping[str, Any]], V]) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._version = 0
        self._by_submission: dict[str, dict[str, V]] = {}

    @property
    def version(self) -> int:
        """The resourceVersion up to which everything is known; 0 before the first list."""
        return self._version

    def replace(self, document: Mapping[str, Any], anew: bool = False) -> None:
        """Take over a list; ``anew`` whatever its version, for a server may have begun anew. Raises ClusterError when
        it has no version."""
        listed = version_of(document)
        views = [self._view(item) for item in document.get("items") or ()]
        with self._lock:
            if listed < self._version and not anew:
                return
            self._version = listed
            self._by_submission = {}
            for view in views:
                self._by_submission.setdefault(view.submission, {})[view.name] = view

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
            return list(self._by_submission.get(submission, {}).values())

    def submissions(self) -> Iterable[str]:
        """Ids of all submissions that have objects."""
        with self._lock:
            return list(self._by_submission)


def version_of(document: Mapping[str, Any]) -> int:
    """The resourceVersion of a list or an object. Raises ClusterError when there is none to compare."""
    text = (document.get("metadata") or {}).get("resourceVersion")
    try:
        return int(text or "")
    except (TypeError, ValueError) as error:
        raise ClusterError(f"the cluster gave no usable resourceVersion: {str(text)[:40]!r}") from error
