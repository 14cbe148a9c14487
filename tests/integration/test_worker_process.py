"""Workers as real processes on a real Redis: signals, deaths, outages, and what commands leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asperathos_worker.queue.records import NewItem, QueueConfig
from asperathos_worker.queue.redis_queue import RedisQueue

from tests.support.redis_process import RedisProcess

Eventually = Callable[..., None]


class Place:
    """One submission's queue, and the workers a test starts on it."""

    def __init__(self, redis: RedisProcess, directory: Path) -> None:
        self.redis = redis
        self.directory = directory
        self.submission = "kj-" + uuid.uuid4().hex[:7]
        self.queue = RedisQueue(redis.url, self.submission)
        self.processes: list[subprocess.Popen[bytes]] = []

    def fill(self, *items: str, lease: float = 30, retries: int = 3, backoff: float = 0.05) -> None:
        self.queue.open(QueueConfig(lease=lease, retries=retries, backoff_base=backoff, backoff_cap=backoff))
        self.queue.put([NewItem(item, str(position)) for position, item in enumerate(items)])
        self.queue.close()

    def start(
        self, arguments: list[str], name: str = "pod-a", stderr: Any = None, **env: str
    ) -> subprocess.Popen[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ASPERATHOS_")}
        settings = {"ASPERATHOS_REDIS_URL": self.redis.url, "ASPERATHOS_SUBMISSION": self.submission, "POD_NAME": name}
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.directory, stderr=stderr or log, env={**kept, **settings, **env}
            )
        self.processes.append(process)
        return process

    def sdk(self, code: str, name: str = "pod-a", **env: str) -> subprocess.Popen[bytes]:
        script = self.directory / f"{name}.py"
        script.write_text("import asperathos_worker, os, time\n" + textwrap.dedent(code))
        return self.start([str(script)], name, **env)

    def runner(self, command: str, name: str = "pod-a", **env: str) -> subprocess.Popen[bytes]:
        return self.start(["-m", "asperathos_worker"], name, ASPERATHOS_RUN=command, **env)

    def script(self, name: str, code: str) -> str:
        path = self.directory / name
        path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(code))
        path.chmod(0o755)
        return str(path)

    def results(self) -> dict[str, str]:
        return {result.id: result.result for result in self.queue.results()[0]}

    def log(self, name: str = "pod-a") -> str:
        return (self.directory / f"{name}.log").read_text()

    def touched(self, name: str) -> bool:
        return (self.directory / name).exists()


@pytest.fixture
def place(redis_server: RedisProcess, tmp_path: Path) -> Iterator[Place]:
    yield from _place(redis_server, tmp_path)


@pytest.fixture
def own_place(own_redis: RedisProcess, tmp_path: Path) -> Iterator[Place]:
    yield from _place(own_redis, tmp_path)


def _place(redis: RedisProcess, directory: Path) -> Iterator[Place]:
    work = directory / "work"
    work.mkdir()
    here = Place(redis, work)
    yield here
    for process in here.processes:
        if process.poll() is None:
            process.kill()
        process.wait(10)
    here.queue.disconnect()
    # After a failed test something may be left: whatever works in this test's own directory is this test's.
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == work:
                os.kill(int(entry.name), signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def pid_in(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except OSError:
        return 0


# A handler that says when it starts and goes on when the test says so.
GATED = """
def handler(item):
    open("started-" + item, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return item.upper()
asperathos_worker.run(handler)
"""


def test_the_queue_is_worked_off(place: Place) -> None:
    place.fill(*(f"item {number}" for number in range(500)))
    assert place.sdk("asperathos_worker.run(str.upper)").wait(20) == 0
    assert place.results() == {str(number): f"ITEM {number}" for number in range(500)}
    assert "done=500" in place.log()


def test_sigterm_lets_the_item_in_hand_finish(place: Place, eventually: Eventually) -> None:
    place.fill("a", "b")
    worker = place.sdk(GATED)
    eventually(lambda: place.touched("started-a"))
    worker.terminate()
    (place.directory / "go").touch()
    assert worker.wait(10) == 143
    stats = place.queue.stats()
    assert place.results() == {"0": "A"}
    assert (stats.ready, stats.leased, stats.failed) == (1, 0, 0)


def test_an_item_longer_than_the_grace_goes_back_unharmed(place: Place, eventually: Eventually) -> None:
    place.fill("a", retries=0)
    worker = place.sdk(GATED, ASPERATHOS_GRACE_SECONDS="2")
    eventually(lambda: place.touched("started-a"))
    worker.terminate()
    assert worker.wait(10) == 143
    stats = place.queue.stats()
    assert (stats.ready, stats.leased, stats.released, stats.failed) == (1, 0, 1, 0)


def test_sigterm_is_noticed_inside_a_long_call_into_c(place: Place, eventually: Eventually) -> None:
    place.fill("a", retries=0)
    worker = place.sdk(
        """
        import hashlib
        def handler(item):
            open("started", "w").close()
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)
        asperathos_worker.run(handler)
        """,
        ASPERATHOS_GRACE_SECONDS="2",
    )
    eventually(lambda: place.touched("started"))
    worker.terminate()
    assert worker.wait(10) == 143
    assert place.queue.stats().released == 1


def test_sigterm_ends_an_idle_worker_and_sigint_too(place: Place, eventually: Eventually) -> None:
    place.fill("a")
    place.queue.take("peer", 9)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        worker = place.sdk(GATED, name=f"pod-{code}")
        eventually(lambda name=f"pod-{code}": "worker_started" in place.log(name))
        eventually(lambda name=f"pod-{code}": any(info.name == name for info in place.queue.workers()))
        worker.send_signal(number)
        assert worker.wait(10) == code


def test_the_items_of_a_killed_worker_come_back_when_their_lease_ends(place: Place, eventually: Eventually) -> None:
    place.fill("a", "b", lease=1)
    first = place.sdk(GATED)
    eventually(lambda: place.touched("started-a"))
    first.kill()
    (place.directory / "go").touch()
    assert place.sdk(GATED, name="pod-b").wait(20) == 0
    assert place.results() == {"0": "A", "1": "B"}
    assert place.queue.stats().expired == 1


def test_heartbeats_keep_an_item_longer_than_its_lease(place: Place, eventually: Eventually) -> None:
    place.fill("a", lease=0.6, retries=0)
    worker = place.sdk(GATED)
    eventually(lambda: place.touched("started-a"))
    end = time.monotonic() + 2
    eventually(lambda: time.monotonic() > end)
    assert place.queue.take("peer", 9).leases == ()
    (place.directory / "go").touch()
    assert worker.wait(10) == 0
    assert place.results() == {"0": "A"}


def test_a_worker_without_items_waits_for_its_peers(place: Place, eventually: Eventually) -> None:
    place.fill("a")
    first = place.sdk(GATED)
    eventually(lambda: place.touched("started-a"))
    second = place.sdk(GATED, name="pod-b")
    eventually(lambda: any(info.name == "pod-b" for info in place.queue.workers()))
    first.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.3)
    for lease in place.queue.take("peer", 9).leases:
        pytest.fail(f"{lease} was free")
    place.queue.stop()
    assert second.wait(10) == 0


def test_items_taken_in_advance_do_not_wait_behind_a_long_one(place: Place, eventually: Eventually) -> None:
    place.fill(*("s" for _ in range(60)), "long", *("s" for _ in range(60)))
    worker = place.sdk(
        """
        def handler(item):
            if item == "long":
                open("started", "w").close()
                while not os.path.exists("go"):
                    time.sleep(0.01)
            return item
        asperathos_worker.run(handler)
        """
    )
    eventually(lambda: place.touched("started"))
    # All but the long item are handed back or acknowledged although the handler is busy.
    eventually(lambda: place.queue.stats().leased == 1)
    eventually(lambda: place.queue.stats().done == 60)
    assert place.queue.stats().ready == 60
    (place.directory / "go").touch()
    assert worker.wait(10) == 0
    assert place.queue.stats().done == 121 and place.queue.stats().failed == 0


def test_a_drained_worker_stays_and_takes_nothing(place: Place, eventually: Eventually) -> None:
    place.fill("a")
    place.queue.set_limit(0)
    worker = place.sdk("asperathos_worker.run(str.upper)")
    eventually(lambda: "draining" in place.log())
    assert worker.poll() is None and place.queue.stats().ready == 1
    place.queue.set_limit(None)
    assert worker.wait(10) == 0 and place.results() == {"0": "A"}


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_result_is_held_while_redis_is_away(own_place: Place, eventually: Eventually, how: str) -> None:
    place = own_place
    place.fill("a", "b", retries=0)
    worker = place.sdk(GATED)
    eventually(lambda: place.touched("started-a"))
    eventually(lambda: "appendonly" in str(list(place.redis.directory.rglob("*aof*"))))
    if how == "kill":
        end = time.monotonic() + 1.2  # the append-only file is synced once a second
        eventually(lambda: time.monotonic() > end)
        place.redis.kill()
    else:
        place.redis.pause()
    (place.directory / "go").touch()
    eventually(lambda: how == "pause" or "queue_unavailable" in place.log())
    if how == "kill":
        place.redis.start()
    else:
        place.redis.resume()
    assert worker.wait(30) == 0
    assert place.results() == {"0": "A", "1": "B"}
    assert place.queue.stats().failed == 0 and place.queue.stats().expired == 0


def test_a_queue_that_stays_away_ends_the_worker_with_75(place: Place, free_port: int) -> None:
    worker = place.sdk(
        "asperathos_worker.run(str.upper)",
        ASPERATHOS_REDIS_URL=f"redis://127.0.0.1:{free_port}/0",
        ASPERATHOS_QUEUE_PATIENCE="0.5",
    )
    assert worker.wait(20) == 75
    assert "cannot be reached" in place.log() and "ASPERATHOS_QUEUE_PATIENCE" in place.log()


def test_a_queue_that_does_not_exist_ends_the_worker_with_75(place: Place) -> None:
    assert place.sdk("asperathos_worker.run(len)", ASPERATHOS_QUEUE_PATIENCE="0.3").wait(20) == 75
    assert "does not exist" in place.log()


def test_a_server_that_refuses_ends_the_worker_with_77(own_place: Place) -> None:
    own_place.fill("a")
    with own_place.redis.client() as client:
        client.config_set("requirepass", "secret")
    assert own_place.sdk("asperathos_worker.run(len)").wait(20) == 77


def test_a_worker_that_starts_before_its_user_is_granted_waits_for_it(own_place: Place) -> None:
    # As after a restart of Redis: users are not in its file, and the manager grants them again.
    own_place.fill("a")
    url = own_place.redis.url.replace("redis://", "redis://w:secret@")
    worker = own_place.sdk("asperathos_worker.run(str.upper)", ASPERATHOS_REDIS_URL=url)
    time.sleep(2)
    assert worker.poll() is None
    with own_place.redis.client() as client:
        client.acl_setuser("w", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    assert worker.wait(20) == 0
    assert own_place.results() == {"0": "A"}


def test_a_bad_environment_ends_the_worker_with_64(place: Place) -> None:
    assert place.sdk("asperathos_worker.run(len)", JOB_COMPLETION_INDEX="one").wait(20) == 64
    assert place.runner("true", JOB_COMPLETION_INDEX="one").wait(20) == 64
    assert place.log().count("JOB_COMPLETION_INDEX must be a whole number from 0 on, not 'one'") == 2
    assert place.sdk("asperathos_worker.run(len)", ASPERATHOS_REDIS_URL="redis://h:port/0").wait(20) == 64


def test_an_item_over_its_time_fails_and_the_worker_starts_anew_in_place(place: Place) -> None:
    place.fill("a", "stuck", "b", retries=1)
    worker = place.sdk(
        """
        import subprocess
        print(os.getpid(), flush=True, file=open("pids", "a"))
        def handler(item):
            if item == "stuck":
                child = subprocess.Popen(["sleep", "600"])
                open("child", "w").write(str(child.pid))
                child.wait()
            return item
        asperathos_worker.run(handler)
        """,
        ASPERATHOS_ITEM_TIMEOUT="0.5",
    )
    assert worker.wait(30) == 0
    assert place.results() == {"0": "a", "2": "b"}
    dead = place.queue.dead()[0]
    assert [item.id for item in dead] == ["1"]
    assert dead[0].error.startswith("timed out after 0.5 s") and "child.wait()" in dead[0].error
    assert set((place.directory / "pids").read_text().split()) == {str(worker.pid)}
    assert not alive(pid_in(place.directory / "child"))


def test_processes_of_a_handler_may_be_terminated_without_ending_the_worker(place: Place) -> None:
    place.fill("a", "b")
    worker = place.sdk(
        """
        import multiprocessing
        def nap(x):
            time.sleep(600)
        def handler(item):
            context = multiprocessing.get_context("fork")
            child = context.Process(target=nap, args=(1,))
            child.start()
            time.sleep(0.1)
            child.terminate()
            child.join(5)
            return child.exitcode
        if __name__ == "__main__":
            asperathos_worker.run(handler)
        """
    )
    assert worker.wait(20) == 0
    assert place.results() == {"0": "-15", "1": "-15"}


def test_a_handler_that_fails_for_good_leaves_its_error(place: Place) -> None:
    place.fill("a", retries=1)
    assert place.sdk("def handler(item):\n    raise KeyError(item)\nasperathos_worker.run(handler)").wait(20) == 0
    dead = place.queue.dead()[0]
    assert dead[0].attempt == 2 and dead[0].error.endswith("KeyError: 'a'")
    assert "item_failed" in place.log()


def test_a_log_that_cannot_be_written_costs_no_item(place: Place) -> None:
    place.fill("a", "b")
    with Path("/dev/full").open("wb") as full:
        worker = place.start(["-m", "asperathos_worker", "--run", "sh -c 'echo oops >&2; echo {item}'"], stderr=full)
    assert worker.wait(20) == 0
    assert place.results() == {"0": "a", "1": "b"}


# The runner.

SHOW = """
import json, os, sys
env = {name: os.environ.get(name) for name in ("ASPERATHOS_ITEM", "ASPERATHOS_ITEM_ID", "ASPERATHOS_ATTEMPT")}
print(json.dumps([sys.argv[1:], env, sys.stdin.read(), "ASPERATHOS_REDIS_URL" in os.environ]))
"""


def test_an_item_arrives_verbatim_as_argument_variable_and_input(place: Place) -> None:
    import json

    items = ["plain", "two words", "$(touch pwned); `touch pwned`", "'\"\\", "--option", "é ☃", "{item} {{}}", "", "*"]
    place.fill(*items)
    show = place.script("show", SHOW)
    assert place.runner(f"{show} --in={{item}} {{id}}").wait(30) == 0
    for position, item in enumerate(items):
        arguments, env, given, secret = json.loads(place.results()[str(position)])
        assert arguments == [f"--in={item}", str(position)]
        assert env == {"ASPERATHOS_ITEM": item, "ASPERATHOS_ITEM_ID": str(position), "ASPERATHOS_ATTEMPT": "1"}
        assert given == item + "\n"
        assert secret is False
    assert not place.touched("pwned")


def test_what_makes_the_error_of_a_command(place: Place) -> None:
    place.fill("code", "signal", "time", "latin", "large", retries=0)
    fail = place.script(
        "fail",
        """
        import os, sys, time
        item = sys.argv[1]
        if item == "code":
            print("first\\nlast words", file=sys.stderr)
            sys.exit(2)
        if item == "signal":
            os.kill(os.getpid(), 9)
        if item == "time":
            print("hanging", file=sys.stderr, flush=True)
            time.sleep(600)
        if item == "latin":
            os.write(1, b"caf\\xe9")
        if item == "large":
            os.write(1, b"x" * 2000)
            time.sleep(600)
        """,
    )
    worker = place.runner(f"{fail} {{item}}", ASPERATHOS_ITEM_TIMEOUT="1", ASPERATHOS_RESULT_LIMIT="1000")
    assert worker.wait(30) == 0
    errors = {item.id: item.error for item in place.queue.dead()[0]}
    assert errors["0"] == "exit code 2: first\nlast words"
    assert errors["1"] == "killed by SIGKILL"
    assert errors["2"] == "timed out after 1 s (ASPERATHOS_ITEM_TIMEOUT): hanging"
    assert "stdout is not UTF-8 text (byte 3)" in errors["3"]
    assert "over the limit of 1000" in errors["4"]
    assert "item=0 | last words" in place.log()


def test_a_child_that_ignores_sigterm_is_killed_with_its_group(place: Place) -> None:
    place.fill("a", retries=0)
    stubborn = place.script(
        "stubborn",
        """
        import os, signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"])
        open("child", "w").write(str(child.pid))
        open("parent", "w").write(str(os.getpid()))
        time.sleep(600)
        """,
    )
    assert place.runner(stubborn, ASPERATHOS_ITEM_TIMEOUT="0.5").wait(30) == 0
    assert "timed out" in place.queue.dead()[0][0].error
    for name in ("child", "parent"):
        pid = pid_in(place.directory / name)
        assert pid and not alive(pid)


def test_pipes_full_in_all_directions_do_not_block(place: Place) -> None:
    place.fill("i" * (1 << 20), retries=0)
    flood = place.script(
        "flood",
        """
        import os, sys
        for _ in range(100):
            os.write(2, b"e" * 65536)
            os.write(1, b"o" * 8192)
        print(len(sys.stdin.read()))
        """,
    )
    assert place.runner(flood).wait(30) == 0
    result = place.results()["0"]
    assert len(result) == 819200 + len(str((1 << 20) + 1)) and result.endswith(str((1 << 20) + 1))


def test_a_command_that_reads_no_input_is_fine(place: Place) -> None:
    place.fill("i" * (1 << 20))
    assert place.runner("echo done").wait(20) == 0
    assert place.results() == {"0": "done"}


def test_items_no_argument_can_carry(place: Place) -> None:
    items = ("a\0b", "x" * 200_000)
    place.fill(*items)
    assert place.runner("wc -c {item}").wait(20) == 0
    errors = {item.id: item.error for item in place.queue.dead()[0]}
    assert "NUL" in errors["0"] and "stdin" in errors["0"]
    assert "200000 bytes" in errors["1"] and "stdin" in errors["1"]
    assert all(state.attempt == 1 for state in place.queue.items(["0", "1"]))


def test_the_same_items_on_stdin(place: Place) -> None:
    place.fill("a\0b", "x" * 200_000)
    assert place.runner("wc -c").wait(20) == 0
    assert place.results() == {"0": "4", "1": "200001"}


def test_a_command_that_does_not_exist_fails_the_worker_not_the_items(place: Place) -> None:
    place.fill("a")
    assert place.runner("no-such-command-here {item}").wait(20) == 127
    assert "command not found: no-such-command-here" in place.log()
    plain = place.directory / "plain"
    plain.write_text("no program")
    assert place.runner(f"{plain} {{item}}").wait(20) == 126
    stats = place.queue.stats()
    assert (stats.ready, stats.taken) == (1, 0)


def test_a_command_that_vanishes_fails_the_worker_not_the_items(place: Place) -> None:
    place.fill("a", "b", retries=0)
    vanishing = place.script("vanishing", "import os, sys; os.remove(sys.argv[0]); print('once')")
    assert place.runner(f"{vanishing} {{item}}").wait(20) == 127
    stats = place.queue.stats()
    assert (stats.done, stats.ready, stats.leased, stats.failed) == (1, 1, 0, 0)


def test_no_command_or_a_bad_one_is_said_at_start(place: Place) -> None:
    place.fill("a")
    assert place.start(["-m", "asperathos_worker"]).wait(20) == 64
    assert place.start(["-m", "asperathos_worker", "--run", "echo {itme}"]).wait(20) == 64
    assert place.start(["-m", "asperathos_worker", "--rum", "echo"]).wait(20) == 64
    assert "ASPERATHOS_RUN" in place.log() and "write {{itme}}" in place.log()


def test_what_a_command_leaves_in_the_background_is_ended_with_it(place: Place) -> None:
    place.fill("a")
    assert place.runner("sh -c 'sleep 600 & echo $! > child; echo done'").wait(20) == 0
    assert place.results() == {"0": "done"}
    assert not alive(pid_in(place.directory / "child"))


def test_as_process_1_of_a_container_no_zombies_pile_up(place: Place, eventually: Eventually) -> None:
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission to make a process namespace here")
    place.fill(*(str(number) for number in range(6)))
    zombies = place.script(
        "zombies",
        """
        import glob, os
        states = [open(path).read().rpartition(")")[2].split()[0] for path in glob.glob("/proc/[0-9]*/stat")]
        print(states.count("Z"))
        if os.fork() == 0 and os.fork() == 0:
            os.execvp("sleep", ["sleep", "600"])
        """,
    )
    inside = subprocess.run(
        [*unshare, sys.executable, "-m", "asperathos_worker", "--run", zombies],
        env={
            **os.environ,
            "ASPERATHOS_REDIS_URL": place.redis.url,
            "ASPERATHOS_SUBMISSION": place.submission,
            "POD_NAME": "pod-a",
        },
        timeout=30,
        check=False,
        capture_output=True,
    )
    assert inside.returncode == 0, inside.stderr
    assert len(place.results()) == 6
    assert max(int(result) for result in place.results().values()) <= 2


HOLD_ON = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
escaped = subprocess.Popen(["sleep", "600"], start_new_session=True)
child = subprocess.Popen(["sleep", "600"])
open("pids", "w").write(f"{escaped.pid} {child.pid} {os.getpid()} ")
while not os.path.exists("go"):
    time.sleep(0.01)
print("done")
"""


def started(place: Place) -> list[int]:
    path = place.directory / "pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def test_sigterm_lets_a_command_finish(place: Place, eventually: Eventually) -> None:
    place.fill("a", "b")
    worker = place.runner(place.script("hold", HOLD_ON))
    eventually(lambda: len(started(place)) == 3)
    worker.terminate()
    (place.directory / "go").touch()
    assert worker.wait(10) == 143
    assert place.results() == {"0": "done"} and place.queue.stats().ready == 1
    eventually(lambda: not any(alive(pid) for pid in started(place)))


def test_a_command_past_the_grace_is_killed_and_its_item_goes_back(place: Place, eventually: Eventually) -> None:
    place.fill("a", retries=0)
    worker = place.runner(place.script("hold", HOLD_ON), ASPERATHOS_GRACE_SECONDS="2")
    eventually(lambda: len(started(place)) == 3)
    worker.terminate()
    assert worker.wait(10) == 143
    eventually(lambda: not any(alive(pid) for pid in started(place)))
    stats = place.queue.stats()
    assert (stats.ready, stats.leased, stats.failed, stats.released) == (1, 0, 0, 1)


@pytest.mark.parametrize("group", [False, True])
def test_no_process_outlives_a_killed_runner(place: Place, eventually: Eventually, group: bool) -> None:
    place.fill("a")
    worker = place.start(
        [
            "-c",
            "import os, runpy; os.setpgid(0, 0); runpy.run_module('asperathos_worker', run_name='__main__')",
        ],
        ASPERATHOS_RUN=place.script("hold", HOLD_ON),
    )
    eventually(lambda: len(started(place)) == 3)
    if group:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait(10)
    eventually(lambda: not any(alive(pid) for pid in started(place)))


def test_a_command_whose_item_was_lost_is_ended(place: Place, eventually: Eventually) -> None:
    place.fill("a", lease=0.9)
    worker = place.runner(place.script("hold", HOLD_ON))
    eventually(lambda: len(started(place)) == 3)
    from asperathos_worker.queue.records import Lease

    first = started(place)
    assert place.queue.fail("pod-a", Lease("0", "", 1, 0), "taken away by the test")
    eventually(lambda: not alive(first[2]))
    (place.directory / "go").touch()
    assert worker.wait(20) == 0
    assert place.results() == {"0": "done"} and place.queue.items(["0"])[0].attempt == 2
    assert "lease_lost" in place.log()


def test_help(place: Place) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "asperathos_worker", "--help"], capture_output=True, text=True, timeout=20, check=True
    )
    for word in ("{item}", "ASPERATHOS_ITEM_TIMEOUT", "143", "stdin", "sh -c"):
        assert word in answer.stdout


EXAMPLE = Path(__file__).parents[2] / "examples" / "worker-sdk"


def test_the_example_of_a_handler_runs_and_its_own_test_passes(place: Place) -> None:
    text = place.directory / "text"
    text.write_text("to be or not to be")
    place.fill(str(text), "/no/such/file")
    assert place.start([str(EXAMPLE / "handler.py")]).wait(20) == 0
    assert '"words":6' in place.results()["0"]
    assert "no text file" in place.queue.dead()[0][0].error
    assert place.queue.reported() == {"words_per_file": {"pod-a": 6.0}}
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "test_handler.py"],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert own.returncode == 0, own.stdout + own.stderr
