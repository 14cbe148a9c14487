"""The other services in memory, and the visualizer's app in front of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask

from common.domain.errors import NotFound, Unavailable
from common.http.app import AppSettings, create_app
from common.http.client import Relayed
from common.http.contracts import MonitoringView, ScalingView, SharesView
from common.http.telemetry import Telemetry
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
        self.specs: dict[str, dict[str, Any]] = {}
        self.told_clusters: dict[str, Any] = {}
        self.told_nodes: dict[str, Any] = {}
        self.told_shares: dict[str, SharesView] = {}
        self.away: set[str] = set()

    def submissions(self) -> Mapping[str, Any]:
        return self._of("manager", lambda: dict(self.statuses))

    def submission(self, id: str) -> Mapping[str, Any]:
        return self._of("manager", lambda: _known(self.statuses, id))

    def events(self, id: str) -> Any:
        return self._of("manager", lambda: self.told_events.get(id, {"events": []}))

    def errors(self, id: str) -> Any:
        return self._of("manager", lambda: self.told_errors.get(id, []))

    def spec(self, id: str) -> Any:
        return self._of("manager", lambda: self.specs.get(id))

    def log(self, id: str, pod: str, tail: int) -> Any:
        """``tail`` is kept in the text, so that a test sees it."""
        return self._of("manager", lambda: {"pods": {pod or "w-0": f"{_known(self.statuses, id)['name']} {tail}"}})

    def clusters(self) -> Any:
        return self._of("manager", lambda: dict(self.told_clusters))

    def nodes(self, cluster: str) -> Any:
        return self._of("manager", lambda: self.told_nodes.get(cluster, {"nodes": []}))

    def shares(self, cluster: str) -> SharesView:
        return self._of("controller", lambda: self.told_shares.get(cluster, SharesView(cluster=cluster)))

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


@dataclass
class FakeDoor:
    """Implements actions.Door: keeps what is passed on, answers as told."""

    status: int = 204
    content: bytes = b""
    content_type: str = "application/json"
    passed: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)

    def relay(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Relayed:
        self.passed.append((method, path, body, dict(headers)))
        return Relayed(self.status, self.content_type, iter([self.content]))


class Fixture:
    """The app and all it stands on, in memory."""

    def __init__(
        self,
        token: str = "",
        visualizers: Mapping[str, Visualizer] | None = None,
        streams: int = 2,
        metrics: MemoryMetrics | None = None,
        actions: bool = True,
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
        self.door = FakeDoor()
        login = Login(self.guard.authenticator, required, 3600.0)
        register(self.app, self.boards, Pages(self.watching, live, login, self.door, actions))
        self.http = self.app.test_client()
