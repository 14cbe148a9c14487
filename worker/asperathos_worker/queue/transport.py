"""Two ways to run a script: over one lean connection (workers) or through a redis-py client (services)."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Protocol, Sequence, Union

import redis

from .api import CredentialsRefused, QueueClosed, QueueError, QueueMissing, QueueRefused, QueueUnavailable
from .scripts import Script
from .wire import Argument, Reply, ServerError, Wire, packed

_PASSING = ("LOADING", "BUSY", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS")
"""Error codes of a server that may well serve later."""


def translated(message: str) -> QueueError:
    """The queue's error for an error answer of Redis."""
    code, _, rest = message.partition(" ")
    if code == "QUEUEMISSING":
        return QueueMissing(rest)
    if code == "QUEUECLOSED":
        return QueueClosed(rest)
    if code in _PASSING:
        return QueueUnavailable(message)
    return QueueRefused(message)


class Transport(Protocol):
    """Runs scripts on the keys of one queue, and plain commands. Raises the queue's errors."""

    def run(self, script: Script, arguments: Sequence[Argument]) -> Reply:
        """Run the script with the queue's prefix as its only key."""

    def command(self, *arguments: Argument) -> Reply:
        """Run a plain command."""

    def close(self) -> None:
        """Give up connections of its own."""


class WireTransport:
    """One connection shared by the threads of a worker.

    A call that meets a broken connection or a server that is starting is sent again, ``attempts`` times in all with a
    growing pause, then raises QueueUnavailable: so it takes at most about ``attempts`` x the wire's timeout. That a
    call may have been heard although its answer was lost is the caller's business.
    """

    def __init__(
        self,
        wire: Wire,
        prefix: str,
        attempts: int = 3,
        pause: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wire = wire
        self._prefix = prefix
        self._attempts = attempts
        self._pause = pause
        self._sleep = sleep
        self._lock = threading.Lock()
        self._heads: Dict[str, bytes] = {}

    def connect(self) -> None:
        """Connect now, with the same retries as a call."""
        with self._lock:
            self._persist(self._wire.connect)

    def run(self, script: Script, arguments: Sequence[Argument]) -> Reply:
        head = self._heads.get(script.sha)
        if head is None:
            head = self._heads[script.sha] = packed(["EVALSHA", script.sha, 1, self._prefix])
        message = b"*%d\r\n%b%b" % (4 + len(arguments), head, packed(arguments))
        with self._lock:
            try:
                return self._wire.exchange(message)
            except (OSError, redis.RedisError, ServerError):
                # Broken, or an error answer: the slow way says which, and repeats what may be repeated.
                return self._persist(lambda: self._run_slowly(script, message, arguments))

    def _run_slowly(self, script: Script, message: bytes, arguments: Sequence[Argument]) -> Reply:
        try:
            return self._wire.exchange(message)
        except ServerError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        whole = packed(["EVAL", script.source, 1, self._prefix])
        return self._wire.exchange(b"*%d\r\n%b%b" % (4 + len(arguments), whole, packed(arguments)))

    def command(self, *arguments: Argument) -> Reply:
        message = b"*%d\r\n%b" % (len(arguments), packed(arguments))
        with self._lock:
            return self._persist(lambda: self._wire.exchange(message))

    def close(self) -> None:
        with self._lock:
            self._wire.close()

    def _persist(self, call: Callable[[], Reply]) -> Reply:
        for attempt in range(self._attempts):
            last = attempt == self._attempts - 1
            try:
                return call()
            except ServerError as error:
                problem = translated(str(error))
                if last or not isinstance(problem, QueueUnavailable):
                    raise problem from error
            except (OSError, redis.RedisError) as error:
                # Credentials that were good once will be so again: a Redis that was restarted without its users gets
                # them back from the manager.
                if isinstance(error, redis.AuthenticationError) and not self._wire.connections:
                    raise CredentialsRefused(str(error)) from error
                if last:
                    raise QueueUnavailable(f"{type(error).__name__}: {error}") from error
            self._sleep(self._pause * 4**attempt)
        raise QueueUnavailable("no attempt was allowed")


class ClientTransport:
    """Runs scripts through a redis-py client, which has its own pool, timeouts and retries."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def run(self, script: Script, arguments: Sequence[Argument]) -> Reply:
        try:
            return self.command("EVALSHA", script.sha, 1, self._prefix, *arguments)
        except QueueRefused as error:
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        return self.command("EVAL", script.source, 1, self._prefix, *arguments)

    def command(self, *arguments: Argument) -> Reply:
        return self._execute(arguments, {})

    def raw(self, *arguments: Union[Argument, bytes]) -> Reply:
        """Run a plain command; the answer is in bytes and lists, also if the client decodes and reshapes answers."""
        # What the client calls NEVER_DECODE spares decoding; a callback of the client would still reshape.
        answer = self._execute(arguments, {"NEVER_DECODE": True})
        if isinstance(answer, dict):
            return [part for pair in answer.items() for part in pair]
        return answer

    def _execute(self, arguments: Sequence[Union[Argument, bytes]], options: Dict[str, bool]) -> Reply:
        try:
            return self._client.execute_command(*arguments, **options)
        except redis.AuthenticationError as error:
            raise QueueRefused(str(error)) from error
        except redis.exceptions.BusyLoadingError as error:
            raise QueueUnavailable(str(error)) from error
        except redis.exceptions.ResponseError as error:
            raise translated(_message(error)) from error
        except redis.RedisError as error:
            raise QueueUnavailable(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """The client is its owner's."""


def _message(error: redis.exceptions.ResponseError) -> str:
    """The error's text with its code in front: redis-py cuts off the codes for which it has an exception."""
    code = {
        redis.exceptions.OutOfMemoryError: "OOM",
        redis.exceptions.ReadOnlyError: "READONLY",
        redis.exceptions.NoPermissionError: "NOPERM",
    }.get(type(error))
    return f"{code} {error}" if code else str(error)
