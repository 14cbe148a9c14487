from __future__ import annotations

import pytest

from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Decision
from controller.counting import CountedDecisions, outcome
from tests.fakes.records import MemoryJournal


def decision(previous: int, granted: int) -> Decision:
    return Decision(at=1.0, law="pid", wanted=9, granted=granted, previous=previous, reason="r")


@pytest.mark.parametrize(("previous", "granted", "told"), [(2, 3, "up"), (2, 0, "down"), (2, 2, "same")])
def test_where_a_decision_goes(previous: int, granted: int, told: str) -> None:
    assert outcome(decision(previous, granted)) == told


def test_decisions_are_counted_and_all_entries_are_kept() -> None:
    kept, counted = MemoryJournal(), list[Decision]()
    journal = CountedDecisions(kept, counted.append)
    journal.append(DECISIONS, "kj-1", decision(1, 2))
    journal.append(EVENTS, "kj-1", Event(at=1.0, kind="scaling", message="1 -> 2"))
    assert counted == kept.read(DECISIONS, "kj-1", Decision) == journal.read(DECISIONS, "kj-1", Decision)
    assert len(kept.read(EVENTS, "kj-1", Event)) == 1
    journal.expire(DECISIONS, "kj-1", 0.0)
