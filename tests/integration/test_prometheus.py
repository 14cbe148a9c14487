"""What real services tell at /metrics."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from common.adapters.redis_client import connect, ping
from common.domain.errors import Unavailable
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess
from tests.support.stack_process import descendants


def scraped(service: ServiceProcess, name: str, **labels: str) -> float:
    """The sum of the samples of that name with those labels. A connection each: any of the processes answers."""
    text = requests.get(f"{service.url}/metrics", headers={"Connection": "close"}, timeout=10).text
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.M)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(float(value) for told, value in found if all(one in told for one in wanted))


def processes(service: ServiceProcess) -> set[int]:
    return descendants(service.pid) - {service.pid}


@pytest.fixture
def monitor(own_redis: RedisProcess, free_port: int, tmp_path: Path) -> Iterator[ServiceProcess]:
    """Of three processes, on a Redis in which nobody else's items count."""
    service = ServiceProcess(
        "monitor",
        free_port,
        tmp_path / "log",
        *("--workers", "3"),
        redis_url=own_redis.url,
        kubeconfig=str(tmp_path / "none"),
    )
    service.start()
    yield service
    service.stop()


def test_of_several_processes_each_tells_the_numbers_of_all(
    monitor: ServiceProcess, eventually: Callable[..., None]
) -> None:
    eventually(lambda: len(processes(monitor)) == 3)
    labels = {"route": "/monitoring/<id>", "code": "404"}
    for _ in range(40):
        requests.get(f"{monitor.url}/monitoring/kj-none", headers={"Connection": "close"}, timeout=10)
    told = {scraped(monitor, "asperathos_request_seconds_count", **labels) for _ in range(12)}
    assert told == {40.0}
    assert scraped(monitor, "asperathos_build_info") == 1.0
    assert scraped(monitor, "asperathos_queue_items", place="ready") == 0.0
    victim = min(processes(monitor))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(processes(monitor)) == 3 and victim not in processes(monitor), within=20)
    assert {scraped(monitor, "asperathos_request_seconds_count", **labels) for _ in range(6)} == {40.0}


def test_the_files_of_the_processes_go_with_the_service(monitor: ServiceProcess, tmp_path: Path) -> None:
    def shared() -> list[Path]:
        return [one for pid in processes(monitor) for one in _mapped(pid)]

    kept = shared()
    assert kept and all(one.exists() for one in kept)
    monitor.stop()
    assert not any(one.parent.exists() for one in kept)


def _mapped(pid: int) -> set[Path]:
    """Files of numbers that the process has open."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split(maxsplit=5)[5]) for line in lines if "asperathos-monitor-numbers-" in line}


def test_lost_connections_to_redis_are_counted(own_redis: RedisProcess) -> None:
    lost = []
    client = connect(own_redis.url, 2.0, lambda: lost.append(time.monotonic()))
    ping(client)
    assert lost == []
    own_redis.kill()
    with pytest.raises(Unavailable):
        ping(client)
    tries = len(lost)
    assert tries >= 2
    own_redis.start()
    ping(client)
    assert len(lost) - tries <= 1
    client.close()
