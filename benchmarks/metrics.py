"""What a thousand live submissions cost the metric store: CPU of the writer, requests, series, the server's memory.

    python -m benchmarks.metrics [--submissions 1000] [--seconds 20] [--url http://127.0.0.1:8086] [--json]

Each submission's points of one measurement are written every two seconds, as the monitor does, through the real
adapter. Without --url an ``influxd`` on PATH (or unpacked by .ci/run) is started on a free port.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from common.adapters.influx_metrics import InfluxMetrics
from common.adapters.influx_server import InfluxServer, InfluxSettings
from common.adapters.outbox import Outbox
from common.clock import SystemClock
from common.domain.metrics import MEASUREMENTS, Point
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes, Usage
from monitor.points import points_of

PERIOD = 2.0
TAGS = {"name": "benchmark", "kind": "batch", "law": "deadline", "namespace": "asperathos-jobs"}
_UNPACKED = Path(__file__).resolve().parent.parent / ".asperathos" / "debian" / "usr" / "bin"


class Meter:
    """Implements outbox.OutboxMeter."""

    def __init__(self) -> None:
        self.requests = self.sent = self.dropped = self.most_waiting = 0

    def delivered(self, lines: int) -> None:
        self.requests += 1
        self.sent += lines

    def lost(self, lines: int) -> None:
        self.dropped += lines

    def waiting(self, lines: int) -> None:
        self.most_waiting = max(self.most_waiting, lines)

    def back(self) -> None:
        pass


@contextmanager
def server(url: str) -> Iterator[tuple[str, int | None]]:
    """An InfluxDB's address, and its process where it is ours."""
    if url:
        yield url, None
        return
    program = shutil.which("influxd") or shutil.which("influxd", path=str(_UNPACKED))
    if program is None:
        raise SystemExit("no influxd is installed: name a server by --url")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as directory:
        places = {"META_DIR": "meta", "DATA_DIR": "data", "DATA_WAL_DIR": "wal"}
        environment = {
            **{f"INFLUXDB_{name}": f"{directory}/{place}" for name, place in places.items()},
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
            "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
        }
        process = subprocess.Popen(
            [program, "run"],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/ping")
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(address: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            requests.get(address, timeout=2)
            return
        except requests.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def observation(number: int, at: float) -> Observation:
    """What the monitor makes of a submission in full swing."""
    done = int(at) % 1000
    return Observation(
        submission=f"kj-{number:07x}",
        at=at,
        elapsed=60.0,
        deadline=600.0,
        counts=Counts(total=1000, ready=900 - done, leased=8, done=done),
        progress=done / 1000,
        throughput=3.3,
        service=ServiceTimes(count=done, mean=2.4, deviation=0.3, p50=2.2, p95=3.9, p99=5.0, longest=7.5),
        queue_wait_p50=12.5,
        queue_wait_p95=40.1,
        queue_wait_p99=40.9,
        oldest_wait=41.0,
        replicas=Replicas(desired=8, requested=8, observed=8),
        usage=Usage(cpu=6.5, memory=5e8, pods=8),
    )


def measure(url: str, process: int | None, submissions: int, seconds: float) -> dict[str, float]:
    """Write for so many seconds; the figures by name."""
    meter, clock = Meter(), SystemClock()
    influx = InfluxServer(InfluxSettings(url, bucket=f"benchmark{int(time.time())}"))
    outbox = Outbox(influx.write, clock, meter)
    outbox.start()
    store = InfluxMetrics(influx, outbox)
    began, cpu, written = time.monotonic(), time.process_time(), 0
    pause = PERIOD / submissions
    due = began
    while due < began + seconds:
        points: list[Point] = points_of(observation(written % submissions, time.time()), TAGS)
        store.write(points)
        written += 1
        due += pause
        time.sleep(max(0.0, due - time.monotonic()))
    took, used = time.monotonic() - began, time.process_time() - cpu
    store.flush(30.0)
    asked = time.monotonic()
    read = sum(len(store.read(f"kj-{submissions // 2:07x}", one)) for one in MEASUREMENTS)
    figures = {
        "submissions": submissions,
        "series": submissions * len(points_of(observation(0, time.time()), TAGS)),
        "points per second": round(meter.sent / took),
        "requests per second": round(meter.requests / took, 2),
        "most points waiting": meter.most_waiting,
        "points lost": meter.dropped,
        "cores used by the writer": round(used / took, 3),
        "milliseconds to read a submission's series": round(1000 * (time.monotonic() - asked), 1),
        "points read": read,
    }
    if process is not None:
        figures["server's memory in MiB"] = _memory(process)
    store.close(5.0)
    return figures


def _memory(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024)
    return 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=1000, help="live at once (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to write (default %(default)s)")
    parser.add_argument("--url", default="", help="an InfluxDB that is there; a database is made in it and stays")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with server(arguments.url) as (url, process):
        figures = measure(url, process, arguments.submissions, arguments.seconds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<44} {value}")


if __name__ == "__main__":
    main()
