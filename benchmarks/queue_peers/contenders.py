"""One contender of benchmarks/queue.py in one process: enqueue no-op jobs, then work them off, and say how fast.

Run by ``benchmarks/queue.py`` with ``python -m contenders NAME URL ITEMS SETTING``; prints one line of JSON. Each
contender is its library's own worker, started in this process. The clock runs from the first job to the last one, in
the jobs themselves, so start-up and shutdown are nobody's loss; processor time is this process's, all threads, over
the same span.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

PAYLOAD = "payload of 20 bytes."


class Meter:
    """Counts jobs as they run."""

    def __init__(self) -> None:
        self.items = 0
        self.done = 0
        self.began = (0.0, 0.0)
        self.ended = (0.0, 0.0)
        self.finish: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def tick(self) -> None:
        with self._lock:
            self.done += 1
            if self.done == 1:
                self.began = (time.perf_counter(), time.process_time())
            elif self.done == self.items:
                self.ended = (time.perf_counter(), time.process_time())
                self.finish()


METER = Meter()


def noop(_payload: str) -> None:
    """The job."""
    METER.tick()


async def noop_async(_payload: str) -> None:
    """The job, for those who await it."""
    METER.tick()


async def noop_arq(_context: object, _payload: str) -> None:
    """The job, for arq."""
    METER.tick()


def leave() -> None:
    """Report and end the process at once: shutting down is not measured."""
    seconds = METER.ended[0] - METER.began[0]
    cpu = METER.ended[1] - METER.began[1]
    jobs = METER.items - 1
    # Some workers have replaced sys.stdout.
    os.write(1, (json.dumps({"items": jobs, "seconds": seconds, "cpu_seconds": cpu}) + "\n").encode())
    os._exit(0)


def leave_soon() -> None:
    """As leave, from inside a job, with time for the last acknowledgements to be sent."""
    threading.Timer(0.05, leave).start()


def run_dramatiq(url: str, items: int, threads: str) -> None:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=url)
    actor = dramatiq.actor(noop, broker=broker, max_retries=3)
    for _ in range(items):
        actor.send(PAYLOAD)
    worker = dramatiq.Worker(broker, worker_threads=int(threads), worker_timeout=100)
    worker.start()
    signal.pause()


def run_huey(url: str, items: int, threads: str) -> None:
    from huey import RedisHuey

    huey = RedisHuey("bench", url=url, results=False, blocking=True)
    task = huey.task(retries=3)(noop)
    for _ in range(items):
        task(PAYLOAD)
    huey.create_consumer(workers=int(threads), worker_type="thread", periodic=False).run()


def run_taskiq(url: str, items: int, setting: str) -> None:
    import logging

    from taskiq.api import run_receiver_task
    from taskiq_redis import ListQueueBroker, RedisStreamBroker

    kind, at_once = setting.split("-")
    logging.disable(logging.INFO)

    async def main() -> None:
        streams = kind == "stream"
        broker = RedisStreamBroker(url, consumer_id="0", xread_count=100) if streams else ListQueueBroker(url)
        task = broker.task(task_name="noop")(noop_async)
        await broker.startup()
        for _ in range(items):
            await task.kiq(PAYLOAD)
        broker.is_worker_process = True
        await run_receiver_task(broker, max_async_tasks=int(at_once), max_prefetch=int(at_once))

    asyncio.run(main())


def run_arq(url: str, items: int, at_once: str) -> None:
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker, func

    settings = RedisSettings.from_dsn(url)

    async def enqueue() -> None:
        pool = await create_pool(settings)
        for _ in range(items):
            await pool.enqueue_job("noop", PAYLOAD)
        await pool.aclose()

    asyncio.run(enqueue())
    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker(
        functions=[func(noop_arq, name="noop")],
        redis_settings=settings,
        max_jobs=int(at_once),
        queue_read_limit=10 * int(at_once),
        keep_result=0,
        poll_delay=0.01,
    ).run()


def run_rq(url: str, items: int, _setting: str) -> None:
    import logging

    import redis
    from rq import Queue, SimpleWorker

    logging.disable(logging.INFO)
    connection = redis.Redis.from_url(url)
    queue = Queue(connection=connection)
    queue.enqueue_many([Queue.prepare_data(noop, (PAYLOAD,), result_ttl=0) for _ in range(items)])
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")


def run_celery(url: str, items: int, setting: str) -> None:
    from celery import Celery

    pool, prefetch = setting.split("-")
    app = Celery("bench", broker=url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=int(prefetch),
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
    )
    task = app.task(name="noop")(noop)
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(items):
            task.apply_async((PAYLOAD,), producer=producer)
    arguments = ["worker", "--pool", pool, "--concurrency", "4" if pool == "threads" else "1", "--loglevel", "ERROR"]
    app.worker_main([*arguments, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def run_asperathos(url: str, items: int, n: str) -> None:
    """Our queue as a worker process uses it: acknowledge and take in one call, results kept."""
    from asperathos_worker.queue.records import Ack, NewItem, QueueConfig
    from asperathos_worker.queue.redis_queue import RedisQueue

    queue = RedisQueue.connect(url, "bench")
    queue.open(QueueConfig())
    new = [NewItem(PAYLOAD, str(number)) for number in range(items)]
    start = time.perf_counter()
    queue.put(new)
    put_seconds = time.perf_counter() - start
    queue.close()
    acks: list[Ack] = []
    while True:
        taken = queue.finish_and_take("bench-0-abcde", 0, acks, int(n))
        if not taken.leases:
            break
        acks = []
        for lease in taken.leases:
            noop(lease.payload)
            acks.append(Ack(lease.id, lease.attempt, ""))
    # Ours counts the last acknowledgement in.
    METER.ended = (time.perf_counter(), time.process_time())
    stats = queue.stats()
    if stats.done != items or len(queue.results(items - 1)[0]) != 1:
        raise SystemExit(f"{stats.done} of {items} items were accepted")
    print(
        json.dumps(
            {
                "items": items - 1,
                "seconds": METER.ended[0] - METER.began[0],
                "cpu_seconds": METER.ended[1] - METER.began[1],
                "put_per_second": items / put_seconds,
            }
        ),
        flush=True,
    )


RUNNERS = {
    "dramatiq": run_dramatiq,
    "huey": run_huey,
    "taskiq": run_taskiq,
    "arq": run_arq,
    "rq": run_rq,
    "celery": run_celery,
    "asperathos": run_asperathos,
}


def main() -> None:
    name, url, items, setting = sys.argv[1:]
    METER.items = int(items)
    METER.finish = leave_soon
    if name == "asperathos":
        METER.finish = lambda: None
    RUNNERS[name](url, int(items), setting)


if __name__ == "__main__":
    # The libraries find jobs by module name, and this module is to be one with it.
    import contenders

    contenders.main()
