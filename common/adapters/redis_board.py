"""Boards in Redis: entries by name and id that every process may read and each replaces its own of."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import redis
from pydantic import BaseModel, ValidationError

from common.adapters import redis_keys
from common.adapters.redis_client import translated
from common.logging import get_logger

M = TypeVar("M", bound=BaseModel)
log = get_logger(__name__)
_KEEP = 86400
"""Seconds after the last entry for which a board is kept, unless told otherwise."""


class RedisBoard(Generic[M]):
    """Implements ports.Board on one hash a board. Entries that are not understood (of another version) are left out.

    What is read again as it was is not understood anew: of a thousand entries few change between two looks. Models are
    frozen, so that they may be given out again.
    """

    def __init__(self, client: redis.Redis, kind: str, model: type[M], keep: float = _KEEP) -> None:
        self._client = client
        self._keep = int(keep)
        self._kind = kind
        self._model = model
        self._known: dict[str, dict[str, tuple[str, M]]] = {}
        """By board and id: the text, and what it says."""

    def exchange(self, name: str, id: str, entry: M) -> dict[str, M]:
        key = redis_keys.board(self._kind, name)
        with translated():
            pipeline = self._client.pipeline()
            pipeline.hset(key, id, entry.model_dump_json())
            pipeline.expire(key, self._keep)
            pipeline.hgetall(key)
            found = pipeline.execute()[-1]
        return self._understood(name, found)

    def put(self, name: str, id: str, entry: M) -> None:
        key = redis_keys.board(self._kind, name)
        with translated():
            pipeline = self._client.pipeline()
            pipeline.hset(key, id, entry.model_dump_json())
            pipeline.expire(key, self._keep)
            pipeline.execute()

    def entries(self, name: str) -> dict[str, M]:
        with translated():
            found: Any = self._client.hgetall(redis_keys.board(self._kind, name))
        return self._understood(name, found)

    def drop(self, name: str, id: str) -> None:
        with translated():
            self._client.hdel(redis_keys.board(self._kind, name), id)

    def _understood(self, name: str, found: dict[str, str]) -> dict[str, M]:
        before = self._known.get(name, {})
        known: dict[str, tuple[str, M]] = {}
        for id, data in found.items():
            kept = before.get(id)
            if kept is not None and kept[0] == data:
                known[id] = kept
                continue
            try:
                known[id] = data, self._model.model_validate_json(data)
            except ValidationError:
                log.warning("board_entry_not_understood", kind=self._kind, board=name, id=id)
        if known:
            self._known[name] = known
        else:
            self._known.pop(name, None)
        return {id: entry for id, (_, entry) in known.items()}
