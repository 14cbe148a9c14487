"""A metric store on a real InfluxDB, a meter that counts, and questions as Grafana asks them."""

from __future__ import annotations

from typing import Any

import requests

from common.adapters.influx_metrics import InfluxMetrics
from common.adapters.influx_server import InfluxServer, InfluxSettings
from common.adapters.outbox import Outbox, OutboxLimits
from common.clock import SystemClock


class CountingMeter:
    """Implements outbox.OutboxMeter."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0
        self.held = 0
        self.returns = 0

    def delivered(self, lines: int) -> None:
        self.sent += lines

    def lost(self, lines: int) -> None:
        self.dropped += lines

    def waiting(self, lines: int) -> None:
        self.held = lines

    def back(self) -> None:
        self.returns += 1


def influx_metrics(
    settings: InfluxSettings, limits: OutboxLimits | None = None, meter: CountingMeter | None = None
) -> InfluxMetrics:
    """A store with a short pause between its requests, so that tests need not wait."""
    server = InfluxServer(settings)
    quick = limits or OutboxLimits(pause=0.02)
    outbox = Outbox(server.write, SystemClock(), meter or CountingMeter(), quick)
    outbox.start()
    return InfluxMetrics(server, outbox)


def ask_as_grafana(url: str, database: str, query: str, submission: str) -> list[dict[str, Any]]:
    """The series that a dashboard's query returns: variables filled in, then ``/query``."""
    for name, value in (("$timeFilter", "time >= now() - 1h"), ("$__interval", "10s"), ("$submission", submission)):
        query = query.replace(name, value)
    assert "$" not in query.replace("$/", "")
    answer = requests.post(f"{url}/query", params={"db": database, "epoch": "ms"}, data={"q": query}, timeout=10)
    answer.raise_for_status()
    (result,) = answer.json()["results"]
    assert "error" not in result, (query, result)
    series: list[dict[str, Any]] = result.get("series", [])
    return series
