"""The monitor on fakes, all on one clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import NewItem, QueueConfig

from common.domain.progress import Observation
from monitor.loop import MonitorLoop, World
from monitor.monitors import BUILT_IN
from monitor.record import Monitoring
from monitor.service import MonitorService
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters
from tests.fakes.queues import MemoryQueues
from tests.fakes.readings import MemoryReadings
from tests.fakes.records import MemoryJournal, MemoryMetrics, MemoryRecords, MemoryWakeups
from tests.unit.monitor.builders import ID


@dataclass
class Bench:
    """A monitor whose whole world is in memory; the clock starts at 1000."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(now=1000.0))

    def __post_init__(self) -> None:
        self.records: MemoryRecords[Monitoring] = MemoryRecords(lambda kept: kept.active, self.clock)
        self.observations: MemoryRecords[Observation] = MemoryRecords(clock=self.clock)
        self.metrics = MemoryMetrics(self.clock)
        self.decisions = MemoryJournal(clock=self.clock)
        self.wakeups = MemoryWakeups(self.clock)
        self.cluster = FakeCluster(self.clock)
        self.queue = MemoryQueue(self.clock.now)
        self.queues = MemoryQueues(lambda _: self.queue)
        self.monitors = dict(BUILT_IN)
        self.readings = MemoryReadings()
        self.service = MonitorService(
            self.records, self.observations, self.metrics, self.wakeups, self.clock, self.monitors
        )
        self.loop = MonitorLoop(
            World(
                records=self.records,
                observations=self.observations,
                metrics=self.metrics,
                decisions=self.decisions,
                queues=self.queues,
                clusters=FakeClusters(self.cluster),
                clock=self.clock,
                monitors=self.monitors,
                readings=self.readings,
            )
        )

    def load(self, count: int = 4) -> None:
        """Open the queue, put items, close it."""
        self.queue.open(QueueConfig(lease=10.0))
        self.queue.put([NewItem(f"payload {n}", str(n)) for n in range(count)])
        self.queue.close()

    def tick(self, seconds: float = 2.0) -> float:
        """Let time pass and take a step."""
        self.clock.advance(seconds)
        return self.loop.step(ID)

    @property
    def kept(self) -> Monitoring:
        kept = self.records.get(ID)
        assert kept is not None
        return kept.value


@pytest.fixture
def bench() -> Bench:
    return Bench()
