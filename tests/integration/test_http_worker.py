"""The shell worker of the examples against a real manager and a real Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from asperathos_worker.queue.records import NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters import redis_client
from common.adapters.redis_records import RedisRecords
from common.domain.states import State
from common.domain.submission import Submission, SubmissionSpec
from manager.item_tokens import ItemTokens
from tests.integration.test_manager_api import manager
from tests.support.redis_process import RedisProcess

SCRIPT = Path(__file__).parents[2] / "examples" / "http-worker" / "worker.sh"
SECRET = "what all managers share"
Eventually = Callable[..., None]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")


@pytest.fixture(scope="module")
def manager_url(redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("manager") / "log"
    process = manager(redis_server.url, "http://127.0.0.1:1", log, items_secret=SECRET, claim_wait="1", threads="8")
    process.start()
    yield process.url
    process.stop()


@dataclass
class Shift:
    """A submission under way, and shells that work on it."""

    id: str
    url: str
    queue: RedisQueue
    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def fill(self, *items: str, **config: float) -> None:
        self.queue.open(QueueConfig(**{"lease": 30.0, "retries": 0, **config}))  # type: ignore[arg-type]
        self.queue.put([NewItem(item, str(place)) for place, item in enumerate(items)])
        self.queue.close()

    def start(
        self, handle: str, name: str = "pod-1", token: str = "", script: Path = SCRIPT
    ) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.directory),
            "HANDLE": handle,
            "POD_NAME": name,
            "JOB_COMPLETION_INDEX": "0",
            "ASPERATHOS_ITEMS_URL": f"{self.url}/submissions/{self.id}/items",
            "ASPERATHOS_ITEMS_TOKEN": token or ItemTokens(lambda: SECRET).token(self.id),
        }
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(["sh", str(script)], env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def results(self) -> dict[str, str]:
        return {result.id: result.result for result in self.queue.results()[0]}

    def left_behind(self) -> list[str]:
        return [path.name for path in self.directory.iterdir() if path.name != "log"]

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def shift(manager_url: str, redis_server: RedisProcess, tmp_path: Path) -> Iterator[Shift]:
    id = f"kj-{uuid.uuid4().hex[:7]}"
    spec = SubmissionSpec.model_validate({"command": ["sh", "worker.sh"], "workload": ["a"]})
    with redis_client.connect(redis_server.url) as client:
        records = RedisRecords(client, "submission", Submission)
        records.create(id, Submission(id=id, spec=spec, created_at=0.0, state=State.ONGOING))
        shift = Shift(id, manager_url, RedisQueue(client, id), tmp_path)
        yield shift
        for process in shift.processes:
            process.kill()
            process.wait(10)


def test_two_shells_do_every_item_once(shift: Shift) -> None:
    items = [f"item {number} ü\nsecond line" for number in range(12)]
    shift.fill(*items)
    workers = [shift.start("cat", name) for name in ("pod-1", "pod-2")]
    assert [worker.wait(60) for worker in workers] == [0, 0], shift.log
    assert shift.results() == {str(place): item for place, item in enumerate(items)}
    assert all(result.attempt == 1 for result in shift.queue.results()[0])
    assert shift.left_behind() == []


def test_sigterm_hands_the_item_back_unharmed(shift: Shift, eventually: Eventually) -> None:
    shift.fill("long")
    worker = shift.start("echo started >&2; sleep 600")
    eventually(lambda: shift.queue.stats().leased == 1, within=30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 143, shift.log
    stats = shift.queue.stats()
    assert (stats.ready, stats.released, stats.failed, stats.expired) == (1, 1, 0, 0)
    assert shift.left_behind() == []


def test_sigterm_while_waiting_takes_nothing(shift: Shift, eventually: Eventually) -> None:
    shift.fill("held")
    shift.queue.take("somebody", 0)
    worker = shift.start("cat")
    eventually(lambda: len(shift.queue.workers()) == 2, within=30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 143, shift.log
    assert shift.queue.stats().leased == 1


def test_a_result_that_is_too_large_fails_its_item_for_good_and_the_rest_goes_on(shift: Shift) -> None:
    # Over the limit of a result, and over that of a body, too.
    shift.fill("2", "50", "0", retries=3)
    worker = shift.start("head -c $(cat)000000 /dev/zero | tr '\\0' x")
    assert worker.wait(90) == 0, shift.log
    assert shift.results() == {"2": ""}
    dead, _ = shift.queue.dead()
    assert [(failure.id, failure.attempt) for failure in dead] == [("0", 1), ("1", 1)]
    assert "has 2000000 bytes, the limit is 1048576: store it elsewhere" in dead[0].error
    assert "50000000 bytes" in dead[1].error
    assert shift.queue.stats().expired == 0


def test_a_handler_longer_than_the_lease_keeps_its_item(shift: Shift) -> None:
    # A renewal each second; the lease leaves room for a slow machine.
    shift.fill("slow", lease=4.0)
    worker = shift.start("sleep 6; cat")
    assert worker.wait(60) == 0, shift.log
    assert [(result.attempt, result.result) for result in shift.queue.results()[0]] == [(1, "slow")]
    assert shift.queue.stats().expired == 0


def test_a_lost_signal_keeps_no_item_for_ever(shift: Shift, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What renews leases is told to end, and may be told too early: before it listens."""
    deaf = tmp_path_factory.mktemp("deaf") / "worker.sh"
    deaf.write_text("kill() { :; }\n" + SCRIPT.read_text())
    shift.fill("a", "b", lease=3.0)
    assert shift.start("cat", script=deaf).wait(30) == 0, shift.log
    assert [result.attempt for result in shift.queue.results()[0]] == [1, 1]


def test_a_failing_handlers_words_are_the_error(shift: Shift) -> None:
    shift.fill("bad")
    assert shift.start("echo out of paper >&2; exit 3").wait(60) == 0, shift.log
    (failure,) = shift.queue.failures()
    assert (failure.error, failure.final) == ("out of paper\nexit code 3", True)


def test_a_worker_with_a_wrong_token_ends_at_once(shift: Shift) -> None:
    shift.fill("a")
    assert shift.start("cat", token="wrong").wait(60) == 77
    assert "FORBIDDEN" in shift.log
    assert shift.queue.stats().ready == 1
