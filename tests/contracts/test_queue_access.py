"""What every QueueAccess does: the fake, and the users of a real Redis, with a real worker's connection."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from asperathos_worker.queue import scripts
from asperathos_worker.queue.api import QueueRefused, QueueUnavailable
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig, Verdict
from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters.redis_acl import IN_SCRIPTS, RedisAcl
from common.adapters.redis_client import connect
from common.domain.errors import Forbidden, Unavailable
from common.domain.queues import QUEUE_USER_PREFIX, queue_user
from common.ports import QueueAccess
from manager.manifests import with_credentials
from tests.fakes.access import MemoryAccess
from tests.support.redis_process import RedisProcess

PASSWORD = "s3cret/with:odd@signs"


@pytest.fixture
def id() -> str:
    return f"kj-{uuid.uuid4().hex[:7]}"


@pytest.fixture(params=["fake", "redis"])
def access(request: pytest.FixtureRequest) -> QueueAccess:
    if request.param == "fake":
        return MemoryAccess()
    server: RedisProcess = request.getfixturevalue("redis_server")
    return RedisAcl(connect(server.url))


def test_granting_and_revoking_may_be_repeated(access: QueueAccess, id: str) -> None:
    access.revoke(id)
    for _ in range(2):
        access.grant(id, PASSWORD)
    assert id in access.granted()
    for _ in range(2):
        access.revoke(id)
    assert id not in access.granted()


class Bench:
    """A Redis with the queues of two submissions; the worker has the user of the first."""

    def __init__(self, server: RedisProcess) -> None:
        self.server = server
        self.suite = connect(server.url)
        self.acl = RedisAcl(self.suite)
        self.own, self.other = f"kj-{uuid.uuid4().hex[:7]}", f"kj-{uuid.uuid4().hex[:7]}"
        for id in (self.own, self.other):
            queue = RedisQueue(self.suite, id)
            queue.open(QueueConfig(lease=30, retries=1))
            queue.put([NewItem("x", "0"), NewItem("y", "1"), NewItem("z", "2")])
            queue.close()
        self.acl.grant(self.own, PASSWORD)
        self.url = with_credentials(server.url, queue_user(self.own), PASSWORD)

    def worker(self, id: str) -> RedisQueue:
        return RedisQueue.connect(self.url, id, 2.0)


@pytest.fixture
def bench(own_redis: RedisProcess) -> Iterator[Bench]:
    made = Bench(own_redis)
    yield made
    made.suite.close()


def test_a_worker_can_do_all_its_work_as_its_user(bench: Bench) -> None:
    queue = bench.worker(bench.own)
    first = queue.take("w", 0, 1).leases[0]
    second = queue.finish_and_take("w", 0, [Ack(first.id, first.attempt, "done")], 2)
    assert second.accepted == (True,)
    kept, failing = second.leases
    assert queue.extend("w", 0, [kept]) == ()
    assert queue.release("w", [kept]) == 1
    assert queue.fail("w", failing, "no", permanent=True)
    queue.report("w", {"loss": 0.5})
    again = queue.take("w", 0, 5).leases
    assert queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt, "") for lease in again], 1).verdict in (
        Verdict.OVER,
        Verdict.WAIT,
    )
    queue.disconnect()


def test_scripts_run_though_nobody_has_loaded_them(bench: Bench) -> None:
    bench.suite.script_flush()
    queue = bench.worker(bench.own)
    assert queue.take("w", 0).verdict is Verdict.ITEMS
    queue.disconnect()


def test_the_queue_of_another_submission_is_out_of_reach(bench: Bench) -> None:
    stranger = bench.worker(bench.other)
    before = RedisQueue(bench.suite, bench.other).stats()
    with pytest.raises(QueueRefused):
        stranger.take("w", 0)
    with pytest.raises(QueueRefused):
        stranger.report("w", {"x": 1.0})
    stranger.disconnect()
    after = RedisQueue(bench.suite, bench.other).stats()
    assert (after.ready, after.taken) == (before.ready, before.taken) == (3, 0)


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "asp:fence"),
        ("HGETALL", "asp:rec:submission:{other}"),
        ("HGETALL", "asp:{{{other}}}:q:config"),
        ("DEL", "asp:{{{other}}}:q:items"),
        ("DEL", "asp:rec:submission:{own}"),
        ("HGETALL", "asp:rec:submission:{own}"),
        ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", "asp:rec:submission:{own}"),
        ("EVAL", "return redis.call('HGETALL', 'asp:rec:submission:{own}')", "0"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("EVAL", "return redis.call('KEYS', '*')", "0"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SCRIPT", "FLUSH"),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", "me", "on"),
        ("CLIENT", "LIST"),
        ("SHUTDOWN", "NOSAVE"),
        ("PUBLISH", "x", "y"),
        ("SUBSCRIBE", "x"),
        ("MONITOR",),
        ("SWAPDB", "0", "1"),
        ("MOVE", "asp:{{{own}}}:q:items", "1"),
        ("RENAME", "asp:{{{own}}}:q:items", "asp:{{{other}}}:q:items"),
        ("LPUSH", "asp:wake:manager", "x"),
    ],
)
def test_nothing_else_is_allowed(bench: Bench, command: tuple[str, ...]) -> None:
    arguments = [part.format(own=bench.own, other=bench.other) for part in command]
    with redis.Redis.from_url(bench.url, decode_responses=True, socket_timeout=5) as worker:
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|ACL|can't (access|run)"):
            worker.execute_command(*arguments)
        assert worker.ping()


def test_revoking_cuts_the_worker_off(bench: Bench) -> None:
    queue = bench.worker(bench.own)
    queue.take("w", 0)
    bench.acl.revoke(bench.own)
    # It once was let in, so it takes this for an outage of Redis and comes back when the user does.
    with pytest.raises(QueueUnavailable):
        queue.take("w", 0)
    bench.acl.grant(bench.own, PASSWORD)
    assert queue.take("w", 0).verdict is Verdict.ITEMS
    queue.disconnect()


def test_a_worker_that_was_never_let_in_is_told_so_at_once(bench: Bench) -> None:
    wrong = with_credentials(bench.server.url, queue_user(bench.own), "wrong")
    with pytest.raises(QueueRefused):
        RedisQueue.connect(wrong, bench.own, 2.0)


def test_the_user_is_back_after_redis_has_forgotten_it(bench: Bench) -> None:
    queue = bench.worker(bench.own)
    queue.take("w", 0)
    bench.server.stop()
    bench.server.start()
    with bench.server.client() as client:
        assert not [user for user in client.acl_users() if user.startswith(QUEUE_USER_PREFIX)]
    bench.acl.grant(bench.own, PASSWORD)
    assert queue.take("w", 0).verdict is Verdict.ITEMS
    queue.disconnect()


def test_no_password_is_shown_by_redis(bench: Bench) -> None:
    assert PASSWORD not in str(bench.suite.acl_getuser(queue_user(bench.own)))


def test_a_suite_that_may_not_manage_users_says_which_setting_helps(bench: Bench) -> None:
    bench.suite.execute_command("ACL SETUSER", "limited", "on", ">pw", "~*", "+@all", "-acl")  # type: ignore[no-untyped-call]
    limited = RedisAcl(connect(with_credentials(bench.server.url, "limited", "pw")))
    with pytest.raises(Forbidden, match="ASPERATHOS_REDIS_ACL=false"):
        limited.grant(bench.own, PASSWORD)
    with pytest.raises(Forbidden):
        limited.revoke(bench.own)


def test_an_absent_redis_is_unavailable(free_port: int) -> None:
    with pytest.raises(Unavailable):
        RedisAcl(connect(f"redis://127.0.0.1:{free_port}/0", 0.2)).grant("kj-0000000", PASSWORD)


def test_the_list_of_commands_is_what_the_scripts_call() -> None:
    directory = Path(scripts.__file__).parent / "lua"
    called: set[str] = set()
    for script in directory.glob("*.lua"):
        called |= set(re.findall(r"call\('([A-Z]+)'", script.read_text()))
    assert {command.lower() for command in called} == set(IN_SCRIPTS)


def test_credentials_take_the_place_of_those_of_the_suite() -> None:
    cases: list[tuple[str, str]] = [
        ("redis://:all@h:6379/0", "redis://asp-kj-1:p%2Fw@h:6379/0"),
        ("rediss://u:p@[::1]:1/2?timeout=3", "rediss://asp-kj-1:p%2Fw@[::1]:1/2?timeout=3"),
        ("redis://h/0?password=all&username=u", "redis://asp-kj-1:p%2Fw@h/0"),
        ("unix:///run/r.sock?db=1", "unix://asp-kj-1:p%2Fw@/run/r.sock?db=1"),
    ]
    for given, wanted in cases:
        assert with_credentials(given, "asp-kj-1", "p/w") == wanted
