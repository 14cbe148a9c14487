"""One Redis user for the workers of each submission, limited to its queue's keys and to what its scripts do.

Redis checks a script's commands and keys as if its caller had sent them, so a user that may run any script can still
do nothing but these commands on these keys. Users live in the memory of one server unless it has an ``aclfile``:
whoever needs them grants them again from time to time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from asperathos_worker.queue.scripts import prefix_of

from common.adapters.redis_client import translated
from common.domain.errors import Forbidden
from common.domain.queues import QUEUE_USER_PREFIX, queue_user

CONNECTING = ("ping", "select")
SCRIPTING = ("eval", "evalsha", "script|load")
IN_SCRIPTS = (
    *("del", "hdel", "hget", "hgetall", "hincrby", "hincrbyfloat", "hlen", "hmget", "hset", "hsetnx", "hvals"),
    *("lindex", "llen", "lpop", "lpush", "lrange", "ltrim", "rpush", "time"),
    *("zadd", "zcard", "zrangebyscore", "zrem", "zremrangebyscore", "zscore"),
)
"""Every command that the queue's scripts call."""
_OFF = "or set ASPERATHOS_REDIS_ACL=false, which gives the workers the suite's own access"


class RedisAcl:
    """Implements ports.QueueAccess; ``client`` is the suite's Redis, as a user that may use ACL SETUSER and DELUSER."""

    def __init__(self, client: redis.Redis) -> None:
        # The client types its method for any command as untyped.
        self._client: Any = client

    def grant(self, submission: str, password: str) -> None:
        digest = hashlib.sha256(password.encode()).hexdigest()
        commands = [f"+{name}" for name in (*CONNECTING, *SCRIPTING, *IN_SCRIPTS)]
        rules = ("reset", "resetchannels", "on", f"#{digest}", f"~{prefix_of(submission)}*", "-@all", *commands)
        with _managing():
            self._client.execute_command("ACL SETUSER", queue_user(submission), *rules)

    def revoke(self, submission: str) -> None:
        with _managing():
            self._client.execute_command("ACL DELUSER", queue_user(submission))

    def granted(self) -> list[str]:
        with _managing():
            users = self._client.execute_command("ACL USERS")
        return sorted(
            str(user).removeprefix(QUEUE_USER_PREFIX) for user in users if str(user).startswith(QUEUE_USER_PREFIX)
        )


@contextmanager
def _managing() -> Iterator[None]:
    with translated():
        try:
            yield
        except redis.exceptions.NoPermissionError as error:
            raise Forbidden(f"the suite's user of Redis may not manage users: allow it +acl {_OFF}") from error
        except redis.ResponseError as error:
            if "unknown command" in str(error).lower():
                raise Forbidden(f"this Redis has no users that can be managed: take one that has {_OFF}") from error
            raise
