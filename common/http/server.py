"""gunicorn around an app and its loop: one process that answers and carries out, with a graceful end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from common.loop import Loop


@dataclass(frozen=True)
class Service:
    """What bootstrap builds: the app, and the loop unless this process only answers requests."""

    app: Flask
    loop: Loop | None


@dataclass(frozen=True)
class ServerSettings:
    """``grace`` in seconds: how long requests and steps in work may go on at shutdown."""

    name: str
    bind: str
    port: int
    threads: int
    workers: int
    grace: float


class _Server(BaseApplication):  # type: ignore[misc]
    """Builds the service after the fork, so that no connection or thread is shared between processes."""

    def __init__(self, settings: ServerSettings, build: Callable[[], Service]) -> None:
        self._settings = settings
        self._build = build
        self._service: Service | None = None
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        for name, value in {
            "bind": f"{settings.bind}:{settings.port}",
            "workers": settings.workers,
            "worker_class": "gthread",
            "threads": settings.threads,
            "graceful_timeout": max(1, int(settings.grace)),
            "timeout": 60,
            "keepalive": 15,
            "proc_name": f"asperathos-{settings.name}",
            "loglevel": "warning",
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
            "control_socket_disable": True,
            "worker_exit": self._stop_loop,
        }.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        self._service = self._build()
        if self._service.loop is not None:
            self._service.loop.start()
        return self._service.app

    def _stop_loop(self, _server: Any, _worker: Any) -> None:
        if self._service is not None and self._service.loop is not None:
            self._service.loop.stop(self._settings.grace)


def serve(settings: ServerSettings, build: Callable[[], Service]) -> None:
    """Serve until SIGTERM or SIGINT. ``build`` runs in each worker process."""
    _Server(settings, build).run()
