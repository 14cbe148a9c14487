"""Events that are appended are annotations as well; other entries are not."""

from __future__ import annotations

import pytest

from common.adapters.annotating_journal import AnnotatingJournal
from common.domain.errors import Unavailable
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Decision
from tests.fakes.records import MemoryJournal

DECISION = Decision(at=1.0, law="pid", wanted=2, granted=2, previous=1, reason="late")


class Marks:
    """Implements ports.Annotations."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Event]] = []

    def annotate(self, submission: str, event: Event) -> None:
        self.told.append((submission, event))


def test_events_are_annotations_and_everything_is_in_the_journal() -> None:
    marks, journal = Marks(), MemoryJournal()
    both = AnnotatingJournal(journal, marks)
    event = Event(at=1.0, kind="state", message="ongoing")
    both.append(EVENTS, "kj-1", event)
    both.append(DECISIONS, "kj-1", DECISION)
    assert marks.told == [("kj-1", event)]
    assert both.read(EVENTS, "kj-1", Event) == [event]
    assert both.read(DECISIONS, "kj-1", Decision) == [DECISION]
    both.expire(EVENTS, "kj-1", 5.0)
    assert journal.ttls == {(EVENTS, "kj-1"): 5.0}


def test_what_the_journal_did_not_take_is_no_annotation() -> None:
    marks, journal = Marks(), MemoryJournal()
    journal.down = True
    with pytest.raises(Unavailable):
        AnnotatingJournal(journal, marks).append(EVENTS, "kj-1", Event(at=1.0, kind="state", message="ongoing"))
    assert marks.told == []
