"""gunicorn around an app and its loop: one process that answers and carries out, with a graceful end."""

from __future__ import annotations

import gc
import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from common.clock import SystemClock
from common.loop import Loop
from common.ports import Clock

_CLOSING = 2.0
"""Most seconds for what is to be done after the loop has stopped."""


@dataclass(frozen=True)
class Service:
    """What bootstrap builds: the app, the loop unless this process only answers requests, and what is to be done at the
    beginning and at the end, the latter in so many seconds at most."""

    app: Flask
    loop: Loop | None
    begin: Callable[[], None] | None = None
    close: Callable[[float], None] | None = None


@dataclass(frozen=True)
class ServerSettings:
    """``grace`` in seconds: how long requests and steps in work may go on at shutdown. With ``certificate`` and ``key``
    (paths) it is served with TLS."""

    name: str
    bind: str
    port: int
    threads: int
    workers: int
    grace: float
    certificate: str = ""
    key: str = ""
    worker_ended: Callable[[int], None] = lambda _: None
    """Told the process id of each worker that has ended."""
    ended: Callable[[], None] = lambda: None
    """Called at the end, once all workers have ended."""


class _Worker(ThreadWorker):  # type: ignore[misc]
    """Stops the loop along with the requests, not after them: both have the same grace."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._begin_stop()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        self._begin_stop()
        super().handle_quit(sig, frame)

    def _begin_stop(self) -> None:
        if self.alive:
            self.app.begin_stop()


class _Server(BaseApplication):  # type: ignore[misc]
    """Builds the service after the fork, so that no connection or thread is shared between processes."""

    def __init__(self, settings: ServerSettings, build: Callable[[], Service], clock: Clock) -> None:
        self._settings = settings
        self._build = build
        self._clock = clock
        self._service: Service | None = None
        self._stop_by: float | None = None
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        for name, value in {
            "bind": f"[{settings.bind}]:{settings.port}"
            if ":" in settings.bind
            else f"{settings.bind}:{settings.port}",
            "workers": settings.workers,
            "worker_class": _Worker,
            "threads": settings.threads,
            # Of the arbiter; a second more than the worker takes for itself.
            "graceful_timeout": math.ceil(settings.grace) + 1,
            "timeout": 60,
            # The longest it knows: many ids may be asked for at once.
            "limit_request_line": 8190,
            "keepalive": 15,
            "proc_name": f"asperathos-{settings.name}",
            "loglevel": "warning",
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
            "control_socket_disable": True,
            "pre_fork": _share_memory,
            "worker_exit": self._stop_loop,
            "certfile": settings.certificate or None,
            "keyfile": settings.key or None,
            "ssl_context": _tls if settings.certificate else None,
            "child_exit": lambda _, worker: settings.worker_ended(worker.pid),
            "on_exit": lambda _: settings.ended(),
        }.items():
            if name in self.cfg.settings and value is not None:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        self._service = self._build()
        if self._service.begin is not None:
            self._service.begin()
        if self._service.loop is not None:
            self._service.loop.start()
        return self._service.app

    def begin_stop(self) -> None:
        """Begin no more steps; requests and steps in work have their grace from now on."""
        self._stop_by = self._clock.monotonic() + self._settings.grace
        if self._service is not None and self._service.loop is not None:
            self._service.loop.begin_stop()

    def _stop_loop(self, _server: Any, _worker: Any) -> None:
        if self._service is None:
            return
        if self._service.loop is not None:
            self._service.loop.stop(self._time_left())
        if self._service.close is not None:
            self._service.close(min(_CLOSING, self._time_left()))

    def _time_left(self) -> float:
        end = self._stop_by
        return self._settings.grace if end is None else max(0.0, end - self._clock.monotonic())


def _tls(_config: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS as Python's default has it, and nothing older than 1.2."""
    context = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _share_memory(_server: Any, _worker: Any) -> None:
    """What has been imported stays one copy for all processes: the collector does not touch it any more."""
    gc.collect()
    gc.freeze()


def serve(settings: ServerSettings, build: Callable[[], Service], clock: Clock | None = None) -> None:
    """Serve until SIGTERM or SIGINT. ``build`` runs in each worker process."""
    _Server(settings, build, clock or SystemClock()).run()
