"""The SDK's two doors: ``run`` for pods, ``run_in_memory`` for the tests of a handler."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional

from .clock import ManualClock, SystemClock
from .engine import Desk, Engine
from .errors import BadEnvironment, Exit
from .handling import BatchHandler, Handler, processor_of
from .line import Line
from .log import SilentLog, StreamLog
from .metrics import Metrics
from .operate import operate
from .settings import read_settings

QUEUE_TIMEOUT = 5.0
"""Seconds one call to the queue's server may take."""


def run(
    handler: Optional[Handler] = None,
    *,
    batch_handler: Optional[BatchHandler] = None,
    batch: Optional[int] = None,
) -> None:
    """Work on the submission named by the environment until it is over.

    ``handler(item)`` gets one item as text and returns its result: text, None, or anything JSON can hold. Short
    items are taken several at a time by measured duration, at most ``batch`` (1: strictly one by one).
    ``batch_handler(items)`` gets a list of up to ``batch`` items (32 by default) and returns as many results, in
    order; an exception object among them fails its item alone.

    An exception fails the attempt, and the item is tried again within the submission's ``retries``; PermanentError
    ends the item at once. Returns when the queue is over or stopped. Otherwise raises SystemExit: 143 after SIGTERM,
    130 after SIGINT, 64 for a bad environment, 75 when the queue stayed away, 77 when it
    refused to serve. Call it in the main thread. A handler
    may start threads and processes; only its own thread may use ``report``.
    """
    log = StreamLog()
    try:
        settings = read_settings()
    except BadEnvironment as error:
        for name, problem in error.faults:
            sys.stderr.write(f"asperathos-worker: {name} {problem}\n")
        raise SystemExit(int(Exit.USAGE)) from error
    metrics = Metrics(SystemClock())
    processor = processor_of(handler, batch_handler, batch, metrics, settings.result_limit)
    from .queue.redis_queue import RedisQueue  # the client takes most of a worker's start: only where it is used

    try:
        queue = RedisQueue(settings.redis_url, settings.submission, QUEUE_TIMEOUT)
    except ValueError as error:
        sys.stderr.write(f"asperathos-worker: ASPERATHOS_REDIS_URL cannot be used: {error}\n")
        raise SystemExit(int(Exit.USAGE)) from error
    most = batch if batch_handler is None else None
    code = operate(queue, processor, settings, log, metrics, settings.item_timeout, most)
    if code is not Exit.DONE:
        raise SystemExit(int(code))


@dataclass(frozen=True)
class ItemOutcome:
    """What became of one item of an in-memory run: a result, or (``result`` is None) the last error."""

    item: str
    result: Optional[str]
    error: Optional[str]
    attempts: int


@dataclass(frozen=True)
class MemoryRun:
    """An in-memory run: one outcome per item, in order, and the last value of each reported metric."""

    outcomes: List[ItemOutcome]
    metrics: Dict[str, float]

    @property
    def results(self) -> List[Optional[str]]:
        """The results in the items' order; None where an item failed for good."""
        return [outcome.result for outcome in self.outcomes]

    @property
    def errors(self) -> Dict[str, str]:
        """Item to error, for the items that failed for good."""
        return {outcome.item: outcome.error for outcome in self.outcomes if outcome.error is not None}


def run_in_memory(
    handler: Optional[Handler],
    items: Iterable[str],
    *,
    retries: int = 3,
    batch_handler: Optional[BatchHandler] = None,
    batch: Optional[int] = None,
    result_limit: int = 1 << 20,
) -> MemoryRun:
    """Run a handler over items as a worker would, without Redis, waiting or signals. For tests of handlers.

    Retries happen at once instead of after their backoff.
    """
    from .queue.memory_queue import MemoryQueue
    from .queue.records import NewItem, QueueConfig

    clock = ManualClock()
    queue = MemoryQueue(clock.now)
    queue.open(QueueConfig(retries=retries))
    payloads = list(items)
    queue.put([NewItem(payload, str(position)) for position, payload in enumerate(payloads)])
    queue.close()
    metrics = Metrics(clock)
    log = SilentLog()
    processor = processor_of(handler, batch_handler, batch, metrics, result_limit)
    desk = Desk(queue, "in-memory", 0, processor, Line("in-memory", 0.0, clock, log), clock, log)
    Engine(desk, metrics, batch if batch_handler is None else None).run()
    results, _ = queue.results(0, len(payloads))
    kept = {result.id: result for result in results}
    outcomes = []
    for state in queue.items(str(position) for position in range(len(payloads))):
        done = kept.get(state.id)
        outcomes.append(
            ItemOutcome(
                item=state.payload,
                result=done.result if done else None,
                error=None if done else state.error,
                attempts=state.attempt,
            )
        )
    reported = {name: values["in-memory"] for name, values in queue.reported().items()}
    return MemoryRun(outcomes, reported)
