"""A journal whose events dashboards see too."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from common.domain.events import Event
from common.ports import Annotations, Journal

M = TypeVar("M", bound=BaseModel)


class AnnotatingJournal:
    """Implements ports.Journal: what is appended goes to the journal, and events to the annotations as well."""

    def __init__(self, journal: Journal, annotations: Annotations) -> None:
        self._journal = journal
        self._annotations = annotations

    def append(self, stream: str, id: str, entry: BaseModel) -> None:
        self._journal.append(stream, id, entry)
        if isinstance(entry, Event):
            self._annotations.annotate(id, entry)

    def read(self, stream: str, id: str, model: type[M], count: int = 1000) -> list[M]:
        return self._journal.read(stream, id, model, count)

    def expire(self, stream: str, id: str, ttl: float) -> None:
        self._journal.expire(stream, id, ttl)
