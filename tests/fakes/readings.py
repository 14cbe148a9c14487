"""What the world outside tells, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.domain.errors import Unavailable


class MemoryReadings:
    """Implements ports.Readings. ``answers`` by URL, or by URL and query; ``asked`` in order."""

    def __init__(self) -> None:
        self.answers: dict[Any, Any] = {}
        self.asked: list[tuple[str, str]] = []

    def read(self, url: str, parameters: Mapping[str, str]) -> Any:
        query = parameters.get("query", "")
        self.asked.append((url, query))
        key = (url, query) if query else url
        if key not in self.answers:
            raise Unavailable(f"{url} does not answer")
        return self.answers[key]
