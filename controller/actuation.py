"""How the Job gets from the requested to the desired replicas without harming work. Pure; times in Unix seconds.

Lowering an Indexed Job removes its highest indexes. So workers from the new count on are first told to drain, and the
Job is lowered as far as no busy worker is cut off; only a drain that takes too long is cut short.
A failed index waits in its back-off while the others work, so more indexes are asked for meanwhile. When all pods were
taken away, the manager replaces the Job.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.domain.progress import Observation, Replicas
from common.domain.submission import Kind
from controller.guard import Bounds, staleness_limit
from controller.record import Scaling

LOOK = 2.0
"""Seconds between two comparisons of what was asked with what is there, between decisions."""
LOOK_WHEN_EVEN = 5.0
"""The same while all that was asked for is there: of a thousand submissions few have anything to compare."""
DRAIN_TICK = 0.5
"""Seconds between two looks at a drain."""
UNEVEN = 5.0
"""Seconds that other than the desired number of pods must exist before indexes are added."""
EVEN_AGAIN = 10.0
"""Seconds for which too many pods must exist before added indexes are removed."""
SETTLING = 5.0
"""Seconds after a patch within which an observation may still show what was before it."""


@dataclass(frozen=True)
class Aim:
    """Where to go now. ``limit`` is what the queue must be told (None: no limit)."""

    replicas: int
    limit: int | None
    drain_since: float | None

    @property
    def draining(self) -> bool:
        """Whether workers must finish first."""
        return self.drain_since is not None


def aim(record: Scaling, now: float) -> Aim:
    """The next move: straight up, a drain downwards, or staying (which ends a drain that is wanted no more)."""
    goal = record.desired + record.extra
    if goal > record.requested:
        return Aim(goal, None, None)
    if goal == record.requested:
        # After a drain the limit stays: a worker on its way out must not take another item.
        return Aim(goal, record.limit if record.limit == goal else None, None)
    begun = record.drain_since
    if begun is None or record.limit != goal or begun > now:
        begun = now
    return Aim(goal, goal, begun)


@dataclass(frozen=True)
class Move:
    """The record, and what the Job is to be patched to now; None: nothing. ``forced``: busy workers are cut off."""

    record: Scaling
    size: int | None = None
    forced: bool = False


def move(aim: Aim, record: Scaling, observation: Observation, highest_busy: int | None, now: float) -> Move:
    """The move to make once the queue was told the limit. ``highest_busy``: greatest index, of those to be removed,
    whose worker holds an item; None when none does."""
    record = record.model_copy(update={"limit": aim.limit, "drain_since": aim.drain_since})
    forced = must_force(aim, record, observation, now)
    size = lowest_harmless(aim, record, highest_busy, forced) if aim.draining else aim.replicas
    if size != record.requested:
        return Move(record, size, forced)
    # A drain may have been given up half way: what was reached by then has become the wanted count.
    return Move(record if aim.draining else record.model_copy(update={"announced": record.desired}))


def patched(record: Scaling, aim: Aim, size: int, now: float) -> Scaling:
    """The record once the Job has that size."""
    return record.model_copy(
        update={
            "requested": size,
            "patched_at": now,
            "problem": "",
            "peak": max(record.peak, size),
            "drain_since": aim.drain_since if size != aim.replicas else None,
            "uneven_since": None,
            "announced": record.desired if size == aim.replicas else record.announced,
        }
    )


def lowest_harmless(aim: Aim, record: Scaling, highest_busy: int | None, forced: bool) -> int:
    """How far the Job may be lowered now. ``highest_busy``: greatest index of a worker that holds an item."""
    if forced or highest_busy is None:
        return aim.replicas
    return min(record.requested, max(aim.replicas, highest_busy + 1))


def only_last_items(record: Scaling, observation: Observation) -> bool:
    """Whether the last items of a batch are in work: whoever took one over would begin it anew."""
    waiting = observation.counts.ready + observation.counts.delayed
    return record.request.kind is Kind.BATCH and waiting == 0


def must_force(aim: Aim, record: Scaling, observation: Observation, now: float) -> bool:
    """Whether the drain took so long that busy workers are cut off. Never while only the last items are in work."""
    if aim.drain_since is None or now - aim.drain_since < record.request.control.drain_timeout:
        return False
    return not only_last_items(record, observation)


def reconcile(record: Scaling, observation: Observation, bounds: Bounds, now: float) -> Scaling:
    """The record after comparing it with what is really there: a Job changed by others, indexes in back-off."""
    if not observation.cluster_available or record.job_ended:
        return record
    seen_at = now if record.seen_at is None else record.seen_at
    if now - seen_at >= staleness_limit(record.request.control.interval):
        return record
    if record.patched_at is not None and now - record.patched_at >= 0 and seen_at - record.patched_at < SETTLING:
        return record
    seen = observation.replicas
    if seen.requested != record.requested and record.drain_since is None:
        # Somebody else scaled the Job. What we know of its pods is of another size, so begin anew.
        changes = {"requested": seen.requested, "extra": 0, "uneven_since": None}
        return record.model_copy(update=changes)
    return _with_extra(
        record, seen.observed + seen.pending, observation.counts.ready > 0, most_extra(record, seen, bounds), now
    )


def next_look(record: Scaling, observation: Observation) -> float:
    """Seconds to the next comparison."""
    if record.drain_since is not None:
        return DRAIN_TICK
    seen = observation.replicas
    is_even = (
        record.requested == record.desired == seen.requested == seen.observed + seen.pending
        and record.extra == 0
        and record.uneven_since is None
    )
    return LOOK_WHEN_EVEN if is_even else LOOK


def most_extra(record: Scaling, seen: Replicas, bounds: Bounds) -> int:
    """How many indexes may be asked for beyond the wanted ones. Those whose workers have ended are no replicas."""
    return max(0, bounds.maximum + seen.ended - record.desired)


def _with_extra(record: Scaling, existing: int, waiting: bool, most: int, now: float) -> Scaling:
    missing = record.desired - existing
    # What the Job has beyond the wanted count: while it is still to be lowered, more than was asked for.
    beyond = record.requested - record.desired
    too_few = missing > 0 and waiting and beyond >= record.extra and beyond < most
    too_many = missing < 0 and record.extra > 0 and beyond == record.extra
    if not (too_few or too_many):
        return record.model_copy(update={"uneven_since": None}) if record.uneven_since is not None else record
    since = record.uneven_since
    if since is None or since > now:
        return record.model_copy(update={"uneven_since": now})
    if now - since < (UNEVEN if missing > 0 else EVEN_AGAIN):
        return record
    extra = min(max(0, (beyond if missing > 0 else record.extra) + missing), most)
    return record.model_copy(update={"extra": extra, "uneven_since": None})
