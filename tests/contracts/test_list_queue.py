"""The queue on the original's lists, worked off by a worker that keeps to the original's contract to the letter."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis
from asperathos_worker.queue.api import QueueClosed, QueueMissing, QueueUnavailable
from asperathos_worker.queue.records import NewItem, QueueConfig
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.adapters.list_queue import ListQueue
from common.adapters.redis_queue import RedisQueues
from common.domain.queues import QueueAddress
from tests.support.redis_process import RedisProcess

DATABASE = 9


class OriginalWorker:
    """As the original's images do it: BRPOPLPUSH, SETEX, work, RPUSH, LREM, DEL."""

    def __init__(self, client: redis.Redis, lease: int = 10) -> None:
        self._client = client
        self._lease = lease

    def left(self) -> int:
        return int(self._client.llen("job")) + int(self._client.llen("job:processing"))

    def take(self) -> bytes | None:
        item = self._client.brpoplpush("job", "job:processing", 1)
        return item if isinstance(item, bytes) else None

    def lease(self, item: bytes) -> None:
        self._client.set(self._key(item), "session", ex=self._lease)

    def finish(self, item: bytes, result: bytes) -> None:
        self._client.rpush("job:results", result)
        self._client.lrem("job:processing", 0, item.decode())
        self._client.delete(self._key(item))

    def run(self) -> None:
        while self.left() > 0:
            item = self.take()
            if item is not None:
                self.lease(item)
                self.finish(item, b"did " + item)

    @staticmethod
    def _key(item: bytes) -> str:
        return "job:leased_by_session:" + hashlib.sha224(item).hexdigest()


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis.Redis(host="127.0.0.1", port=redis_server.port, db=DATABASE) as raw:
        yield raw


@pytest.fixture(params=[True, False], ids=["decoding", "raw"])
def queue(request: pytest.FixtureRequest, redis_server: RedisProcess) -> Iterator[ListQueue]:
    with redis.Redis(
        host="127.0.0.1", port=redis_server.port, db=DATABASE, decode_responses=request.param
    ) as own_client:
        made = ListQueue(own_client, "s", grace=0)
        made.open(QueueConfig())
        yield made
        made.purge()


def batch(count: int, start: int = 0) -> list[NewItem]:
    return [NewItem(f"item {number} é", str(number)) for number in range(start, start + count)]


def test_workers_of_the_original_finish_everything_in_order(queue: ListQueue, client: redis.Redis) -> None:
    assert queue.put(batch(40)) == 40
    queue.close()
    OriginalWorker(client).run()
    stats = queue.stats()
    assert (stats.put, stats.ready, stats.leased, stats.done) == (40, 0, 0, 40)
    assert stats.over
    results, cursor = queue.results(0, 30)
    rest, end = queue.results(cursor, 30)
    assert [result.result for result in results + rest] == [f"did item {number} é" for number in range(40)]
    assert end == 40


def test_several_workers_share_the_items(queue: ListQueue, redis_server: RedisProcess) -> None:
    queue.put(batch(60))
    queue.close()

    def work() -> None:
        with redis.Redis(host="127.0.0.1", port=redis_server.port, db=DATABASE) as own_client:
            OriginalWorker(own_client).run()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    results, _ = queue.results()
    assert Counter(result.result for result in results) == Counter(f"did item {number} é" for number in range(60))


def test_loading_again_after_a_crash_adds_only_what_is_missing(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(5))
    worker = OriginalWorker(client)
    item = worker.take()
    assert item is not None
    worker.finish(item, b"r")
    assert queue.put(batch(5)) == 0
    assert queue.put(batch(7)) == 2
    assert queue.put(batch(2, start=6)) == 1
    assert queue.stats().put == 8
    assert queue.stats().ready == 7


def test_a_large_load_is_whole(queue: ListQueue, client: redis.Redis) -> None:
    assert queue.put(batch(2500)) == 2500
    assert client.lindex("job", -1) == "item 0 é".encode()
    assert client.lindex("job", 0) == "item 2499 é".encode()


@pytest.mark.parametrize("ids", [["1"], ["0", "2"], ["a"], ["0", None], [""]])
def test_ids_that_are_no_positions_are_refused(queue: ListQueue, ids: list[str | None]) -> None:
    with pytest.raises(ValueError, match=r"position|loaded"):
        queue.put([NewItem("x", id) for id in ids])
    assert queue.stats().put == 0


def test_streams_append_without_numbers(queue: ListQueue) -> None:
    assert queue.put([NewItem("a"), NewItem("a")]) == 2
    assert queue.put([NewItem("b")]) == 1
    assert queue.stats().ready == 3


def test_an_item_without_a_lease_comes_back_after_two_sweeps(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(3))
    worker = OriginalWorker(client)
    item = worker.take()
    leased = worker.take()
    assert item is not None
    assert leased is not None
    worker.lease(leased)
    assert queue.sweep() == 0
    assert queue.stats().leased == 2
    assert queue.sweep() == 1
    stats = queue.stats()
    assert (stats.leased, stats.ready, stats.expired) == (1, 2, 1)
    assert worker.take() == item


def test_the_grace_passes_between_the_two_sweeps(client: redis.Redis, queue: ListQueue) -> None:
    patient = ListQueue(client, "s", grace=60)
    queue.put(batch(1))
    OriginalWorker(client).take()
    assert [patient.sweep() for _ in range(3)] == [0, 0, 0]
    client.hset("asperathos:leaseless", "item 0 é", int(client.time()[0]) - 60)
    assert patient.sweep() == 1


def test_a_lease_written_between_two_sweeps_saves_the_item(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(1))
    worker = OriginalWorker(client)
    item = worker.take()
    assert item is not None
    assert queue.sweep() == 0
    worker.lease(item)
    assert queue.sweep() == 0
    client.delete("job:leased_by_session:" + hashlib.sha224(item).hexdigest())
    assert queue.sweep() == 0
    assert queue.sweep() == 1


def test_a_finished_item_does_not_come_back(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(1))
    worker = OriginalWorker(client)
    item = worker.take()
    assert item is not None
    assert queue.sweep() == 0
    worker.finish(item, b"r")
    assert [queue.sweep(), queue.sweep()] == [0, 0]
    assert queue.stats().ready == 0


def test_stop_keeps_the_rest_back_and_lets_workers_leave(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(5))
    worker = OriginalWorker(client)
    item = worker.take()
    assert item is not None
    queue.stop()
    queue.stop()
    assert client.lrange("stop", 0, -1) == [b"stop"]
    worker.finish(item, b"r")
    assert worker.left() == 0
    stats = queue.stats()
    assert (stats.stopped, stats.put, stats.ready, stats.done) == (True, 5, 4, 1)


def test_after_a_stop_an_abandoned_item_is_kept_back_too(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(2))
    worker = OriginalWorker(client)
    worker.take()
    queue.stop()
    assert [queue.sweep(), queue.sweep()] == [0, 1]
    assert worker.left() == 0
    assert queue.stats().ready == 2


@pytest.mark.parametrize("end", ["close", "stop"])
def test_nothing_can_be_put_after_the_end(queue: ListQueue, end: str) -> None:
    getattr(queue, end)()
    with pytest.raises(QueueClosed):
        queue.put(batch(1))


def test_errors_and_results_are_text_whatever_the_bytes(queue: ListQueue, client: redis.Redis) -> None:
    client.rpush("job:errors", "first é".encode(), b"\xff second", "third")
    client.rpush("job:results", b"\xfe")
    assert [failure.error for failure in queue.failures()] == ["third", "\ufffd second", "first é"]
    assert [failure.id for failure in queue.failures(2)] == ["2", "1"]
    assert queue.results()[0][0].result == "\ufffd"
    assert queue.stats().failed == 3


def test_what_the_lists_do_not_tell_is_empty(queue: ListQueue) -> None:
    queue.put(batch(1))
    queue.set_limit(3)
    assert queue.stats().limit == 3
    queue.set_limit(None)
    assert queue.stats().limit is None
    assert (queue.workers(), queue.items(["0"]), queue.dead(), queue.busy_from(0)) == ([], [], ([], 0), 0)
    assert queue.reported() == {}


def test_a_missing_queue_says_so(client: redis.Redis) -> None:
    queue = ListQueue(client, "s")
    calls: list[Callable[[], object]] = [
        lambda: queue.put(batch(1)),
        queue.close,
        queue.stop,
        queue.stats,
        queue.sweep,
        queue.results,
        queue.failures,
        lambda: queue.set_limit(1),
    ]
    for call in calls:
        with pytest.raises(QueueMissing):
            call()


def test_purge_leaves_nothing(queue: ListQueue, client: redis.Redis) -> None:
    queue.put(batch(3))
    worker = OriginalWorker(client)
    item = worker.take()
    assert item is not None
    worker.lease(item)
    worker.take()
    queue.sweep()
    queue.stop()
    client.rpush("job:errors", "e")
    client.rpush("job:results", "r")
    queue.purge()
    queue.purge()
    assert client.keys("*") == []


def test_an_unreachable_server_is_unavailable(free_port: int) -> None:
    client = redis.Redis(host="127.0.0.1", port=free_port, retry=Retry(NoBackoff(), 0))
    with client, pytest.raises(QueueUnavailable):
        ListQueue(client, "s").stats()


def test_the_address_decides_which_queue_it_is(redis_server: RedisProcess) -> None:
    with redis_server.client() as shared:
        queues = RedisQueues(shared)
        dedicated = QueueAddress(submission="s", kind="dedicated", host="127.0.0.1", port=redis_server.port)
        assert isinstance(queues.at(dedicated), ListQueue)
        with pytest.raises(QueueMissing):
            queues.at(QueueAddress(submission="nobody's")).stats()
        queues.close()
