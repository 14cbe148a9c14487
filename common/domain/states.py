"""The states of a submission and the one table of how they follow each other."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """Where a submission is in its life. The last five are terminal: they never change."""

    CREATED = "created"
    """Accepted and recorded; nothing has been done yet."""
    LOADING = "loading"
    """Items are being put into the queue."""
    ONGOING = "ongoing"
    """Replicas work on it."""
    COMPLETED = "completed"
    """Every item has its result."""
    FAILED = "failed"
    """It ran to its end, but some items are dead."""
    STOPPED = "stopped"
    """Ended gracefully on request."""
    TERMINATED = "terminated"
    """Ended at once on request."""
    ERROR = "error"
    """It could not be carried out; ``reason`` says why."""

    @property
    def terminal(self) -> bool:
        """Whether the state never changes any more."""
        return not TRANSITIONS[self]


class Intent(enum.StrEnum):
    """What the user has asked for since. It only ever rises: none, stop, terminate."""

    NONE = "none"
    STOP = "stop"
    TERMINATE = "terminate"

    @property
    def rank(self) -> int:
        """How urgent it is; a higher one overrides."""
        return list(Intent).index(self)


_ENDS_EARLY = frozenset({State.STOPPED, State.TERMINATED, State.ERROR})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.LOADING}) | _ENDS_EARLY,
    State.LOADING: frozenset({State.ONGOING, State.COMPLETED}) | _ENDS_EARLY,
    State.ONGOING: frozenset({State.COMPLETED, State.FAILED}) | _ENDS_EARLY,
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.STOPPED: frozenset(),
    State.TERMINATED: frozenset(),
    State.ERROR: frozenset(),
}
"""Which states may follow which. An empty workload goes from loading straight to completed."""


def may_follow(old: State, new: State) -> bool:
    """Whether a submission may go from ``old`` to ``new``."""
    return new in TRANSITIONS[old]
