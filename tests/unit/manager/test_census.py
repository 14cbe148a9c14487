from __future__ import annotations

import pytest

from common.domain.errors import Unavailable
from common.domain.states import State
from common.domain.submission import Submission
from manager.census import Census
from tests.fakes.records import MemoryRecords
from tests.unit.manager.test_status import submission


class _Counting(MemoryRecords[Submission]):
    def __init__(self) -> None:
        super().__init__(active=lambda _: True)
        self.read = 0

    def all(self, ids: object = None) -> dict[str, Submission]:
        found = super().all(ids)  # type: ignore[arg-type]
        self.read += len(found)
        return found


@pytest.fixture
def records() -> _Counting:
    made = _Counting()
    for number, state in enumerate((State.ONGOING, State.ONGOING, State.COMPLETED, State.ERROR)):
        made.create(f"kj-{number}", submission(id=f"kj-{number}", state=state))
    return made


def test_every_state_is_counted_and_ended_ones_are_read_once(records: _Counting) -> None:
    census = Census(records)
    expected = {**dict.fromkeys(State, 0), State.ONGOING: 2, State.COMPLETED: 1, State.ERROR: 1}
    assert census.by_state() == {state.value: number for state, number in expected.items()}
    assert census.by_state()["completed"] == 1
    assert records.read == 4 + 2


def test_what_is_deleted_counts_no_more(records: _Counting) -> None:
    census = Census(records)
    census.by_state()
    records.delete("kj-2")
    assert census.by_state()["completed"] == 0


def test_an_outage_is_no_zero(records: _Counting) -> None:
    records.down = True
    with pytest.raises(Unavailable):
        Census(records).by_state()
