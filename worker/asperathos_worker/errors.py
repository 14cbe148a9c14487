"""The error tree of the worker: one leaf per thing that can go wrong, each with the exit code it leads to."""

from __future__ import annotations

import enum
from typing import Sequence, Tuple


class Exit(enum.IntEnum):
    """Exit codes of a worker process. 0 is given only when the queue is over or the submission stopped."""

    DONE = 0
    USAGE = 64
    """The environment or the command line is wrong (EX_USAGE)."""
    QUEUE_GONE = 75
    """The queue stayed away longer than the worker's patience (EX_TEMPFAIL)."""
    QUEUE_REFUSED = 77
    """The queue's server refuses to serve this worker: credentials, permissions (EX_NOPERM)."""
    TIMED_OUT = 124
    """A handler overran the item timeout and the process could not be started anew in place."""
    COMMAND_NOT_EXECUTABLE = 126
    COMMAND_NOT_FOUND = 127
    INTERRUPTED = 130
    """Stopped by SIGINT."""
    TERMINATED = 143
    """Stopped by SIGTERM."""


class WorkerError(Exception):
    """Root of every error this package raises on purpose."""


class PermanentError(WorkerError):
    """Raised by a handler: trying this item again is pointless, so it is dead at once, whatever ``retries`` says."""


class BadEnvironment(WorkerError):
    """Environment variables are missing or wrong; ``faults`` holds one (variable, problem) pair for each."""

    def __init__(self, faults: Sequence[Tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in faults))
        self.faults = tuple(faults)


class BadTemplate(WorkerError):
    """A command template that cannot be understood."""


class NoCurrentItem(WorkerError):
    """``current_item()`` or ``report()`` was called where no item is being handled."""


class Unable(WorkerError):
    """This worker can process no item at all (its command is missing): it hands its items back and exits."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


class QueueGone(WorkerError):
    """The queue stayed unreachable or missing longer than the worker's patience."""
