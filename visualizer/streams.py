"""Server-sent events: a bounded number of live connections that end cleanly."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from common.domain.errors import Unavailable
from common.ports import Clock


class Stopping(Protocol):
    """The part of threading.Event that a stream needs."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True)
class StreamSettings:
    """Durations in seconds: between looks, between signs of life, and until a browser is to connect anew."""

    limit: int
    period: float
    heartbeat: float = 10.0
    lifetime: float = 600.0
    retry: float = 2.0


@dataclass(frozen=True)
class Message:
    """One event. ``last`` ends the stream after it; ``id`` comes back when the browser connects again."""

    event: str
    data: Mapping[str, Any]
    id: str = ""
    last: bool = False

    def encode(self) -> str:
        """The message on the wire. JSON has no raw line breaks, so the data is one line."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {json.dumps(self.data, separators=(',', ':'))}\n\n"


class Place:
    """A held live connection; leaving twice is leaving once."""

    def __init__(self, free: threading.Semaphore) -> None:
        self._free = free
        self._lock = threading.Lock()
        self._left = False

    def leave(self) -> None:
        """Make room for another."""
        with self._lock:
            if not self._left:
                self._left = True
                self._free.release()


class Streams:
    """All live connections of this process."""

    def __init__(self, settings: StreamSettings, clock: Clock, stopping: Stopping) -> None:
        self._settings = settings
        self._clock = clock
        self._stopping = stopping
        self._free = threading.Semaphore(settings.limit)

    def enter(self) -> Place:
        """Take a place. Raises Unavailable when all are taken: the page then polls."""
        if self._stopping.is_set() or not self._free.acquire(blocking=False):
            raise Unavailable("all live connections are taken; poll instead")
        return Place(self._free)

    def live(self, look: Callable[[], Iterable[Message]]) -> Iterator[str]:
        """What ``look`` finds new, again and again, until its last message, the lifetime's end or shutdown."""
        settings = self._settings
        began = spoke = self._clock.monotonic()
        yield f"retry: {settings.retry * 1000:.0f}\n\n"
        while not self._stopping.is_set() and self._clock.monotonic() - began < settings.lifetime:
            for message in look():
                yield message.encode()
                spoke = self._clock.monotonic()
                if message.last:
                    return
            if self._clock.monotonic() - spoke >= settings.heartbeat:
                yield ": still here\n\n"
                spoke = self._clock.monotonic()
            self._stopping.wait(settings.period)


def set_at_shutdown(stopping: threading.Event) -> None:
    """Set the event when this process is told to end, before the server's own handler waits for open connections.

    A process without a main-thread server (tests) is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        _chain(number, stopping)


def _chain(number: signal.Signals, stopping: threading.Event) -> None:
    before = signal.getsignal(number)

    def handler(received: int, frame: FrameType | None) -> None:
        stopping.set()
        if callable(before):
            before(received, frame)

    if callable(before):
        signal.signal(number, handler)
