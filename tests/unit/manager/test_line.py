"""Where only so many submissions run at once, others wait for their turn."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain.errors import TooManyRequests
from common.domain.states import Intent, State
from common.domain.submission import Submission, SubmissionSpec
from manager.lifecycle import Begin, Conclude, Facts, LifecycleRules, Rest, next_step
from manager.line import LINE, Line, LineSteps, Standing
from manager.service import Selection
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords, MemoryWakeups
from tests.support.manager_door import NATIVE, Door


class Stand:
    """A line of at most two runners."""

    def __init__(self, most: int = 2, most_waiting: int = 100) -> None:
        self.clock = FakeClock()
        self.records: MemoryRecords[Submission] = MemoryRecords(lambda _: True, self.clock)
        self.standing: MemoryRecords[Standing] = MemoryRecords(clock=self.clock)
        self.wakeups = MemoryWakeups(self.clock)
        self.set(most, most_waiting)

    def set(self, most: int, most_waiting: int = 100) -> None:
        self.line = Line(self.records, self.standing, self.wakeups, self.clock, most, most_waiting)

    def join(self, *ids: str, **fields: Any) -> None:
        for id in ids:
            spec = SubmissionSpec.model_validate({"command": ["work"], "workload": ["a"], **fields})
            draft = Submission(id=id, spec=spec, created_at=self.clock.now())
            self.records.create(id, self.line.join(draft))
            self.line.nudge()
            self.clock.advance(1)

    def put(self, id: str, **fields: Any) -> None:
        kept = self.records.get(id)
        assert kept is not None
        self.records.update(id, kept.value.model_copy(update=fields), kept.version)

    def gone(self) -> set[str]:
        return {id for id, each in self.records.all().items() if not each.waits}


def test_first_come_first_served() -> None:
    stand = Stand()
    stand.join("a", "b", "c", "d")
    assert stand.gone() == set()
    assert stand.line.move() == Standing(running=2, most=2, waiting=("c", "d"))
    assert stand.gone() == {"a", "b"}
    assert ("manager", "a") in stand.wakeups.sent
    assert stand.line.move(afresh=False).waiting == ("c", "d"), "the first two have not begun yet, but will"
    stand.put("a", state=State.ONGOING)
    stand.put("b", state=State.ERROR)
    assert stand.line.move(afresh=False) == Standing(running=2, most=2, waiting=("d",))
    assert stand.gone() == {"a", "b", "c"}


def test_a_higher_priority_goes_first() -> None:
    stand = Stand(most=1)
    stand.join("low", priority="low")
    stand.join("normal")
    stand.join("high", priority="high")
    assert stand.line.move().waiting == ("normal", "low")
    assert stand.gone() == {"high"}


def test_who_was_stopped_while_waiting_does_not_go() -> None:
    stand = Stand(most=1)
    stand.join("a", "b", "c", "d")
    stand.line.move()
    stand.put("b", intent=Intent.STOP)
    assert stand.line.move(afresh=True).waiting == ("c", "d")
    stand.put("c", intent=Intent.STOP)
    stand.put("a", state=State.TERMINATED)
    stand.line.move(afresh=False)
    assert stand.gone() == {"a", "d"}, "it is seen at the last moment, too"


def test_places_are_told() -> None:
    stand = Stand(most=1)
    stand.join("a", "b", "c")
    stand.line.move()
    stand.join("d")
    places = stand.line.places(stand.records.all().values())
    assert {id: place.position for id, place in places.items()} == {"b": 1, "c": 2, "d": 3}
    assert str(places["b"]) == "waits for its turn: number 1 in line, 1 run"


def test_a_line_that_is_too_long_is_joined_later() -> None:
    stand = Stand(most=1, most_waiting=2)
    stand.join("a", "b", "c")
    stand.line.move()
    with pytest.raises(TooManyRequests, match=r"2 submissions wait .* 1 run at a time") as refused:
        stand.join("d")
    assert refused.value.retry_after > 0


def test_without_a_limit_all_go_also_those_that_waited_for_one() -> None:
    stand = Stand(most=1)
    stand.join("a", "b", "c")
    stand.line.move()
    stand.set(0)
    assert stand.line.move().waiting == ()
    stand.join("d")
    assert stand.gone() == {"a", "b", "c", "d"}
    assert stand.line.move() == Standing()


class _Nothing:
    def active_ids(self) -> list[str]:
        return ["a"]

    def step(self, id: str) -> float:
        return 7.0


def test_a_full_line_is_looked_at_once_a_second_however_often_it_is_nudged() -> None:
    stand = Stand(most=1)
    steps = LineSteps(_Nothing(), stand.line, stand.clock)
    assert (list(steps.active_ids()), steps.step("a")) == (["a", LINE], 7.0)
    assert steps.step(LINE) == 5.0
    stand.join("a", "b")
    assert steps.step(LINE) == 1.0
    stand.put("a", state=State.STOPPED)
    stand.clock.advance(0.25)
    assert steps.step(LINE) == 0.75
    assert stand.gone() == {"a"}
    stand.clock.advance(0.75)
    steps.step(LINE)
    assert stand.gone() == {"a", "b"}


def test_who_waits_is_not_looked_at_and_nudges_nobody_while_the_line_moves() -> None:
    stand = Stand(most=1)
    steps = LineSteps(_Nothing(), stand.line, stand.clock)
    stand.join("b")
    steps.step(LINE)
    stand.join("a")
    assert ("manager", LINE) in stand.wakeups.sent
    assert list(steps.active_ids()) == ["a", LINE], "the line has not been looked at since"
    steps.step(LINE)
    assert list(steps.active_ids()) == [LINE]
    stand.wakeups.sent.clear()
    stand.join("c")
    assert stand.wakeups.sent == []
    stand.put("a", intent=Intent.STOP)
    stand.clock.advance(10)
    steps.step(LINE)
    assert list(steps.active_ids()) == ["a", LINE], "its end is to be carried out"


def test_a_line_that_was_seen_to_end_is_looked_at_once_more() -> None:
    stand = Stand(most=1)
    steps = LineSteps(_Nothing(), stand.line, stand.clock)
    stand.join("a", "b")
    assert steps.step(LINE) == 1.0
    stand.put("a", state=State.STOPPED)
    stand.clock.advance(1)
    assert steps.step(LINE) == 1.0, "whoever joined it in this moment has nudged nobody"
    stand.clock.advance(1)
    assert steps.step(LINE) == 5.0


def test_nothing_is_begun_for_who_waits_and_its_end_needs_no_turn() -> None:
    spec = SubmissionSpec.model_validate({"command": ["work"], "workload": ["a"]})
    waiting = Submission(id="kj-0000000", spec=spec, created_at=0.0, waits=True)
    facts, rules = Facts(now=10.0), LifecycleRules()
    assert isinstance(next_step(waiting, facts, rules), Rest)
    assert isinstance(next_step(waiting.model_copy(update={"waits": False}), facts, rules), Begin)
    for intent in (Intent.STOP, Intent.TERMINATE):
        assert isinstance(next_step(waiting.model_copy(update={"intent": intent}), facts, rules), Conclude)


def test_the_status_tells_the_place() -> None:
    door = Door()
    door.line = Line(door.records, door.standing, door.wakeups, door.clock, most=1)
    door.service._line = door.line
    first, second = door.submit(NATIVE), door.submit(NATIVE)
    door.standing.put(LINE, Standing(running=1, most=1, waiting=(first, second)))
    told = door.service.status(second)
    assert (told["position"], told["state"]) == (2, "created")
    assert told["reason"] == "waits for its turn: number 2 in line, 1 run"
    assert door.service.listing(Selection())[first]["position"] == 1
    assert ("manager", LINE) in door.wakeups.sent
