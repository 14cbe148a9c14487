"""Queues by address, each made on first use."""

from __future__ import annotations

from collections.abc import Callable

from asperathos_worker.queue.api import ServiceQueue

from common.domain.errors import Unavailable
from common.domain.queues import QueueAddress


class MemoryQueues:
    """Implements ports.Queues around a factory of queues (submission id -> queue)."""

    def __init__(self, factory: Callable[[str], ServiceQueue]) -> None:
        self._factory = factory
        self.made: dict[tuple[str, str], ServiceQueue] = {}
        self.down = False

    def at(self, address: QueueAddress) -> ServiceQueue:
        if self.down:
            raise Unavailable("Redis does not answer: the test says so")
        key = (address.kind, address.submission)
        if key not in self.made:
            self.made[key] = self._factory(address.submission)
        return self.made[key]
