"""The runner's archive as pods run it: with Pythons that have nothing of ours installed, on a real Redis."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from asperathos_worker.queue.records import NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from tests.support.redis_process import RedisProcess

ARCHIVE = Path(sys.prefix) / "share" / "asperathos" / "runner.pyz"
Eventually = Callable[..., None]


def other_pythons() -> dict[str, str]:
    """Interpreters of this machine by version, ours included: on PATH, or where pyenv has them."""
    homes = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep)]
    homes += sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin"))
    found = {f"3.{sys.version_info.minor}": sys.executable}
    for home in homes:
        for minor in range(8, 15):
            python = home / f"python3.{minor}"
            # pyenv's shims on PATH choose a version by themselves.
            if python.is_file() and "shims" not in home.parts:
                found.setdefault(f"3.{minor}", str(python))
    return found


PYTHONS = other_pythons()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is not there: make runner builds it")
    # A copy where nothing of ours is near, read-only as a ConfigMap is.
    copy = tmp_path_factory.mktemp("mounted") / "runner.pyz"
    shutil.copy(ARCHIVE, copy)
    copy.chmod(0o444)
    return copy


class Pod:
    """One submission's queue and a runner on it, in an environment as bare as a container's."""

    def __init__(self, redis: RedisProcess, archive: Path, directory: Path) -> None:
        self.id = f"kj-{uuid.uuid4().hex[:7]}"
        self.queue = RedisQueue(redis.url, self.id)
        self.archive = archive
        self.directory = directory
        self.redis = redis

    def fill(self, *items: str) -> None:
        self.queue.open(QueueConfig())
        self.queue.put([NewItem(item, str(place)) for place, item in enumerate(items)])
        self.queue.close()

    def start(self, python: str, run: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "ASPERATHOS_REDIS_URL": self.redis.url,
            "ASPERATHOS_SUBMISSION": self.id,
            "ASPERATHOS_RUN": run,
            "ASPERATHOS_GRACE_SECONDS": "1",
        }
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [python, "-W", "error", str(self.archive)], env=environment, cwd=self.directory, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def pod(redis_server: RedisProcess, archive: Path, tmp_path: Path) -> Pod:
    return Pod(redis_server, archive, tmp_path)


@pytest.mark.parametrize("version", [f"3.{minor}" for minor in range(8, 15)])
def test_a_bare_python_runs_it(pod: Pod, version: str) -> None:
    if version not in PYTHONS:
        pytest.skip(f"no Python {version} on this machine")
    pod.fill("one", "two ü", "three")
    process = pod.start(PYTHONS[version], "printf '<%s>' {item}")
    assert process.wait(60) == 0, pod.log
    assert {result.result for result in pod.queue.results()[0]} == {"<one>", "<two ü>", "<three>"}
    assert "worker_ended code=0 done=3" in pod.log


def test_sigterm_hands_the_item_back(pod: Pod, eventually: Eventually) -> None:
    pod.fill("one")
    process = pod.start(sys.executable, "sleep 600")
    eventually(lambda: pod.queue.stats().leased == 1, within=30)
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(60) == 143, pod.log
    finally:
        process.kill()
        process.wait(10)
    assert pod.queue.stats().ready == 1


def test_it_fits_into_a_config_map_with_room_to_spare(archive: Path) -> None:
    assert archive.stat().st_size < 1 << 18


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_an_older_python_is_told_so(archive: Path, version: str) -> None:
    homes = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    if not homes:
        pytest.skip(f"no Python {version} on this machine")
    refused = subprocess.run([str(homes[0]), str(archive)], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 64
    assert re.search(r"needs Python 3\.8 or newer, this is \d+\.\d+", refused.stderr)
