"""What the pages' scripts receive, as JSON. Times are Unix seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.domain.accounts import Principal
from visualizer.clusters import ClusterView, User
from visualizer.reading import Details, Row
from visualizer.series import Columns
from visualizer.verdict import Verdict

VOLATILE = frozenset({"now"})
"""Parts that change with every look and say nothing new."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)

    now: float
    """The visualizer's clock, so that a browser with a wrong one counts down rightly."""

    def parts(self) -> dict[str, Any]:
        """The document as plain data, by part."""
        return self.model_dump(mode="json")


class Problem(BaseModel):
    """A service that does not answer; ``known_at`` says how old what is shown is, None when nothing is known."""

    model_config = ConfigDict(frozen=True)

    service: str
    message: str
    known_at: float | None


class ListDocument(_Document):
    """GET /api/submissions."""

    known: bool
    problems: tuple[Problem, ...]
    rows: Mapping[str, Mapping[str, Any]]
    """Rows as plain data: made once for all who look."""

    def parts(self) -> dict[str, Any]:
        """As plain data, without copying the rows: there may be thousands, and many who look."""
        problems = [problem.model_dump(mode="json") for problem in self.problems]
        return {"now": self.now, "known": self.known, "problems": problems, "rows": self.rows}

    def seen_by(self, viewer: Principal) -> ListDocument:
        """What of it they may see."""
        if viewer.sees_all:
            return self
        return self.model_copy(update={"rows": {id: row for id, row in self.rows.items() if viewer.sees(row["owner"])}})


class SubmissionDocument(_Document):
    """GET /api/submissions/:id."""

    known: bool
    problems: tuple[Problem, ...]
    row: Row
    verdict: Verdict | None
    details: Details

    def parts(self) -> dict[str, Any]:
        """As plain data; the long lists of the details are parts of their own."""
        parts = self.model_dump(mode="json")
        details = parts["details"]
        for name in ("decisions", "events", "troubles", "spec"):
            parts[name] = details.pop(name)
        return parts


class SeriesDocument(_Document):
    """GET /api/submissions/:id/series."""

    problem: str
    series: dict[str, Columns]


class ClusterDocument(_Document):
    """GET /api/clusters."""

    known: bool
    problems: tuple[Problem, ...]
    clusters: tuple[ClusterView, ...]

    def seen_by(self, viewer: Principal) -> ClusterDocument:
        """What of it they may see: how much of a cluster is used, but not by whom else."""
        if viewer.sees_all:
            return self
        own = [one.model_copy(update={"users": _seen(one.users, viewer)}) for one in self.clusters]
        return self.model_copy(update={"clusters": tuple(own)})


class SparksDocument(_Document):
    """GET /api/sparks: lately's throughput (items/s), oldest first, by submission."""

    problem: str
    sparks: dict[str, list[float]]


def _seen(users: Iterable[User], viewer: Principal) -> tuple[User, ...]:
    return tuple(user for user in users if viewer.sees(user.owner))


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Equal for documents that say the same: an ETag's content."""
    told = {name: part for name, part in parts.items() if name not in VOLATILE}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


class Changes:
    """What of successive documents is new since the last one. ``rows`` (a mapping by id) is compared row by row."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._rows: dict[str, Any] = {}

    def of(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """The changed parts with the volatile ones, or nothing. Of ``rows`` the changed ones, and ``gone`` ids."""
        changed: dict[str, Any] = {}
        for name, part in parts.items():
            if name == "rows":
                changed.update(self._changed_rows(part))
            elif name not in VOLATILE:
                text = json.dumps(part, sort_keys=True)
                if self._parts.get(name) != text:
                    self._parts[name] = text
                    changed[name] = part
        if not changed:
            return {}
        return {**{name: parts[name] for name in VOLATILE if name in parts}, **changed}

    def _changed_rows(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        fresh = {id: row for id, row in rows.items() if self._rows.get(id) != row}
        gone = [id for id in self._rows if id not in rows]
        self._rows = dict(rows)
        return {name: part for name, part in (("rows", fresh), ("gone", gone)) if part}
