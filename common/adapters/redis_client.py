"""Connections to the suite's Redis: bounded timeouts, bounded retries with backoff, errors as Unavailable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from common.domain.errors import Unavailable


class _Retry(Retry):
    """Says of each try that failed. The connections of a client have copies of it."""

    def __init__(self, failed: Callable[[], None]) -> None:
        super().__init__(ExponentialBackoff(cap=1.0, base=0.05), 3)
        self._failed = failed

    def __deepcopy__(self, _: object) -> _Retry:
        return _Retry(self._failed)

    def call_with_retry(self, do: Any, fail: Any, *others: Any, **more: Any) -> Any:
        def told(*arguments: Any) -> Any:
            self._failed()
            return fail(*arguments)

        return super().call_with_retry(do, told, *others, **more)


def connect(url: str, timeout: float = 5.0, failed: Callable[[], None] = lambda: None) -> redis.Redis:
    """A client that connects on first use and may be shared by threads. ``timeout`` in seconds, per call; ``failed`` is
    told of each try that failed and gave up its connection."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=30,
        decode_responses=True,
        retry=_Retry(failed),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raises Unavailable for any error of the Redis client inside."""
    try:
        yield
    except ResponseError as error:
        raise Unavailable(f"Redis refuses: {error}") from error
    except RedisError as error:
        raise Unavailable(f"Redis does not answer: {type(error).__name__}: {error}") from error


def life_of(client: redis.Redis) -> str:
    """What names this run of the server: it changes when the server is started again or replaced, and is '' where we
    may not ask. Raises Unavailable."""
    with translated():
        try:
            return str(client.info("server").get("run_id", ""))
        except NoPermissionError:
            return ""


def ping(client: redis.Redis) -> None:
    """A readiness probe. Raises Unavailable."""
    with translated():
        client.ping()
