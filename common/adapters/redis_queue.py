"""Queues for the services: ours in the suite's Redis, the original's lists in a dedicated one."""

from __future__ import annotations

import threading
from urllib.parse import quote

import redis
from asperathos_worker.queue.api import ServiceQueue
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters.list_queue import ListQueue
from common.adapters.redis_client import connect
from common.domain.queues import QUEUE_ADMIN, QueueAddress


class RedisQueues:
    """Implements ports.Queues; ``client`` is the suite's Redis. Connections to dedicated ones are kept and shared."""

    def __init__(self, client: redis.Redis, timeout: float = 5.0) -> None:
        self._client = client
        self._timeout = timeout
        self._dedicated: dict[str, redis.Redis] = {}
        self._lock = threading.Lock()

    def at(self, address: QueueAddress) -> ServiceQueue:
        if address.kind == "shared":
            return RedisQueue(self._client, address.submission)
        return ListQueue(self._connection(address), address.submission)

    def _connection(self, address: QueueAddress) -> redis.Redis:
        secret = f"{QUEUE_ADMIN}:{quote(address.password, safe='')}@" if address.password else ""
        host = f"[{address.host}]" if ":" in address.host else address.host
        url = f"redis://{secret}{host}:{address.port}/0"
        with self._lock:
            if url not in self._dedicated:
                self._dedicated[url] = connect(url, self._timeout)
            return self._dedicated[url]

    def close(self) -> None:
        """Give up the connections to dedicated queues."""
        with self._lock:
            for client in self._dedicated.values():
                client.close()
            self._dedicated.clear()
