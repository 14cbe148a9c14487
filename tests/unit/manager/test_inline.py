"""Inline items are kept beside the record: every look at it is spared them, and nobody misses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import NewItem, QueueConfig
from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import WorkloadError
from common.domain.states import State
from common.domain.submission import Submission, SubmissionSpec
from manager.inline import InlineItems, packed, parted, unpacked
from manager.loading import Loaded, Loader
from manager.service import Request
from manager.workload import open_items
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords
from tests.support.manager_door import NATIVE, Door, DoorSettings
from tests.support.manager_stage import Stage

MANY = [f"file-{number:05d}.txt" for number in range(2000)]


def submission(**fields: Any) -> Submission:
    spec = SubmissionSpec.model_validate({"command": ["work"], **fields})
    return Submission(id="kj-0000000", spec=spec, created_at=0.0)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_is_packed_is_unpacked(items: list[str]) -> None:
    assert list(unpacked(packed(items))) == items


@pytest.mark.parametrize("text", ["", "ä", "AAAA", "eJwDAAAAAAE="])
def test_what_was_not_packed_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpacked(text)


def test_few_items_stay_in_the_record() -> None:
    for workload in (["a", "b"], [], {"url": "http://here/items.txt"}):
        record = submission(workload=workload)
        assert parted(record) == (record, "")


def test_many_items_are_kept_apart_and_found_again() -> None:
    whole = submission(workload=MANY)
    record, attachment = parted(whole)
    assert record.items_apart == len(MANY)
    assert len(record.model_dump_json()) < 4000
    assert len(attachment) < 0.3 * sum(map(len, MANY))
    records: MemoryRecords[Submission] = MemoryRecords()
    records.create(record.id, record, attachment)
    assert InlineItems(records).spec(record) == whole.spec


def test_lost_items_are_an_error_for_who_needs_them() -> None:
    record, _ = parted(submission(workload=MANY))
    records: MemoryRecords[Submission] = MemoryRecords()
    records.create(record.id, record)
    with pytest.raises(WorkloadError, match="not kept any more"):
        InlineItems(records).workload(record)
    assert InlineItems(records).spec(record) == record.spec


def test_the_specification_is_shown_as_it_was_handed_in() -> None:
    door = Door()
    id = door.service.submit(Request({**NATIVE, "workload": MANY})).id
    kept = door.service.find(id).value
    assert (kept.items_apart, kept.spec.workload and kept.spec.workload.items) == (len(MANY), ())
    assert door.service.status(id, with_spec=True)["spec"]["workload"]["items"] == MANY
    door.service.change(id, {"deadline": "3h"})
    assert door.service.status(id, with_spec=True)["spec"]["workload"]["items"] == MANY


class _SlowQueue(MemoryQueue):
    """A batch takes a second."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now)
        self.clock = clock

    def put(self, items: Sequence[NewItem]) -> int:
        self.clock.advance(1)
        return super().put(items)


def test_they_are_loaded_in_slices_by_one_manager_after_the_other() -> None:
    clock = FakeClock()
    record, attachment = parted(submission(workload=MANY))
    records: MemoryRecords[Submission] = MemoryRecords()
    records.create(record.id, record, attachment)
    queue = _SlowQueue(clock)
    queue.open(QueueConfig())

    def loader() -> Loader:
        settings = DoorSettings()
        workload_of = InlineItems(records).workload
        return Loader(lambda workload: open_items(workload, settings), clock, batch=300, workload_of=workload_of)

    first, second = loader(), loader()
    for number in range(1, 4):
        loaded = first.load(record, queue)
        assert loaded == Loaded(300 * number, done=False)
        assert first._readings == {}, "of all that are being loaded only those are in memory that are at it"
        record = record.model_copy(update={"loaded": loaded.count})
    while not loaded.done:
        loaded = second.load(record, queue)
        record = record.model_copy(update={"loaded": loaded.count})
    kept = queue.items([str(number) for number in range(len(MANY) + 1)])
    assert [item.payload for item in kept] == MANY


def test_the_loop_loads_them() -> None:
    stage = Stage()
    assert stage.submit(workload=MANY).items_apart == len(MANY)
    stage.run(5)
    assert (stage.now.state, stage.queue.stats().put) == (State.ONGOING, len(MANY))


def test_a_submission_whose_items_are_lost_is_an_error() -> None:
    stage = Stage()
    record = stage.submit(workload=MANY)
    stage.records.delete(record.id)
    stage.records.create(record.id, record)
    stage.run(5)
    assert stage.now.state is State.ERROR
    assert "the inline items are not kept any more" in stage.now.reason


def test_what_is_dead_of_many_is_tried_again() -> None:
    door = Door()
    id = door.service.submit(Request({**NATIVE, "workload": MANY})).id
    queue = door.queues.at(door.service.find(id).value.queue)
    queue.open(QueueConfig(retries=0))
    queue.put([NewItem(item, str(number)) for number, item in enumerate(MANY)])
    while leases := queue.take("w", 0, 500).leases:
        for lease in leases:
            queue.fail("w", lease, "no", permanent=True)
    door.end(id, State.FAILED)
    again = door.service.retry(id).id
    assert door.service.find(again).value.items_apart == len(MANY)
    assert door.service.status(again, with_spec=True)["spec"]["workload"]["items"] == MANY
