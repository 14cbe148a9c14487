"""The line of submissions that wait for their turn, where only so many may run at once.

A submission that is taken in waits (``Submission.waits``) until this step, which one manager at a time takes, lets it
go: the higher priority first, then whoever came first. What it makes of the line is a record of its own, so that a
place in the line is looked up without counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from common.domain.errors import Conflict, TooManyRequests
from common.domain.states import Intent, State
from common.domain.submission import Priority, Submission
from common.logging import get_logger
from common.loop import Steps
from common.ports import Clock, Records, Wakeups

log = get_logger(__name__)
LINE_RECORDS = "line"
"""Kind of the record of the line: there is one."""
LINE = "line"
"""Its id, and that of the step that moves it: no submission's."""
_SERVICE = "manager"
_GAP = 1.0
"""Seconds between two looks while somebody waits: nobody is told that another one has ended."""
_COUNTED_EVERY = 0.25
_IDLE = 5.0
_AFRESH = 10.0
"""Seconds after which those that wait are read again: some may have been stopped meanwhile."""
_COME_AGAIN = 30.0
_ORDER = (Priority.HIGH, Priority.NORMAL, Priority.LOW)

Rank = tuple[int, float, str]


class Standing(BaseModel):
    """How the line stood when it was last looked at: so many run, so many may, and who waits, next one first."""

    model_config = ConfigDict(frozen=True)

    running: int = 0
    most: int = 0
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A place in the line; 1 goes next."""

    position: int
    running: int

    def __str__(self) -> str:
        return f"waits for its turn: number {self.position} in line, {self.running} run"


def rank(submission: Submission) -> Rank:
    """Who goes first: the least."""
    return _ORDER.index(submission.spec.priority), submission.created_at, submission.id


def is_waiting(submission: Submission) -> bool:
    """Whether it is in the line."""
    return submission.waits and submission.state is State.CREATED and submission.intent is Intent.NONE


class Line:
    """``most`` may run at once, 0 for any number; ``most_waiting`` may wait."""

    def __init__(
        self,
        records: Records[Submission],
        standing: Records[Standing],
        wakeups: Wakeups,
        clock: Clock,
        most: int = 0,
        most_waiting: int = 10_000,
    ) -> None:
        self._records = records
        self._standing = standing
        self._wakeups = wakeups
        self._clock = clock
        self._most = most
        self._most_waiting = most_waiting
        self._before = 0
        """How many waited when somebody joined last."""
        self._before_at = float("-inf")
        self._ended: set[str] = set()
        self._waiting: dict[str, Rank] = {}

    def join(self, draft: Submission) -> Submission:
        """The draft as it is to be recorded. Raises TooManyRequests when too many wait already, which those that join
        in the same second do not see of each other."""
        if not self._most:
            return draft
        waiting = self._waiting_before()
        if waiting >= self._most_waiting:
            raise TooManyRequests(
                f"{waiting} submissions wait for their turn already; {self._most} run at a time", _COME_AGAIN
            )
        return draft.model_copy(update={"waits": True})

    def nudge(self) -> None:
        """Somebody has joined. While others wait the line is looked at from time to time anyway."""
        if self._most and not self._before:
            self._wakeups.notify(_SERVICE, LINE)

    def _waiting_before(self) -> int:
        """How many wait, counted anew four times a second at most: the line itself moves once a second."""
        now = self._clock.monotonic()
        if now - self._before_at >= _COUNTED_EVERY:
            self._before, self._before_at = len(self.standing().waiting), now
        return self._before

    def standing(self) -> Standing:
        """How it stood when it was last looked at."""
        kept = self._standing.get(LINE)
        return Standing() if kept is None else kept.value

    def places(self, submissions: Iterable[Submission]) -> Mapping[str, Place]:
        """The places of those that wait; who has joined just now is at the end."""
        asked = [each.id for each in submissions if is_waiting(each)]
        if not asked:
            return {}
        standing = self.standing()
        positions = {id: number for number, id in enumerate(standing.waiting, 1)}
        end = len(positions) + 1
        return {id: Place(positions.get(id, end), standing.running) for id in asked}

    def move(self, afresh: bool = True) -> Standing:
        """Let go as many as may; ``afresh`` reads again those that were seen to wait before."""
        if not self._most and not self.standing().waiting:
            return Standing()
        running = self._look(afresh)
        order = sorted(self._waiting, key=self._waiting.__getitem__)
        free = max(0, self._most - running) if self._most else len(order)
        for id in order:
            if not free:
                break
            if self._let_go(id):
                free -= 1
                running += 1
            del self._waiting[id]
        standing = Standing(running=running, most=self._most, waiting=tuple(id for id in order if id in self._waiting))
        if standing != self.standing():
            self._standing.put(LINE, standing)
        return standing

    def _look(self, afresh: bool) -> int:
        """Find out who waits; returns how many run."""
        there = self._records.active_ids()
        self._ended.intersection_update(there)
        known = {} if afresh else self._waiting
        self._waiting = {id: known[id] for id in there if id in known}
        running = 0
        for id, each in self._records.all([id for id in there if id not in self._ended and id not in known]).items():
            if each.state.terminal:
                self._ended.add(id)
            elif is_waiting(each):
                self._waiting[id] = rank(each)
            elif each.state is not State.CREATED or not each.waits:
                running += 1
        return running

    def _let_go(self, id: str) -> bool:
        kept = self._records.get(id)
        if kept is None or not is_waiting(kept.value):
            return False
        try:
            self._records.update(id, kept.value.model_copy(update={"waits": False}), kept.version)
        except Conflict:
            # Changed in this moment; the next look finds it again.
            return False
        self._wakeups.notify(_SERVICE, id)
        return True


class LineSteps:
    """Implements loop.Steps: the steps of submissions, and beside them the line's."""

    def __init__(self, submissions: Steps, line: Line, clock: Clock) -> None:
        self._submissions = submissions
        self._line = line
        self._clock = clock
        self._looked_at = self._read_at = float("-inf")
        self._is_full = False

    def active_ids(self) -> Iterable[str]:
        """With those left out that stand in the line: there is nothing to do about them but to move the line."""
        waiting = set(self._line.standing().waiting)
        return [*(id for id in self._submissions.active_ids() if id not in waiting), LINE]

    def step(self, id: str) -> float:
        return self._move() if id == LINE else self._submissions.step(id)

    def _move(self) -> float:
        now = self._clock.monotonic()
        if self._is_full and now - self._looked_at < _GAP:
            # Whoever has joined a full line cannot go yet.
            return _GAP - (now - self._looked_at)
        afresh = now - self._read_at >= _AFRESH
        standing = self._line.move(afresh)
        self._looked_at = now
        self._read_at = now if afresh else self._read_at
        was_full, self._is_full = self._is_full, bool(standing.waiting)
        # Once more after the line was seen to end: who joined it meanwhile relies on that.
        return _GAP if self._is_full or was_full else _IDLE
