"""Counts decisions on their way into the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from common.domain.progress import Decision
from common.ports import Journal

M = TypeVar("M", bound=BaseModel)


class CountedDecisions:
    """Implements ports.Journal: what is appended goes to the journal, and ``count`` is told of decisions."""

    def __init__(self, journal: Journal, count: Callable[[Decision], None]) -> None:
        self._journal = journal
        self._count = count

    def append(self, stream: str, id: str, entry: BaseModel) -> None:
        self._journal.append(stream, id, entry)
        if isinstance(entry, Decision):
            self._count(entry)

    def read(self, stream: str, id: str, model: type[M], count: int = 1000) -> list[M]:
        return self._journal.read(stream, id, model, count)

    def expire(self, stream: str, id: str, ttl: float) -> None:
        self._journal.expire(stream, id, ttl)


def outcome(decision: Decision) -> str:
    """Whether it goes ``up``, ``down``, or leaves the replicas ``same``."""
    if decision.granted == decision.previous:
        return "same"
    return "up" if decision.granted > decision.previous else "down"
