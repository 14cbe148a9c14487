"""Calls the user's handler: what it may know of its item, and what its exceptions mean."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

from .errors import NoCurrentItem, PermanentError
from .metrics import Metrics
from .outcome import Failed, Outcome, outcome_of, tail
from .queue.records import Lease

Handler = Callable[[str], object]
BatchHandler = Callable[[List[str]], Sequence[object]]


@dataclass(frozen=True)
class CurrentItem:
    """The item being handled. ``attempt`` counts from 1, ``failures`` how many earlier attempts failed."""

    id: str
    payload: str
    attempt: int
    failures: int


@dataclass(frozen=True)
class _Context:
    item: CurrentItem
    metrics: Metrics
    pid: int


_CONTEXT: "contextvars.ContextVar[_Context]" = contextvars.ContextVar("asperathos_item")


def _context(name: str) -> _Context:
    context = _CONTEXT.get(None)
    if context is None:
        raise NoCurrentItem(
            f"{name} works inside a handler only, in its own thread (start other threads with "
            "contextvars.copy_context().run)"
        )
    if context.pid != os.getpid():
        raise NoCurrentItem(f"{name} does not work in a forked process: have it return its values to the handler")
    return context


def current_item() -> CurrentItem:
    """The item being handled; in a batch handler the first of the batch. Raises NoCurrentItem outside of handlers."""
    return _context("current_item()").item


def report(name: str, value: float) -> None:
    """Report an application metric, such as a loss or a quality.

    Cheap: the last value of each name is sent to the queue at most once a second. A value that is not finite is
    ignored. Raises ValueError for an unusable name or a value that is no number, NoCurrentItem outside of handlers.
    """
    _context("report()").metrics.put(name, value)


def failure_of(error: BaseException) -> Failed:
    """The failed attempt a handler's exception amounts to: type, message, and the tail of its traceback."""
    import traceback  # only when needed: it costs a worker's start several milliseconds

    # The first frame is this package's call of the handler.
    inner = error.__traceback__.tb_next if error.__traceback__ is not None else None
    summary = "".join(traceback.format_exception_only(type(error), error)).strip()
    lines = "".join(traceback.format_exception(type(error), error, inner)).strip() if inner is not None else summary
    return Failed(tail(lines), permanent=isinstance(error, PermanentError))


class HandlerProcessor:
    """Processes leases by calling a handler once per item."""

    most = 1

    def __init__(self, handler: Handler, metrics: Metrics, result_limit: int) -> None:
        self._handler = handler
        self._metrics = metrics
        self._limit = result_limit
        self._thread = threading.get_ident()
        self._pid = os.getpid()

    def process(self, leases: Sequence[Lease]) -> List[Outcome]:
        """One call of the handler per lease."""
        return [self._one(lease) for lease in leases]

    def interrupt(self) -> bool:
        """Python offers no sound way to stop a running function."""
        return False

    def whereabouts(self) -> str:
        """The stack of the thread the handler runs in."""
        import traceback

        frame = sys._current_frames().get(self._thread)
        if frame is None:
            return ""
        stack = list(traceback.extract_stack(frame))
        # What is above this module's call of the handler is this package's business.
        while stack and stack[0].filename != __file__:
            del stack[0]
        while stack and stack[0].filename == __file__:
            del stack[0]
        return "".join(traceback.format_list(stack))

    def _one(self, lease: Lease) -> Outcome:
        token = self._enter(lease)
        try:
            value = self._handler(lease.payload)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises is its item's failure
            return failure_of(error)
        finally:
            _CONTEXT.reset(token)
        return outcome_of(value, self._limit)

    def _enter(self, lease: Lease) -> "contextvars.Token[_Context]":
        item = CurrentItem(lease.id, lease.payload, lease.attempt, lease.failures)
        return _CONTEXT.set(_Context(item, self._metrics, self._pid))


class BatchProcessor(HandlerProcessor):
    """Processes leases by calling a batch handler with up to ``most`` items.

    When a call fails, each of its items is tried alone, so that only the culprits fail.
    """

    def __init__(self, handler: BatchHandler, most: int, metrics: Metrics, result_limit: int) -> None:
        super().__init__(self._single, metrics, result_limit)
        self._batch_handler = handler
        self.most = most

    def process(self, leases: Sequence[Lease]) -> List[Outcome]:
        """One call of the batch handler; further ones only after a failure."""
        if len(leases) == 1:
            return super().process(leases)
        token = self._enter(leases[0])
        try:
            values = self._call([lease.payload for lease in leases])
        except (Exception, SystemExit):  # noqa: BLE001 - tried again one by one, where each failure is reported
            return super().process(leases)
        finally:
            _CONTEXT.reset(token)
        return [self._outcome(value) for value in values]

    def _call(self, items: List[str]) -> List[object]:
        values = list(self._batch_handler(items))
        if len(values) != len(items):
            raise ValueError(f"the batch handler returned {len(values)} results for {len(items)} items")
        return values

    def _single(self, item: str) -> object:
        value = self._call([item])[0]
        if isinstance(value, BaseException):
            raise value
        return value

    def _outcome(self, value: object) -> Outcome:
        return failure_of(value) if isinstance(value, BaseException) else outcome_of(value, self._limit)


def processor_of(
    handler: Optional[Handler],
    batch_handler: Optional[BatchHandler],
    batch: Optional[int],
    metrics: Metrics,
    result_limit: int,
) -> HandlerProcessor:
    """The processor for what the user gave to ``run``. Raises TypeError unless it is exactly one callable."""
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise TypeError(f"batch must be a whole number above 0, not {batch!r}")
    if batch_handler is not None and handler is None and callable(batch_handler):
        return BatchProcessor(batch_handler, batch or 32, metrics, result_limit)
    if handler is not None and batch_handler is None and callable(handler):
        return HandlerProcessor(handler, metrics, result_limit)
    raise TypeError("give either a handler or a batch_handler, and it must be callable")
