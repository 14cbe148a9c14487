"""The worker of the fault runs: an item says how long it takes and what it does to whoever works on it."""

from __future__ import annotations

import json
import os
import signal
import time

import asperathos_worker
from asperathos_worker.queue.records import Ack
from asperathos_worker.queue.redis_queue import RedisQueue

LIE = 4
"""How many other items a liar claims to have finished."""


def handle(item: str) -> str:
    told = json.loads(item)
    time.sleep(told["seconds"])
    what = told.get("what", "")
    if what == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "hog":
        time.sleep(3600)
    elif what == "huge":
        return "x" * (50 << 20)
    elif what == "liar":
        _lie(told["number"])
    return f"done {told['number']}"


def _lie(number: int) -> None:
    """Claims items that others hold, or that nobody holds, and its own with an attempt that is not this one."""
    queue = RedisQueue(os.environ["ASPERATHOS_REDIS_URL"], os.environ["ASPERATHOS_SUBMISSION"])
    others = [Ack(str(number + step), attempt, "a lie") for step in range(1, LIE + 1) for attempt in (0, 1, 2, 99)]
    own = [Ack(str(number), attempt, "a lie") for attempt in (0, 99)]
    queue.finish_and_take("liar", 0, [*others, *own], 0)
    queue.disconnect()


asperathos_worker.run(handle)
