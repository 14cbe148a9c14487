"""Writes to a submission's record and journal: every change names the version it changes, states follow the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from common.domain.cluster import ClusterEvent
from common.domain.errors import AsperathosError
from common.domain.events import EVENTS, Event
from common.domain.states import State, may_follow
from common.domain.submission import Submission
from common.logging import get_logger
from common.ports import Clock, Journal, Records, Versioned

log = get_logger(__name__)
_MOST_MESSAGE = 2000
_MOST_WARNINGS = 50


def as_told(event: ClusterEvent) -> Event:
    """What Kubernetes told, as a line of the submission's story."""
    return Event(
        at=event.at,
        kind="pod" if event.kind == "Pod" else "job",
        message=f"{event.object}: {event.reason}: {event.message}"[:_MOST_MESSAGE],
        warning=event.warning,
    )


class Book:
    """The loop's pen. Its writes raise Conflict when somebody else changed the record meanwhile."""

    def __init__(self, records: Records[Submission], journal: Journal, clock: Clock) -> None:
        self._records = records
        self._journal = journal
        self._clock = clock

    def read(self, id: str) -> Versioned[Submission] | None:
        """The record now."""
        return self._records.get(id)

    def active_ids(self) -> list[str]:
        """Submissions that need attention."""
        return self._records.active_ids()

    def change(self, current: Versioned[Submission], **fields: Any) -> Versioned[Submission]:
        """Write these fields; returns the record as it is now. Writes nothing when they hold already."""
        old = current.value
        if all(getattr(old, name) == value for name, value in fields.items()):
            return current
        new = old.model_copy(update=fields)
        if new.state is not old.state and not may_follow(old.state, new.state):
            raise AsperathosError(f"{old.id} cannot go from {old.state} to {new.state}")
        version = self._records.update(old.id, new, current.version)
        if new.state is not old.state:
            log.info("submission_state", id=old.id, state=new.state, reason=new.reason)
            detail = f": {new.reason}" if new.reason else ""
            self.tell(old.id, "state", f"{new.state}{detail}", warning=new.state in (State.ERROR, State.FAILED))
        return Versioned(new, version)

    def tell(self, id: str, kind: Literal["state", "job", "pod", "queue"], message: str, warning: bool = False) -> None:
        """Add a line to the submission's story."""
        event = Event(at=self._clock.now(), kind=kind, message=message[:_MOST_MESSAGE], warning=warning)
        self._journal.append(EVENTS, id, event)

    def tell_warnings(self, id: str, events: Iterable[ClusterEvent]) -> None:
        """Keep the latest of Kubernetes' warnings, which it forgets after an hour; those told already are left out."""
        warnings = [as_told(event) for event in events if event.warning][-_MOST_WARNINGS:]
        if not warnings:
            return
        told = {(event.at, event.message) for event in self._journal.read(EVENTS, id, Event)}
        for event in warnings:
            if (event.at, event.message) not in told:
                self._journal.append(EVENTS, id, event)

    def delete(self, id: str) -> None:
        """The record goes; its journal too."""
        self._journal.expire(EVENTS, id, 0.0)
        self._records.delete(id)
