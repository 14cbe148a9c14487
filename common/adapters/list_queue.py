"""The services' side of a queue on the original's lists, in a Redis of its own (``queue: dedicated``).

Images written for the original Asperathos take their items from it unchanged: lists ``job`` (next item at the right
end, where BRPOPLPUSH takes it), ``job:processing``, ``job:results``, ``job:errors``, lease keys
``job:leased_by_session:<sha224 of the item>``, and ``stop``. What that contract does not tell cannot be told here:
who holds an item, attempts, service times, ids. Lines that are equal are one item to its workers, which remove all of
them from ``job:processing`` at once.

Ours beside the lists: hash ``asperathos:queue`` (loaded, closed, stopped, limit, returned), list
``asperathos:withdrawn`` (items that a stop kept back), hash ``asperathos:leaseless`` (item -> since when).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from asperathos_worker.queue.api import QueueMissing, QueueRefused
from asperathos_worker.queue.records import (
    ItemFailure,
    ItemLine,
    ItemResult,
    ItemState,
    NewItem,
    QueueConfig,
    QueueStats,
    WorkerInfo,
)
from asperathos_worker.queue.transport import ClientTransport

JOB, PROCESSING, RESULTS, ERRORS, STOP = "job", "job:processing", "job:results", "job:errors", "stop"
QUEUE, WITHDRAWN, LEASELESS = "asperathos:queue", "asperathos:withdrawn", "asperathos:leaseless"
LEASE_PREFIX = "job:leased_by_session:"
GRACE_SECONDS = 5.0
"""How long an item may be processed without a lease: a worker writes the lease after it has taken the item."""

_BATCH = 1000

# KEYS: queue, job. ARGV: position of the first item, payloads. Appends those that are not loaded yet.
_PUT = """
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return redis.error_reply('QUEUEMISSING not open') end
if redis.call('HEXISTS', KEYS[1], 'closed') == 1 or redis.call('HEXISTS', KEYS[1], 'stopped') == 1 then
  return redis.error_reply('QUEUECLOSED the queue takes no more items')
end
local loaded = tonumber(redis.call('HGET', KEYS[1], 'loaded') or 0)
local first = tonumber(ARGV[1])
if first < 0 then first = loaded end
if first > loaded then return redis.error_reply('GAP ' .. loaded .. ' items are loaded, the next is not ' .. first) end
local added = 0
for i = 2 + loaded - first, #ARGV do
  redis.call('LPUSH', KEYS[2], ARGV[i])
  added = added + 1
end
redis.call('HINCRBY', KEYS[1], 'loaded', added)
return added
"""
# KEYS: queue, job, withdrawn, stop. Workers of batches leave when the lists are empty, those of streams when told.
_STOP = """
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return redis.error_reply('QUEUEMISSING not open') end
if redis.call('HSETNX', KEYS[1], 'stopped', 1) == 1 then
  redis.call('RPUSH', KEYS[4], 'stop')
  if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
end
return 1
"""
# KEYS: queue, job, processing, leaseless, lease of the item, withdrawn. ARGV: item. Gives an item back to the front.
_RETURN = """
redis.call('HDEL', KEYS[4], ARGV[1])
if redis.call('EXISTS', KEYS[5]) == 1 then return 0 end
if redis.call('LREM', KEYS[3], 1, ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'returned', 1)
if redis.call('HEXISTS', KEYS[1], 'stopped') == 1 then
  redis.call('RPUSH', KEYS[6], ARGV[1])
else
  redis.call('RPUSH', KEYS[2], ARGV[1])
end
return 1
"""
# KEYS: queue, job, processing, withdrawn, errors. One consistent look.
_STATS = """
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return redis.error_reply('QUEUEMISSING not open') end
return {redis.call('TIME'), redis.call('HGETALL', KEYS[1]), redis.call('LLEN', KEYS[2]), redis.call('LLEN', KEYS[3]),
  redis.call('LLEN', KEYS[4]), redis.call('LLEN', KEYS[5])}
"""


def lease_key(item: bytes) -> str:
    """The key under which a worker of the original keeps its lease of this item."""
    return LEASE_PREFIX + hashlib.sha224(item).hexdigest()


class ListQueue:
    """Implements ServiceQueue as far as the lists go; each method says where they do not.

    Raises QueueUnavailable, QueueMissing, QueueClosed and QueueRefused as RedisQueue does.
    """

    def __init__(self, client: redis.Redis, submission: str, grace: float = GRACE_SECONDS) -> None:
        """``client`` is a client of the dedicated Redis, which holds this submission's queue and nothing else."""
        self._submission = submission
        self._grace = grace
        self._transport = ClientTransport(client, "")

    def open(self, config: QueueConfig) -> None:  # noqa: ARG002
        """Create the queue. The original's images bring their own lease times and retries: the rules have no effect."""
        self._call("HSET", QUEUE, "open", "1")

    def put(self, items: Sequence[NewItem]) -> int:
        """Append items whose ids are their positions, without gaps, or that have none.

        Those already loaded are skipped, also if workers have finished them. Raises ValueError for other ids.
        """
        added = 0
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            first = _first_position(batch)
            payloads = [item.payload for item in batch]
            try:
                added += int(self._call("EVAL", _PUT, 2, QUEUE, JOB, first, *payloads))
            except QueueRefused as error:
                if str(error).startswith("GAP"):
                    raise ValueError(str(error)) from error
                raise
        return added

    def close(self) -> None:
        """No more items will come. The original's batch workers do not wait for this: load before they start."""
        self._must_be_open()
        self._call("HSET", QUEUE, "closed", "1")

    def stop(self) -> None:
        """Keep back what no worker has taken and put the stop mark, so that workers leave with what they hold done."""
        self._call("EVAL", _STOP, 4, QUEUE, JOB, WITHDRAWN, STOP)

    def set_limit(self, limit: int | None) -> None:
        """Kept for the record: the original's workers cannot be asked to drain."""
        self._must_be_open()
        if limit is None:
            self._call("HDEL", QUEUE, "limit")
        else:
            self._call("HSET", QUEUE, "limit", limit)

    def stats(self) -> QueueStats:
        """A snapshot by the original's formula: done is what was put and is in no list any more, whatever became of it.

        ``failed`` counts the entries of job:errors, ``expired`` the items given back by sweep; ``taken`` is derived.
        """
        time, fields, ready, leased, withdrawn, errors = self._call("EVAL", _STATS, 5, *_STATS_KEYS)
        kept = dict(zip(map(bytes.decode, fields[::2]), map(bytes.decode, fields[1::2]), strict=True))
        put, returned = int(kept.get("loaded", 0)), int(kept.get("returned", 0))
        done = max(0, put - ready - leased - withdrawn)
        return QueueStats(
            at=int(time[0]) + int(time[1]) / 1e6,
            put=put,
            ready=ready + withdrawn,
            delayed=0,
            leased=leased,
            done=done,
            dead=0,
            closed="closed" in kept,
            stopped="stopped" in kept,
            limit=int(kept["limit"]) if "limit" in kept else None,
            taken=done + leased + returned,
            failed=errors,
            expired=returned,
            released=0,
            oldest_ready_wait=None,
            running=(),
        )

    def sweep(self) -> int:
        """Give items of job:processing back that have had no lease in two sweeps, ``grace`` seconds apart or more."""
        self._must_be_open()
        now = int(self._call("TIME")[0])
        processing = list(dict.fromkeys(self._call("LRANGE", PROCESSING, 0, -1)))
        flat = self._call("HGETALL", LEASELESS)
        suspects = {item: float(since) for item, since in zip(flat[::2], flat[1::2], strict=True)}
        # Without a lease once is no proof: the item may be on its way from the list to its lease, or have been done.
        leaseless = {item for item in processing if not self._call("EXISTS", lease_key(item))}
        for item in suspects.keys() - leaseless:
            self._call("HDEL", LEASELESS, item)
        returned = 0
        for item in leaseless:
            if item not in suspects:
                self._call("HSET", LEASELESS, item, now)
            elif now - suspects[item] >= self._grace:
                keys = (QUEUE, JOB, PROCESSING, LEASELESS, lease_key(item), WITHDRAWN)
                returned += int(self._call("EVAL", _RETURN, len(keys), *keys, item))
        return returned

    def busy_from(self, index: int) -> int:  # noqa: ARG002
        """0: the lists do not say who holds an item. An interrupted one comes back when its lease ends."""
        self._must_be_open()
        return 0

    def workers(self) -> list[WorkerInfo]:
        """None: workers of the original do not register."""
        self._must_be_open()
        return []

    def results(self, cursor: int = 0, count: int = 1000) -> tuple[list[ItemResult], int]:
        """Entries of job:results. Their ids are positions in that list: which item they belong to is not known."""
        self._must_be_open()
        if count <= 0:
            return [], cursor
        first = max(0, cursor)
        entries = self._call("LRANGE", RESULTS, first, first + count - 1)
        page = [ItemResult(str(first + at), 1, "", 0.0, 0.0, _text(entry)) for at, entry in enumerate(entries)]
        return page, first + len(page)

    def failures(self, count: int = 100) -> list[ItemFailure]:
        """Entries of job:errors, newest first; their ids are positions in that list."""
        self._must_be_open()
        if count <= 0:
            return []
        entries = self._call("LRANGE", ERRORS, -count, -1)
        last = int(self._call("LLEN", ERRORS))
        first = last - len(entries)
        return [
            ItemFailure(str(first + at), 1, "", 0.0, _text(entry), final=False) for at, entry in enumerate(entries)
        ][::-1]

    def dead(self, cursor: int = 0, count: int = 1000) -> tuple[list[ItemFailure], int]:  # noqa: ARG002
        """None: the original's lists know no dead items."""
        self._must_be_open()
        return [], cursor

    def items(self, ids: Iterable[str]) -> list[ItemState]:  # noqa: ARG002
        """None: the original's lists know no ids."""
        self._must_be_open()
        return []

    def lines(self, place: str, cursor: int = 0, count: int = 1000) -> tuple[list[ItemLine], int]:
        """Of the done ones their positions among the results, nothing else is known; the others have no ids here."""
        if place != "done":
            self._must_be_open()
            return [], cursor
        page, following = self.results(cursor, count)
        return [ItemLine(result.id, place, 1, 0) for result in page], following

    def reported(self) -> Mapping[str, Mapping[str, float]]:
        """Nothing: the original's contract has no metrics."""
        return {}

    def purge(self) -> None:
        """Delete the lists, the leases and our own keys. Idempotent."""
        keys: list[Any] = [JOB, PROCESSING, RESULTS, ERRORS, STOP, QUEUE, WITHDRAWN, LEASELESS]
        cursor: Any = 0
        while True:
            cursor, found = self._call("SCAN", cursor, "MATCH", LEASE_PREFIX + "*", "COUNT", _BATCH)
            keys += found
            if int(cursor) == 0:
                break
        self._call("UNLINK", *keys)

    def _must_be_open(self) -> None:
        if not self._call("HEXISTS", QUEUE, "open"):
            raise QueueMissing(f"the queue of {self._submission} is not open")

    def _call(self, *arguments: Any) -> Any:
        return self._transport.raw(*arguments)


_STATS_KEYS = (QUEUE, JOB, PROCESSING, WITHDRAWN, ERRORS)


def _first_position(batch: Sequence[NewItem]) -> int:
    """The position of the first item, -1 for unnumbered ones. Raises ValueError unless the ids count up from it."""
    if all(item.id is None for item in batch):
        return -1
    ids = [item.id for item in batch]
    if not ids[0] or not ids[0].isdigit() or ids != [str(int(ids[0]) + at) for at in range(len(ids))]:
        raise ValueError("items of a dedicated queue have their positions as ids, or none")
    return int(ids[0])


def _text(entry: bytes) -> str:
    return entry.decode("utf-8", "replace")
