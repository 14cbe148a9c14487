"""Versioned records in Redis: optimistic concurrency by one small script, an index of all and of active ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

import redis
from pydantic import BaseModel

from common.adapters import redis_keys
from common.adapters.redis_client import translated
from common.domain.errors import Conflict
from common.ports import Versioned

M = TypeVar("M", bound=BaseModel)

# KEYS: record, ids, active.
# ARGV: id, JSON, expected version ('' = must be new, '*' = whatever is there), active (1/0), ttl in ms ('' = none),
#  attachment ('' = as it is).
#  Returns the new version, or -1 on a conflict.
_WRITE = """
local current = redis.call('HGET', KEYS[1], 'v')
if ARGV[3] == '' then
  if current then return -1 end
elseif ARGV[3] ~= '*' then
  if current ~= ARGV[3] then return -1 end
end
local version = (tonumber(current) or 0) + 1
redis.call('HSET', KEYS[1], 'v', version, 'd', ARGV[2])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'a', ARGV[6]) end
if ARGV[5] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[5]) else redis.call('PERSIST', KEYS[1]) end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], 'NX', time[1] * 1000000 + time[2], ARGV[1])
if ARGV[4] == '1' then redis.call('SADD', KEYS[3], ARGV[1]) else redis.call('SREM', KEYS[3], ARGV[1]) end
return version
"""

# KEYS: ids, active, records.  ARGV: their ids.  Looks again first: a record may have come back since it was missed.
_DROP = """
for i, id in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[i + 2]) == 0 then
    redis.call('ZREM', KEYS[1], id)
    redis.call('SREM', KEYS[2], id)
  end
end
"""


_KEPT = 10_000
_KEPT_SIZE = 16_384
"""So many records of at most so many characters are kept as they were understood by the last listing of all."""


class RedisRecords(Generic[M]):
    """Implements ports.Records for one kind. ``active`` says which records loops must look at.

    A listing of all understands anew only what is written otherwise than at the last one: of thousands of records few
    change between two looks. Models are frozen, so that they may be given out again.
    """

    def __init__(
        self, client: redis.Redis, kind: str, model: type[M], active: Callable[[M], bool] = lambda _: False
    ) -> None:
        self._client = client
        self._kind = kind
        self._model = model
        self._active = active
        self._write = client.register_script(_WRITE)
        self._drop = client.register_script(_DROP)
        self._understood: dict[str, tuple[str, M]] = {}
        """By id: the text, and what it says."""

    def get(self, id: str) -> Versioned[M] | None:
        with translated():
            version, data = self._client.hmget(redis_keys.record(self._kind, id), "v", "d")
        if version is None or data is None:
            return None
        return Versioned(self._model.model_validate_json(data), int(version))

    def create(self, id: str, value: M, attachment: str = "") -> int:
        return self._store(id, value, "", None, attachment)

    def attachment(self, id: str) -> str:
        with translated():
            kept = self._client.hget(redis_keys.record(self._kind, id), "a")
        return "" if kept is None else str(kept)

    def update(self, id: str, value: M, version: int, ttl: float | None = None) -> int:
        return self._store(id, value, str(version), ttl)

    def put(self, id: str, value: M) -> int:
        return self._store(id, value, "*", None)

    def delete(self, id: str) -> bool:
        with translated():
            pipeline = self._client.pipeline()
            pipeline.delete(redis_keys.record(self._kind, id))
            pipeline.zrem(redis_keys.ids(self._kind), id)
            pipeline.srem(redis_keys.active(self._kind), id)
            return bool(pipeline.execute()[0])

    def ids(self) -> list[str]:
        indexed = self._indexed()
        present: list[bool] = []
        with translated():
            for batch in _batches(indexed):
                pipeline = self._client.pipeline(transaction=False)
                for id in batch:
                    pipeline.exists(redis_keys.record(self._kind, id))
                present += map(bool, pipeline.execute())
        self._forget([id for id, there in zip(indexed, present, strict=True) if not there])
        return [id for id, there in zip(indexed, present, strict=True) if there]

    def active_ids(self) -> list[str]:
        with translated():
            return sorted(str(id) for id in self._client.smembers(redis_keys.active(self._kind)))

    def all(self, ids: Sequence[str] | None = None) -> dict[str, M]:
        if ids is not None:
            return {id: self._model.model_validate_json(text) for id, text in self._texts(ids).items()}
        wanted = self._indexed()
        texts = self._texts(wanted)
        known = self._understood
        found: dict[str, M] = {}
        for id, text in texts.items():
            before = known.get(id)
            found[id] = before[1] if before and before[0] == text else self._model.model_validate_json(text)
        kept = ((id, text) for id, text in texts.items() if len(text) <= _KEPT_SIZE)
        self._understood = {id: (text, found[id]) for id, text in islice(kept, _KEPT)}
        self._forget([id for id in wanted if id not in found])
        return found

    def _indexed(self) -> list[str]:
        with translated():
            return [str(id) for id in self._client.zrange(redis_keys.ids(self._kind), 0, -1)]

    def _texts(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for batch in _batches(ids):
            with translated():
                pipeline = self._client.pipeline(transaction=False)
                for id in batch:
                    pipeline.hget(redis_keys.record(self._kind, id), "d")
                answers = pipeline.execute()
            found |= {id: text for id, text in zip(batch, answers, strict=True) if text is not None}
        return found

    def _forget(self, expired: list[str]) -> None:
        """Drop ids whose record ran out of its time from the indexes."""
        for batch in _batches(expired):
            keys = [redis_keys.ids(self._kind), redis_keys.active(self._kind)]
            keys += [redis_keys.record(self._kind, id) for id in batch]
            with translated():
                self._drop(keys=keys, args=batch)

    def _store(self, id: str, value: M, expected: str, ttl: float | None, attachment: str = "") -> int:
        keys = [redis_keys.record(self._kind, id), redis_keys.ids(self._kind), redis_keys.active(self._kind)]
        with translated():
            version = int(
                self._write(
                    keys=keys,
                    args=[
                        id,
                        value.model_dump_json(),
                        expected,
                        "1" if self._active(value) else "0",
                        "" if ttl is None else max(1, int(ttl * 1000)),
                        attachment,
                    ],
                )
            )
        if version < 0:
            raise Conflict(f"{self._kind} {id} was changed or created by somebody else meanwhile")
        return version


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), 500):
        yield list(ids[start : start + 500])
