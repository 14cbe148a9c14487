"""The queue's client against faults of its server: restarts, lost answers, hangs, refusals; and what items cost."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from asperathos_worker.queue.api import QueueMissing, QueueRefused, QueueUnavailable
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig, Verdict
from asperathos_worker.queue.redis_queue import RedisQueue
from asperathos_worker.queue.scripts import PARTS, prefix_of
from asperathos_worker.queue.transport import WireTransport
from asperathos_worker.queue.wire import Wire

from tests.support.redis_process import RedisProcess


class Proxy:
    """Passes bytes to the server; ``lose_answers`` connections are closed once the server has begun to answer."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.lose_answers = 0
        self.lost = 0
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        # Unlike close alone, shutdown wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._start(self._pass, client, server, False)
            self._start(self._pass, server, client, True)

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        while True:
            try:
                data = source.recv(1 << 16)
            except OSError:
                data = b""
            if answers and data and self.lose_answers:
                self.lose_answers -= 1
                self.lost += 1
                data = b""
            if not data:
                break
            sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            if end is source:
                end.close()


@pytest.fixture
def proxy(redis_server: RedisProcess) -> Iterator[Proxy]:
    made = Proxy(redis_server.port)
    yield made
    made.close()


def opened(url: str, submission: str, items: int = 10) -> RedisQueue:
    queue = RedisQueue.connect(url, submission)
    queue.purge()
    queue.open(QueueConfig())
    queue.put([NewItem(f"payload {number}", str(number)) for number in range(items)])
    return queue


def test_scripts_are_loaded_again_when_the_server_has_forgotten_them(redis_server: RedisProcess) -> None:
    queue = opened(redis_server.url, "forgotten")
    with redis_server.client() as client:
        client.script_flush()
        assert len(queue.take("w", 0, 3).leases) == 3
        client.script_flush()
        assert RedisQueue(client, "forgotten").stats().leased == 3
    queue.purge()
    queue.disconnect()


def test_a_restarted_server_goes_on_where_it_was(own_redis: RedisProcess) -> None:
    queue = opened(own_redis.url, "restarted")
    lease = queue.take("w", 0).leases[0]
    # Every second at the latest the append-only file is on disk; a stop writes it at once.
    own_redis.stop()
    own_redis.start()
    taken = queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt, "r")])
    assert taken.accepted == (True,)
    assert [new.id for new in taken.leases] == ["1"]
    queue.disconnect()


def test_a_server_that_is_gone_is_unavailable_soon_and_may_come_back(own_redis: RedisProcess) -> None:
    queue = opened(own_redis.url, "gone")
    own_redis.stop()
    start = time.monotonic()
    with pytest.raises(QueueUnavailable):
        queue.take("w", 0)
    with pytest.raises(QueueUnavailable):
        RedisQueue.connect(own_redis.url, "gone")
    assert time.monotonic() - start < 10
    own_redis.start()
    assert queue.take("w", 0).verdict is Verdict.ITEMS
    queue.disconnect()


def test_a_server_that_hangs_is_unavailable_after_the_timeouts(own_redis: RedisProcess) -> None:
    opened(own_redis.url, "hanging").disconnect()
    queue = RedisQueue.connect(own_redis.url, "hanging", timeout=0.2)
    own_redis.pause()
    start = time.monotonic()
    with pytest.raises(QueueUnavailable):
        queue.take("w", 0)
    assert time.monotonic() - start < 10
    own_redis.resume()
    # What the hanging server was told to hand out is handed out now, not lost until its lease ends.
    assert [lease.id for lease in queue.take("w", 0).leases] == ["0"]
    assert queue.stats().leased == 1
    queue.disconnect()


def test_an_empty_server_says_that_the_queue_is_missing(own_redis: RedisProcess) -> None:
    queue = opened(own_redis.url, "emptied")
    with own_redis.client() as client:
        client.flushall()
    with pytest.raises(QueueMissing):
        queue.take("w", 0)
    queue.disconnect()


def test_a_take_whose_answer_is_lost_takes_nothing_twice(proxy: Proxy, redis_server: RedisProcess) -> None:
    queue = opened(proxy.url, "lost-take", 4)
    leases = queue.take("w", 0, 2).leases
    proxy.lose_answers = 1
    taken = queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt, "r") for lease in leases], 2)
    assert proxy.lost == 1
    assert taken.accepted == (True, True)
    assert [(lease.id, lease.attempt) for lease in taken.leases] == [("2", 1), ("3", 1)]
    stats = queue.stats()
    assert (stats.done, stats.leased, stats.taken, stats.service.count) == (2, 2, 4, 2)
    queue.purge()
    queue.disconnect()


def test_a_take_that_was_given_up_is_made_good_by_the_next_one(proxy: Proxy, redis_server: RedisProcess) -> None:
    queue = opened(proxy.url, "given-up", 4)
    proxy.lose_answers = 10
    with pytest.raises(QueueUnavailable):
        queue.take("w", 0)
    proxy.lose_answers = 0
    assert [(lease.id, lease.attempt) for lease in queue.take("w", 0).leases] == [("0", 1)]
    assert [(lease.id, lease.attempt) for lease in queue.take("w", 0).leases] == [("1", 1)]
    assert queue.stats().taken == 2
    queue.purge()
    queue.disconnect()


def test_unnumbered_items_whose_answer_is_lost_are_put_once(proxy: Proxy, redis_server: RedisProcess) -> None:
    queue = opened(proxy.url, "lost-put", 0)
    proxy.lose_answers = 1
    assert queue.put([NewItem("a"), NewItem("b")]) == 2
    assert proxy.lost == 1
    assert queue.stats().put == 2
    queue.purge()
    queue.disconnect()


def test_threads_share_a_connection(redis_server: RedisProcess) -> None:
    queue = opened(redis_server.url, "threads", 300)
    queue.close()
    done: list[str] = []

    def work(name: str) -> None:
        acks: list[Ack] = []
        while leases := (taken := queue.finish_and_take(name, 0, acks)).leases:
            acks = [Ack(lease.id, lease.attempt, name) for lease in leases]
            done.extend(lease.id for lease in taken.leases)
            queue.extend(name, 0, leases)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done, key=int) == [str(number) for number in range(300)]
    assert queue.stats().done == 300
    queue.purge()
    queue.disconnect()


def test_answers_of_any_size_are_read_whole(redis_server: RedisProcess) -> None:
    queue = opened(redis_server.url, "sizes", 0)
    payloads = ["x" * size for size in (0, 1, 65_500, 65_536, 65_560, 3_000_000)]
    queue.put([NewItem(payload, str(number)) for number, payload in enumerate(payloads)])
    leases = queue.take("w", 0, 9).leases
    assert [lease.payload for lease in leases] == payloads
    queue.finish_and_take("w", 0, [Ack(lease.id, 1, lease.payload) for lease in leases], 0)
    assert [result.result for result in queue.results()[0]] == payloads
    queue.purge()
    queue.disconnect()


@pytest.mark.parametrize("through", ["wire", "client"])
def test_a_user_limited_to_one_queue_can_work_it_and_no_other(own_redis: RedisProcess, through: str) -> None:
    opened(own_redis.url, "mine").disconnect()
    opened(own_redis.url, "other").disconnect()
    with own_redis.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "one", "on", ">secret", f"~{prefix_of('mine')}*", "+@all", "-@admin", "-@dangerous"
        )
    url = own_redis.url.replace("redis://", "redis://one:secret@")
    with redis.Redis.from_url(url) as client:
        mine, other = (
            RedisQueue.connect(url, name) if through == "wire" else RedisQueue(client, name)
            for name in ("mine", "other")
        )
        lease = mine.take("w", 0).leases[0]
        assert mine.finish_and_take("w", 0, [Ack(lease.id, 1)]).accepted == (True,)
        assert mine.fail("w", mine.take("w", 0).leases[0], "no")
        mine.report("w", {"loss": 1})
        with pytest.raises(QueueRefused):
            other.take("w", 0)
        mine.disconnect()
        other.disconnect()


@pytest.mark.parametrize("through", ["wire", "client"])
def test_wrong_credentials_are_refused_not_retried(own_redis: RedisProcess, through: str) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", "right")
    url = own_redis.url.replace("redis://", "redis://:wrong@")
    with pytest.raises(QueueRefused), redis.Redis.from_url(url) as client:
        if through == "wire":
            RedisQueue.connect(url, "s")
        else:
            RedisQueue(client, "s").stats()


@pytest.mark.parametrize("through", ["wire", "client"])
def test_a_full_server_refuses_new_items_but_not_finished_ones(own_redis: RedisProcess, through: str) -> None:
    queue = opened(own_redis.url, "full")
    with own_redis.client() as client:
        other = queue if through == "wire" else RedisQueue(client, "full")
        lease = queue.take("w", 0).leases[0]
        client.config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailable):
            other.put([NewItem("more", "99")])
        leases = other.finish_and_take("w", 0, [Ack(lease.id, 1, "r")]).leases
        answer = other.finish_and_take("w", 0, [Ack(leases[0].id, 1, "r")], 2)
        assert answer.accepted == (True,)
        client.config_set("maxmemory", "0")
    stats = queue.stats()
    assert (stats.put, stats.done, stats.leased) == (10, 2, 2)
    queue.disconnect()


def test_every_key_is_known_and_has_the_prefix(redis_server: RedisProcess) -> None:
    queue = opened(redis_server.url, "keys")
    with redis_server.client() as client:
        leases = queue.take("w", 0, 3).leases
        queue.put([NewItem("unnumbered")])
        queue.finish_and_take("w", 0, [Ack(leases[0].id, 1)], 0)
        queue.fail("w", leases[1], "no")
        queue.fail("w", leases[2], "no", permanent=True)
        queue.take("w", 0)
        queue.report("w", {"loss": 1})
        queue.stats()
        queue.finish_and_take("w", 0, [Ack("3", 1)], 1)
        keys = set(client.scan_iter(prefix_of("keys") + "*"))
        assert keys == {prefix_of("keys") + part for part in PARTS}
        queue.purge()
        assert set(client.scan_iter(prefix_of("keys") + "*")) == set()
    queue.disconnect()


def test_an_item_of_twenty_bytes_costs_at_most_two_hundred(own_redis: RedisProcess) -> None:
    count = 20_000
    with own_redis.client() as client:

        def used() -> int:
            client.memory_purge()
            return int(client.info("memory")["used_memory_dataset"])

        opened(own_redis.url, "cost", 0).disconnect()
        empty = used()
        queue = RedisQueue.connect(own_redis.url, "cost")
        queue.put([NewItem("payload of 20 bytes.", str(number)) for number in range(count)])
        assert (used() - empty) / count < 200
        acks: list[Ack] = []
        while leases := queue.finish_and_take("submission-name-0-abcde", 0, acks, 500).leases:
            acks = [Ack(lease.id, lease.attempt) for lease in leases]
        assert queue.stats().done == count
        assert (used() - empty) / count < 200
        queue.disconnect()


def test_the_transport_tries_three_times_with_growing_pauses(free_port: int) -> None:
    pauses: list[float] = []
    wire = Wire(f"redis://127.0.0.1:{free_port}/0", timeout=0.5)
    transport = WireTransport(wire, "p:", attempts=3, pause=0.1, sleep=pauses.append)
    with pytest.raises(QueueUnavailable):
        transport.command("PING")
    assert pauses == pytest.approx([0.1, 0.4])
