"""The visualizer that shows submissions in Grafana."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from common.domain.errors import AsperathosError
from common.logging import get_logger
from common.ports import Clock
from visualizer.boards import Board
from visualizer.grafana.dashboards import BATCH, COST, FOLDER, FOLDER_UID, STREAM, Json

log = get_logger(__name__)
_FRESH = 60.0
"""Seconds for which what Grafana has is not looked at again."""
_PAUSE = 5.0
"""Seconds for which a Grafana that failed is not asked again, so that one outage does not hold up every board."""
_BEFORE = 30
"""Seconds that a dashboard shows before its submission began."""
_THEMES = ("dark", "light")
_OTHER_SOURCES = ("", "influxdb", "redis")
"""What ``datasource_type`` may say without our having to say that it is InfluxDB all the same."""


class Grafana(Protocol):
    """As client.GrafanaClient."""

    def check(self) -> None: ...

    def have_folder(self, uid: str, title: str) -> None: ...

    def have_datasource(self, datasource: Json) -> None: ...

    def have_dashboard(self, dashboard: Json, folder: str) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What Grafana is to have. ``url`` is where browsers reach it."""

    url: str
    datasource: Json
    dashboards: Mapping[str, Json]


class GrafanaVisualizer:
    """Implements boards.Visualizer. The dashboards are the same for all submissions, which are chosen by their address;
    so they stay when a submission is forgotten."""

    def __init__(self, grafana: Grafana, wanted: Wanted, clock: Clock) -> None:
        self._grafana = grafana
        self._wanted = wanted
        self._clock = clock
        self._lock = threading.Lock()
        self._again_at = clock.monotonic()
        self._problem: AsperathosError | None = None

    def url(self, base: str, board: Board) -> str:  # noqa: ARG002 - Grafana has an address of its own
        query = {"var-submission": board.id, "from": int((board.created_at - _BEFORE) * 1000), "to": "now"}
        if board.theme in _THEMES:
            query["theme"] = board.theme
        uid = _dashboard_of(board)
        return f"{self._wanted.url}/d/{uid}/{uid}?{urlencode(query)}"

    def publish(self, board: Board) -> str:
        """Raises Unavailable, Unauthorized or Forbidden, also when somebody else found that out a moment ago."""
        with self._lock:
            if self._clock.monotonic() >= self._again_at:
                self._put_all()
            if self._problem is not None:
                raise self._problem
        if board.datasource not in _OTHER_SOURCES:
            return f"the data source is InfluxDB, not {board.datasource}"
        return ""

    def withdraw(self, board: Board) -> None:
        del board

    def _put_all(self) -> None:
        try:
            self._grafana.check()
            self._grafana.have_folder(FOLDER_UID, FOLDER)
            self._grafana.have_datasource(self._wanted.datasource)
            for dashboard in self._wanted.dashboards.values():
                self._grafana.have_dashboard(dashboard, FOLDER_UID)
        except AsperathosError as error:
            if self._problem is None:
                log.warning("grafana_not_ready", error=error.message)
            self._problem = error
            self._again_at = self._clock.monotonic() + _PAUSE
            return
        if self._problem is not None:
            log.info("grafana_ready")
        self._problem = None
        self._again_at = self._clock.monotonic() + _FRESH


def _dashboard_of(board: Board) -> str:
    if board.plugin.endswith("cost"):
        return COST
    return STREAM if board.kind == "stream" else BATCH
