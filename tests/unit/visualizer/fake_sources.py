"""The other services in memory, and the visualizer's app in front of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Flask

from common.domain.errors import NotFound, Unavailable
from common.http.app import AppSettings, Telemetry, create_app
from common.http.contracts import MonitoringView, ScalingView
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryMetrics, MemoryRecords, MemoryWakeups
from tests.support.guard import Guard
from visualizer.api import Pages, register
from visualizer.boards import GRAFANA, Board, BuiltinVisualizer, Visualizer
from visualizer.login import Login
from visualizer.service import BoardService, Freshness, Watching
from visualizer.streams import Streams, StreamSettings

T = TypeVar("T")
BASE = "http://pages.example:5002"
_BUILTIN: Mapping[str, Visualizer] = dict.fromkeys(("builtin", *GRAFANA), BuiltinVisualizer())


class FakeSources:
    """Implements service.Sources; services named in ``away`` do not answer."""

    def __init__(self) -> None:
        self.statuses: dict[str, dict[str, Any]] = {}
        self.told_events: dict[str, Any] = {}
        self.told_errors: dict[str, Any] = {}
        self.scalings: dict[str, ScalingView] = {}
        self.monitorings: dict[str, MonitoringView] = {}
        self.away: set[str] = set()

    def submissions(self) -> Mapping[str, Any]:
        return self._of("manager", lambda: dict(self.statuses))

    def submission(self, id: str) -> Mapping[str, Any]:
        return self._of("manager", lambda: _known(self.statuses, id))

    def events(self, id: str) -> Any:
        return self._of("manager", lambda: self.told_events.get(id, {"events": []}))

    def errors(self, id: str) -> Any:
        return self._of("manager", lambda: self.told_errors.get(id, []))

    def scaling(self, id: str) -> ScalingView | None:
        return self._of("controller", lambda: self.scalings.get(id))

    def monitoring(self, id: str) -> MonitoringView | None:
        return self._of("monitor", lambda: self.monitorings.get(id))

    def _of(self, service: str, answer: Callable[[], T]) -> T:
        if service in self.away:
            raise Unavailable(f"http://{service} does not answer: ConnectionError")
        return answer()


def _known(statuses: Mapping[str, dict[str, Any]], id: str) -> dict[str, Any]:
    if id not in statuses:
        raise NotFound(f"GET /submissions/{id} answered 404")
    return statuses[id]


class Fixture:
    """The app and all it stands on, in memory."""

    def __init__(
        self,
        token: str = "",
        visualizers: Mapping[str, Visualizer] | None = None,
        streams: int = 2,
        metrics: MemoryMetrics | None = None,
        required: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.sources = FakeSources()
        self.metrics = metrics or MemoryMetrics()
        self.records: MemoryRecords[Board] = MemoryRecords(active=lambda _: True, clock=self.clock)
        self.wakeups = MemoryWakeups(self.clock)
        self.stopping = threading.Event()
        self.boards = BoardService(
            self.records,
            self.wakeups,
            visualizers or dict.fromkeys(("builtin", *GRAFANA), BuiltinVisualizer()),
            BASE,
            self.clock,
        )
        self.watching = Watching(self.sources, self.metrics, self.clock, Freshness(1.0, 2.0))
        self.app: Flask = create_app(
            AppSettings(service="visualizer", max_body=65536, version="1"),
            Telemetry("visualizer", "1"),
        )
        self.guard = Guard(self.clock, "visualizer", required, token)
        self.guard.gate.install(self.app)
        live = Streams(StreamSettings(limit=streams, period=0.01), self.clock, self.stopping)
        register(self.app, self.boards, Pages(self.watching, live, Login(self.guard.authenticator, required, 3600.0)))
        self.http = self.app.test_client()
