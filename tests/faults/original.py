"""The worker of the fault runs whose submissions have a queue of their own: by the original's contract."""

from __future__ import annotations

import hashlib
import json
import os
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

LEASE = 3
"""Seconds."""


def main() -> None:
    queue = redis.Redis(
        os.environ["REDIS_HOST"], decode_responses=True, socket_timeout=5, retry=Retry(ConstantBackoff(0.2), 150)
    )
    while queue.llen("job") + queue.llen("job:processing") > 0:
        item = queue.brpoplpush("job", "job:processing", 1)
        if item is None:
            continue
        lease = "job:leased_by_session:" + hashlib.sha224(item.encode()).hexdigest()
        queue.setex(lease, LEASE, "me")
        told = json.loads(item)
        time.sleep(told["seconds"])
        queue.rpush("job:results", f"done {told['number']}")
        queue.lrem("job:processing", 0, item)
        queue.delete(lease)


main()
