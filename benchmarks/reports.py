"""What reports cost: ``python -m benchmarks.reports``. A Redis of its own is filled with the items of an ended batch.

Tells for each number of items the CPU seconds of this process until the first row of the CSV and until the last, the
most memory that was taken beside what was there before (MiB, by tracemalloc), and the CPU seconds to sample the items
for a page. And what it takes to read the series of a day (43,000 moments, one every 2 s).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters.redis_client import connect
from common.adapters.redis_history import RedisMetrics
from common.domain.progress import Counts, Observation, ServiceTimes
from manager.reporting.lines import all_lines, sample
from manager.reporting.table import csv_of
from monitor.detailed import MEASURED, detailed_report
from monitor.points import points_of
from tests.support.redis_process import RedisProcess

_RESULT = "x" * 100
_BATCH = 1000
_MOST_MIB = 30.0
_PAGE_ROWS = 600


def main() -> None:
    """Measure, print, and with --check exit 1 when memory grows with the items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 items only")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=f"exit 1 when a report takes more than {_MOST_MIB:g} MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RedisProcess(Path(directory))
        server.start()
        try:
            series = measure_series(server.url, 5_000 if options.quick else 43_000)
            measured = [measure(server.url, items) for items in ((10_000,) if options.quick else (10_000, 100_000))]
        finally:
            server.stop()
    if options.json:
        print(json.dumps({"items": measured, "series": series}))
    else:
        for row in measured:
            told = (f"{name} {value:,.3g}" for name, value in row.items() if name != "items")
            print(f"{row['items']:>9,} items  " + "  ".join(told))
        print(f"{series['moments']:>9,} moments  series CPU s {series['series CPU s']:.3g}")
    missed = [row for row in measured if row["MiB"] > _MOST_MIB]
    if options.check and missed:
        sys.exit(f"more than {_MOST_MIB:g} MiB: {missed}")


def measure(url: str, items: int) -> dict[str, float]:
    """Fill a queue, finish its items, and tell what their report takes."""
    queue = RedisQueue.connect(url, f"bench-{items}")
    queue.open(QueueConfig(lease=600.0))
    for start in range(0, items, _BATCH):
        queue.put([NewItem(f"payload {number}", str(number)) for number in range(start, start + _BATCH)])
    queue.close()
    leases = queue.take("pod-0", 0, _BATCH).leases
    while leases:
        leases = queue.finish_and_take("pod-0", 0, [Ack(one.id, one.attempt, _RESULT) for one in leases], _BATCH).leases
    began = time.process_time()
    chunks = csv_of(all_lines(queue), 0.0)
    size = len(next(chunks))
    first = time.process_time() - began
    size += sum(map(len, chunks))
    last = time.process_time() - began
    # Once more, since watching memory takes time.
    tracemalloc.start()
    deque(csv_of(all_lines(queue), 0.0), maxlen=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began = time.process_time()
    sample(queue)
    sampled = time.process_time() - began
    queue.purge()
    queue.disconnect()
    return {
        "items": items,
        "first row CPU s": first,
        "all rows CPU s": last,
        "CSV MB": size / 1e6,
        "MiB": peak / 2**20,
        "sample CPU s": sampled,
    }


def measure_series(url: str, moments: int) -> dict[str, float]:
    """Write what a monitor writes at so many moments, and read it for a page."""
    client = connect(url, 30.0)
    store = RedisMetrics(client)
    service = ServiceTimes(count=1, mean=1.0, p50=1.0, p95=2.0, longest=3.0)
    told: dict[str, Any] = {"counts": Counts(total=moments), "service": service, "deadline": 1e6, "price": 1.0}
    for start in range(0, moments, _BATCH):
        points = []
        for number in range(start, start + _BATCH):
            seen = Observation(submission="bench", at=2.0 * number, elapsed=2.0 * number, queue_wait_p50=1.0, **told)
            points += points_of(seen, {})
        store.write(points)
    began = time.process_time()
    detailed_report(store.read_several("bench", MEASURED), 0.0, _PAGE_ROWS)
    took = time.process_time() - began
    client.close()
    return {"moments": moments, "series CPU s": took}


if __name__ == "__main__":
    main()
