"""Connections to the suite's Redis: bounded timeouts, bounded retries with backoff, errors as Unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from common.domain.errors import Unavailable


def connect(url: str, timeout: float = 5.0) -> redis.Redis:
    """A client that connects on first use and may be shared by threads. ``timeout`` in seconds, per call."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=30,
        decode_responses=True,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 3),
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
