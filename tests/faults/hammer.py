"""A client of the work queue that finishes so many items a second and remembers what was acknowledged, and when.

``python -m tests.faults.hammer <redis url> <submission> <items a second> <file>``: until SIGTERM; then the file has a
JSON object with ``acked``: pairs of Unix seconds and item ids.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

from asperathos_worker.queue.api import QueueError
from asperathos_worker.queue.records import Ack
from asperathos_worker.queue.redis_queue import RedisQueue

BATCH = 50


def main() -> None:
    url, submission, rate, path = sys.argv[1:5]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    queue = RedisQueue(url, submission, timeout=2.0)
    acked: list[tuple[float, list[str]]] = []
    held: list[Ack] = []
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due + BATCH / float(rate), time.monotonic() - 0.1)
        try:
            taken = queue.finish_and_take(f"hammer {path}", 0, held, BATCH)
        except QueueError:
            time.sleep(0.02)
            continue
        acked.append((time.time(), [ack.id for ack, ok in zip(held, taken.accepted, strict=True) if ok]))
        held = [Ack(lease.id, lease.attempt, f"done {lease.payload}") for lease in taken.leases]
    Path(path).write_text(json.dumps({"acked": acked}))


if __name__ == "__main__":
    main()
