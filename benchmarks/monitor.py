"""What a thousand live submissions cost the monitor: CPU, memory, requests to InfluxDB, whether it keeps its period.

    python -m benchmarks.monitor [--submissions 1000] [--period 2] [--quick] [--json] [--check]

A real monitor process measures queues in a real Redis, of which some are worked on all the time, and pods of a
Kubernetes API in which nothing happens; it writes to a real InfluxDB (an ``influxd`` on PATH or unpacked by .ci/run).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from benchmarks.idle import cpu_seconds, memory
from benchmarks.quiet_cluster import quiet_cluster
from benchmarks.verdict import verdict
from common.adapters.redis_client import connect
from common.adapters.redis_history import RedisJournal
from common.domain.events import DECISIONS
from common.domain.forecast import Forecast
from common.domain.progress import Decision
from common.domain.queues import QueueAddress
from common.domain.readings import Prices
from common.http.contracts import MonitoringInfo, MonitoringRequest
from tests.support.influx_process import InfluxProcess
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess
from tests.support.stack_process import descendants

BAR_CORE = 1.0
"""At a period of 2 s; half of it at 5 s."""
BAR_REQUESTS = 1.05
"""Requests to InfluxDB a second: one, and what a window of whole requests may show beyond it."""
BAR_KEPT = 0.98
"""Share of the measurements that the period asks for."""
_LOOP = (
    "asperathos_loop_failures_total",
    "asperathos_loop_lag_seconds_count",
    "asperathos_loop_lag_seconds_sum",
    "asperathos_loop_step_seconds_sum",
)
ITEMS, LEASED, DONE, REPLICAS = 100, 4, 40, 4


def fill(url: str, ids: Sequence[str]) -> None:
    """Queues in the middle of their work, and the last decision on each."""
    with connect(url) as client:
        journal = RedisJournal(client)
        for id in ids:
            queue = RedisQueue(client, id)
            queue.open(QueueConfig(lease=3600.0))
            queue.put([NewItem(f"item {number}", str(number)) for number in range(ITEMS)])
            queue.close()
            taken = queue.take(f"{id}-g1-0", 0, DONE).leases
            queue.finish_and_take(f"{id}-g1-0", 0, [Ack(lease.id, lease.attempt) for lease in taken], 0)
            for index in range(LEASED):
                queue.take(f"{id}-g1-{index}", index)
            journal.append(DECISIONS, id, _decision())


def _decision() -> Decision:
    now = time.time()
    forecast = Forecast(at=now, p5=80, p10=90, p50=120, p90=200, p95=240, chance=0.97, wanted=4, replica_seconds=300.0)
    return Decision(at=now, law="deadline", wanted=4, granted=4, previous=4, reason="holds the pace", forecast=forecast)


def work(url: str, ids: Sequence[str], rate: float, stop: threading.Event) -> None:
    """Finishes ``rate`` items a second, of one submission after the other, until told to stop or nothing is left."""
    with connect(url) as client:
        held = {}
        due = time.monotonic()
        number = 0
        while not stop.wait(max(0.0, due - time.monotonic())):
            id = ids[number % len(ids)]
            acks = [Ack(lease.id, lease.attempt) for lease in held.get(id, ())]
            held[id] = RedisQueue(client, id).finish_and_take(f"{id}-g1-9", 9, acks, 1).leases
            number += 1
            due += 1.0 / rate


def register(monitor: str, ids: Sequence[str], period: float) -> None:
    """Has the submissions monitored."""
    with requests.Session() as session:
        for id in ids:
            info = MonitoringInfo(
                queue=QueueAddress(submission=id),
                namespace="default",
                created_at=time.time(),
                deadline=3600.0,
                name="benchmark",
                law="deadline",
                prices=Prices(replica=0.1),
            )
            body = MonitoringRequest(collect_period=period, plugin_info=info).model_dump_json()
            answer = session.post(
                f"{monitor}/monitoring/{id}", data=body, headers={"Content-Type": "application/json"}, timeout=30
            )
            answer.raise_for_status()


def measured(influx: InfluxProcess, since: float, until: float) -> int:
    """How many measurements are in InfluxDB of that time (Unix seconds)."""
    query = f'SELECT count("value") FROM "job_progress" WHERE time > {int(since * 1e9)} AND time <= {int(until * 1e9)}'
    answer = requests.get(f"{influx.url}/query", params={"db": "asperathos", "q": query}, timeout=60).json()
    return int(answer["results"][0]["series"][0]["values"][0][1])


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples, as /metrics tells them."""
    lines = requests.get(f"{url}/metrics", timeout=30).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def measure(submissions: int, period: float, seconds: float, warm_up: float) -> dict[str, float]:
    """The figures by name."""
    ids = [f"kj-{number:07x}" for number in range(submissions)]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_server, influx = RedisProcess(directory), InfluxProcess(directory)
        for server in (redis_server, influx):
            server.start()
            stack.callback(server.stop)
        kubeconfig = stack.enter_context(quiet_cluster(directory, ids, REPLICAS))
        fill(redis_server.url, ids)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        monitor = ServiceProcess(
            "monitor",
            port,
            directory / "monitor.log",
            redis_url=redis_server.url,
            influx_url=influx.url,
            kubeconfig=str(kubeconfig),
        )
        monitor.start()
        stack.callback(monitor.stop)
        register(monitor.url, ids, period)
        stop = threading.Event()
        worker = threading.Thread(target=work, args=(redis_server.url, ids, submissions / 10, stop), daemon=True)
        worker.start()
        time.sleep(warm_up)
        pids = descendants(monitor.pid) | {monitor.pid}
        redis_pids = {redis_server.pid}
        used, redis_used, requested = cpu_seconds(pids), cpu_seconds(redis_pids), _writes(influx)
        before = {name: metric(monitor.url, name) for name in _LOOP}
        began, since = time.monotonic(), time.time()
        time.sleep(seconds)
        took, until = time.monotonic() - began, time.time()
        used, redis_used = cpu_seconds(pids) - used, cpu_seconds(redis_pids) - redis_used
        requested = _writes(influx) - requested
        told = {name: metric(monitor.url, name) - before[name] for name in _LOOP}
        steps = max(1.0, told["asperathos_loop_lag_seconds_count"])
        size = sum(memory(pids).values())
        threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
        stop.set()
        worker.join(10)
        time.sleep(3.0)
        counted = measured(influx, since, until)
        return {
            "submissions": submissions,
            "period in seconds": period,
            "cores used by the monitor": round(used / took, 3),
            "milliseconds of CPU a measurement": round(1000 * used / max(1, counted), 3),
            "share of the measurements kept": round(counted / (submissions * took / period), 4),
            "requests to InfluxDB a second": round(requested / took, 2),
            "points a second": round(counted * _points(influx) / took),
            "milliseconds that a step was late": round(1000 * told["asperathos_loop_lag_seconds_sum"] / steps, 1),
            "milliseconds that a step took": round(1000 * told["asperathos_loop_step_seconds_sum"] / steps, 1),
            "failed steps": told["asperathos_loop_failures_total"],
            "cores used by Redis": round(redis_used / took, 3),
            "monitor's memory in MiB": round(size),
            "monitor's threads": threads,
        }


def _writes(influx: InfluxProcess) -> int:
    """Requests that wrote points so far, by either API."""
    return influx.requests_of("/write") + influx.requests_of("/api/v2/write")


def _points(influx: InfluxProcess) -> int:
    """Measurements of one submission at one moment."""
    answer = requests.get(
        f"{influx.url}/query", params={"db": "asperathos", "q": "SHOW MEASUREMENTS"}, timeout=60
    ).json()
    return len(answer["results"][0]["series"][0]["values"])


def missed(figures: dict[str, float]) -> list[str]:
    """The bars that these figures miss."""
    cores = BAR_CORE if figures["period in seconds"] < 5 else BAR_CORE / 2
    bars = []
    if figures["cores used by the monitor"] >= cores:
        bars.append(f"{figures['cores used by the monitor']} cores, not under {cores}")
    if figures["requests to InfluxDB a second"] > BAR_REQUESTS:
        bars.append(f"{figures['requests to InfluxDB a second']} requests a second, more than one")
    if figures["share of the measurements kept"] < BAR_KEPT:
        bars.append(f"{figures['share of the measurements kept']:.1%} of the measurements, not {BAR_KEPT:.0%}")
    if figures["failed steps"]:
        bars.append(f"{figures['failed steps']:.0f} steps failed")
    return bars


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor", description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=1000, help="live at once (default %(default)s)")
    parser.add_argument("--period", type=float, default=2.0, help="seconds between measurements (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="observe 15 s instead of 60 s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 naming every bar that is missed")
    arguments = parser.parse_args()
    seconds = 15.0 if arguments.quick else 60.0
    figures = measure(arguments.submissions, arguments.period, seconds, warm_up=10.0)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<40} {value}")
    return verdict(missed(figures)) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
