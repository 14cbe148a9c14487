"""What submissions of one name and image taught: kept for the next of them, for a while, and forgotten on request."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, ValidationError

from common.domain.errors import NotFound, Unavailable
from common.domain.history import History, learned
from common.domain.progress import Observation
from common.domain.submission import SubmissionSpec
from common.logging import get_logger
from common.ports import Clock, Records

log = get_logger(__name__)
HISTORY_RECORDS = "history"
"""Kind of these records."""


class PastRuns(BaseModel):
    """The record of one name and image. ``updated_at`` is Unix seconds."""

    model_config = ConfigDict(frozen=True)

    name: str
    image: str = ""
    updated_at: float
    history: History


def history_id(spec: SubmissionSpec) -> str:
    """The id of the history that a submission shares with all of its name and image."""
    return f"{spec.name}-{hashlib.sha256((spec.image or '').encode()).hexdigest()[:8]}"


class Histories:
    """``keep``: seconds after the last submission for which a history is kept; ``most``: how many are."""

    def __init__(
        self, records: Records[PastRuns], observations: Records[Observation], clock: Clock, keep: float, most: int
    ) -> None:
        self._records = records
        self._observations = observations
        self._clock = clock
        self._keep = keep
        self._most = most

    def of(self, spec: SubmissionSpec) -> History | None:
        """What is known, None when nothing is. Raises Unavailable."""
        kept = self._read(history_id(spec))
        return None if kept is None else kept.history

    def learn(self, id: str, spec: SubmissionSpec) -> None:
        """Add what a submission that has ended was seen to do. A history that cannot be written is no one's harm."""
        try:
            last = self._observations.get(id)
            if last is None or last.value.service.count == 0:
                return
            key = history_id(spec)
            present = self._read(key)
            runs = PastRuns(
                name=spec.name,
                image=spec.image or "",
                updated_at=self._clock.now(),
                history=learned(None if present is None else present.history, last.value),
            )
            version = self._records.put(key, runs)
            self._records.update(key, runs, version, ttl=self._keep)
            if present is None:
                self._make_room()
        except Unavailable as error:
            log.warning("history_not_kept", id=id, error=error.message)

    def listing(self) -> dict[str, PastRuns]:
        """All, the oldest first. Raises Unavailable."""
        found = {key: self._read(key) for key in self._records.ids()}
        return {key: runs for key, runs in found.items() if runs is not None}

    def get(self, key: str) -> PastRuns:
        """One of them. Raises NotFound."""
        runs = self._read(key)
        if runs is None:
            raise NotFound(f"there is no history {key[:60]!r}")
        return runs

    def forget(self, key: str) -> None:
        """Raises NotFound."""
        if not self._records.delete(key):
            raise NotFound(f"there is no history {key[:60]!r}")

    def forget_all(self) -> int:
        """Forget every history; returns how many."""
        return sum(self._records.delete(key) for key in self._records.ids())

    def _read(self, key: str) -> PastRuns | None:
        try:
            kept = self._records.get(key)
        except ValidationError:
            # Of another version of ours: what it says is not understood, and so worth nothing.
            log.warning("history_not_understood", history=key)
            self._records.delete(key)
            return None
        return None if kept is None else kept.value

    def _make_room(self) -> None:
        known = self._records.ids()
        for key in known[: max(0, len(known) - self._most)]:
            self._records.delete(key)
