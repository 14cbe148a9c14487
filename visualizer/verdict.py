"""Will it make it? One sentence for people, from what is known of a submission. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from common.domain.progress import Observation
from common.domain.states import State
from common.domain.units import format_duration
from visualizer.reading import Row


class Verdict(BaseModel):
    """``level`` says how to colour it, ``text`` is a full sentence."""

    model_config = ConfigDict(frozen=True)

    level: Literal["good", "warn", "bad", "neutral"]
    text: str


def verdict(row: Row, now: float, seen: Observation | None = None) -> Verdict:
    """The sentence for a submission at ``now`` (Unix seconds); ``seen`` is what was measured last."""
    if row.terminal:
        return _ended(row)
    if row.state != State.ONGOING:
        return Verdict(level="neutral", text="Getting ready: it has not started yet.")
    if row.deadline is None or row.created_at is None:
        return _without_deadline(row, seen)
    return _racing(row, row.created_at + row.deadline, row.deadline, now)


def _ended(row: Row) -> Verdict:
    if row.state in (State.STOPPED, State.TERMINATED):
        return Verdict(level="neutral", text=f"It was {row.state} on request.")
    if row.state == State.ERROR:
        return Verdict(level="bad", text="It could not be carried out.")
    dead = row.counts.dead if row.counts else 0
    if row.state == State.FAILED:
        return Verdict(level="bad", text=f"It ended with {dead} dead item{'' if dead == 1 else 's'}.")
    margin = row.deadline_margin
    if margin is None and None not in (row.deadline, row.created_at, row.finished_at):
        margin = (row.created_at or 0.0) + (row.deadline or 0.0) - (row.finished_at or 0.0)
    if margin is None:
        return Verdict(level="good", text="It is finished: every item has its result.")
    if row.deadline_met is False or margin < 0:
        return Verdict(level="bad", text=f"It finished {format_duration(-margin)} after its deadline.")
    return Verdict(level="good", text=f"It finished {format_duration(margin)} before its deadline.")


def _without_deadline(row: Row, seen: Observation | None) -> Verdict:
    if row.kind == "stream":
        if row.target is not None and seen is not None and seen.queue_wait_p95 is not None:
            return _flowing(row.target, seen, seen.queue_wait_p95)
        goal = "" if row.target is None else f"; each item is to be done within {format_duration(row.target)}"
        return Verdict(level="neutral", text=f"A stream: it runs until it is stopped{goal}.")
    return Verdict(level="neutral", text="It has no deadline.")


def _flowing(target: float, seen: Observation, wait: float) -> Verdict:
    """Whether a stream keeps its target: by the sum of both quantiles, which its latency hardly exceeds."""
    goal = f"its target of {format_duration(target)}"
    if seen.oldest_wait is not None and seen.oldest_wait > target:
        return Verdict(level="bad", text=f"Misses {goal}: an item has waited {format_duration(seen.oldest_wait)}.")
    kept = wait + seen.service.p95 <= target
    told = f"95 % wait at most {format_duration(wait)} and then take at most {format_duration(seen.service.p95)}"
    return Verdict(level="good" if kept else "warn", text=f"{'Keeps' if kept else 'May miss'} {goal}: {told}.")


def _racing(row: Row, deadline_at: float, deadline: float, now: float) -> Verdict:
    if now > deadline_at:
        done = "" if row.progress is None else f" with {row.progress:.0%} done"
        return Verdict(level="bad", text=f"Its deadline passed {format_duration(now - deadline_at)} ago{done}.")
    if row.ends_at is not None:
        return _forecast(row, deadline_at - row.ends_at)
    if row.feasible is False:
        return Verdict(level="bad", text="It cannot meet its deadline, even at the most replicas.")
    if row.progress is None:
        return Verdict(level="neutral", text="Too early to tell.")
    error = row.progress - (now - (deadline_at - deadline)) / deadline
    if error >= 0:
        return Verdict(level="good", text=f"Ahead of time by {error:.1%} of the work.")
    return Verdict(level="warn", text=f"Behind time by {-error:.1%} of the work.")


def _forecast(row: Row, margin: float) -> Verdict:
    if margin >= 0 and row.feasible is not False:
        return Verdict(level="good", text=f"Expected to end {format_duration(margin)} before its deadline.")
    if row.feasible is False:
        late = f": {format_duration(-margin)} late" if margin < 0 else ""
        return Verdict(level="bad", text=f"It cannot meet its deadline, even at the most replicas{late}.")
    return Verdict(level="warn", text=f"Expected to end {format_duration(-margin)} after its deadline.")
