"""A worker's surroundings for tests: in-memory queue with an off switch, manual clock, a log that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asperathos_worker.clock import ManualClock
from asperathos_worker.engine import Desk, Engine
from asperathos_worker.errors import Exit
from asperathos_worker.handling import processor_of
from asperathos_worker.line import Line
from asperathos_worker.metrics import Metrics
from asperathos_worker.processor import Processor
from asperathos_worker.queue.api import QueueError
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import NewItem, QueueConfig
from asperathos_worker.watch import Watch


class SwitchedQueue:
    """Passes calls on to a queue, counts them, and raises ``fault`` instead while there is one."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue
        self.fault: QueueError | None = None
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.on_call: Callable[[str], None] = lambda name: None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.queue, name)

        def call(*args: Any) -> Any:
            self.calls.append((name, args))
            self.on_call(name)
            if self.fault is not None:
                raise self.fault
            return method(*args)

        return call

    def count(self, name: str) -> int:
        return sum(called == name for called, _ in self.calls)


class ListLog:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    warning = info
    error = info

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


class Bench:
    """One worker on an in-memory queue. The watch runs only where a test calls ``watch.tick()``."""

    def __init__(
        self,
        items: Sequence[str] = (),
        retries: int = 3,
        lease: float = 60.0,
        backoff: float = 1.0,
        close: bool = True,
        patience: float = 600.0,
        grace: float = 20.0,
        item_timeout: float | None = None,
        index: int = 0,
    ) -> None:
        self.clock = ManualClock(1000.0)
        self.memory = MemoryQueue(self.clock.now)
        self.memory.open(QueueConfig(lease=lease, retries=retries, backoff_base=backoff))
        self.memory.put([NewItem(item, str(position)) for position, item in enumerate(items)])
        if close:
            self.memory.close()
        self.queue = SwitchedQueue(self.memory)
        self.log = ListLog()
        self.metrics = Metrics(self.clock)
        self.ended: list[Exit] = []
        self.restarts = 0
        self.patience = patience
        self.grace = grace
        self.item_timeout = item_timeout
        self.index = index
        self.desk: Desk
        self.watch: Watch

    def engine(self, processor: Processor, most: int | None = None) -> Engine:
        line = Line("kj-test", self.patience, self.clock, self.log)
        self.desk = Desk(self.queue, "pod-a", self.index, processor, line, self.clock, self.log)
        self.watch = Watch(self.desk, self.metrics, self.grace, self.item_timeout, self.ended.append, self._restart)
        return Engine(self.desk, self.metrics, most)

    def run(self, handler: Any = None, batch_handler: Any = None, batch: int | None = None) -> Exit:
        processor = processor_of(handler, batch_handler, batch, self.metrics, 1 << 20)
        return self.engine(processor, batch if batch_handler is None else None).run()

    def _restart(self) -> None:
        self.restarts += 1

    def results(self) -> dict[str, str]:
        return {result.id: result.result for result in self.memory.results()[0]}
