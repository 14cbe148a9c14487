"""A container of the original Asperathos' contract, unchanged by us: lists, leases by session, exit when empty.

Environment: REDIS_HOST (port 6379). Takes an item from ``job``, works on it, keeps the result in ``job:results``.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import uuid

import redis

LEASE_SECONDS = 5
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0.2"))


def work(item: str) -> str:
    """What this image does with one item."""
    time.sleep(WORK_SECONDS)
    return item.upper()


def main() -> int:
    session = str(uuid.uuid4())
    queue = redis.Redis(host=os.environ["REDIS_HOST"], port=6379, decode_responses=True, socket_timeout=10)
    while queue.llen("job") + queue.llen("job:processing") > 0:
        item = queue.brpoplpush("job", "job:processing", timeout=2)
        if item is None:
            continue
        lease = "job:leased_by_session:" + hashlib.sha224(item.encode()).hexdigest()
        queue.setex(lease, LEASE_SECONDS, session)
        try:
            queue.rpush("job:results", work(item))
        except Exception as error:  # noqa: BLE001 - the contract: errors are kept as text, the item is not tried again
            queue.rpush("job:errors", f"{item}: {error}")
        queue.lrem("job:processing", 0, item)
        queue.delete(lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
