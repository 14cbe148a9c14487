"""Fixtures every test may use: a private Redis, free ports, deadlines instead of sleeps."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.docker_engine import CannotRun, EngineProcess
from tests.support.influx_process import InfluxProcess
from tests.support.redis_process import RedisProcess

settings.register_profile(
    "asperathos", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("asperathos")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """One private Redis for the session; use an own submission id or key prefix, it is never flushed."""
    server = RedisProcess(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A Docker engine of the session's own, with the base image; only for ``make test-docker``."""
    if os.environ.get("ASPERATHOS_TEST_DOCKER") != "1":
        pytest.skip("the docker runtime is NOT tested here: make test-docker")
    engine = EngineProcess(tmp_path_factory.mktemp("engine"))
    try:
        engine.start()
    except CannotRun as error:
        pytest.skip(f"NO DOCKER ENGINE, the docker runtime is NOT tested: {error}")
    yield engine
    engine.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis of this test's own: it may be killed, paused, restarted."""
    server = RedisProcess(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxProcess]:
    """One private InfluxDB for the session; use an own database. Skips, loudly, where none is installed."""
    server = InfluxProcess(tmp_path_factory.mktemp("influx"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_influx(tmp_path: Path) -> Iterator[InfluxProcess]:
    """An InfluxDB of this test's own: it may be killed and restarted."""
    server = InfluxProcess(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def eventually() -> Callable[..., None]:
    """``eventually(check, within=10)``: wait until check() is true, fail after ``within`` seconds."""

    def wait(check: Callable[[], object], within: float = 10.0, every: float = 0.02) -> None:
        end = time.monotonic() + within
        while not check():
            if time.monotonic() > end:
                pytest.fail(f"not true within {within} s: {check}")
            time.sleep(every)

    return wait
