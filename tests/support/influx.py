"""A metric store on a real InfluxDB, and a meter that counts."""

from __future__ import annotations

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

    def delivered(self, lines: int) -> None:
        self.sent += lines

    def lost(self, lines: int) -> None:
        self.dropped += lines

    def waiting(self, lines: int) -> None:
        self.held = lines


def influx_metrics(
    settings: InfluxSettings, limits: OutboxLimits | None = None, meter: CountingMeter | None = None
) -> InfluxMetrics:
    """A store with a short pause between its requests, so that tests need not wait."""
    server = InfluxServer(settings)
    quick = limits or OutboxLimits(pause=0.02)
    outbox = Outbox(server.write, SystemClock(), meter or CountingMeter(), quick)
    outbox.start()
    return InfluxMetrics(server, outbox)
