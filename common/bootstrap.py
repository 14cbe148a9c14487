"""What every service's bootstrap builds alike: Redis, leases, nudges, telemetry, the app and its loop."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

import redis
from flask import Flask
from pydantic import ValidationError

from common.adapters import redis_client
from common.adapters.redis_clock import RedisClock
from common.adapters.redis_coordination import RedisLeases, RedisWakeups
from common.adapters.redis_history import RedisJournal, RedisMetrics
from common.clock import SystemClock
from common.http.app import AppSettings, Telemetry, create_app
from common.http.server import ServerSettings, Service, serve
from common.logging import configure_logging
from common.loop import Loop, LoopSettings, Setbacks, Steps
from common.ports import Journal, MetricStore
from common.settings import CommonSettings

S = TypeVar("S", bound=CommonSettings)
_POLL = 1.0


@dataclass(frozen=True)
class Roles:
    """What this process does: answer requests, carry out intentions, or both."""

    api: bool
    loop: bool


class _TelemetryMeter:
    """Implements loop.LoopMeter."""

    def __init__(self, service: str, telemetry: Telemetry) -> None:
        self._service = service
        self._telemetry = telemetry

    def stepped(self, seconds: float, lag: float) -> None:
        self._telemetry.ticks.labels(self._service).observe(seconds)
        self._telemetry.lag.labels(self._service).set(max(0.0, lag))

    def failed(self) -> None:
        self._telemetry.failures.labels(self._service).inc()


class _PointsMeter:
    """Implements outbox.OutboxMeter."""

    def __init__(self, service: str, telemetry: Telemetry) -> None:
        self._lines = telemetry.points
        self._waiting = telemetry.points_waiting
        self._service = service

    def delivered(self, lines: int) -> None:
        self._lines.labels(self._service, "delivered").inc(lines)

    def lost(self, lines: int) -> None:
        self._lines.labels(self._service, "lost").inc(lines)

    def waiting(self, lines: int) -> None:
        self._waiting.labels(self._service).set(lines)


class Foundation:
    """The shared adapters of one service process; built after the fork."""

    def __init__(self, service: str, settings: CommonSettings) -> None:
        self.service = service
        self.settings = settings
        self.redis: redis.Redis = redis_client.connect(settings.redis_url.get_secret_value(), settings.redis_timeout)
        self.clock = RedisClock(self.redis, SystemClock())
        self.clock.start()
        self.leases = RedisLeases(self.redis)
        self.wakeups = RedisWakeups(self.redis)
        self.telemetry = Telemetry(service, version("asperathos"))
        journal = RedisJournal(self.redis)
        self.metrics: MetricStore = RedisMetrics(self.redis)
        self.journal: Journal = journal
        if settings.metric_store == "influx":
            self.metrics, self.journal = self._influx(journal)

    def app(self, checks: Mapping[str, Callable[[], object]] | None = None) -> Flask:
        """The service's app without its routes. Readiness always includes Redis."""
        all_checks = {"redis": lambda: redis_client.ping(self.redis), **(checks or {})}
        return create_app(
            AppSettings(
                service=self.service,
                max_body=self.settings.max_body,
                version=version("asperathos"),
                service_token=self.settings.service_token.get_secret_value(),
                checks=all_checks,
            ),
            self.telemetry,
        )

    def _influx(self, journal: Journal) -> tuple[MetricStore, Journal]:
        """The metric store in InfluxDB, and a journal whose events are there too."""
        # Not imported above: who keeps time series in Redis is spared its client's memory (12 MB) and start-up time.
        from common.adapters.annotating_journal import AnnotatingJournal
        from common.adapters.influx_metrics import InfluxMetrics
        from common.adapters.influx_server import InfluxServer, InfluxSettings
        from common.adapters.outbox import Outbox, OutboxLimits

        settings = self.settings
        server = InfluxServer(
            InfluxSettings(
                url=settings.influx_url,
                bucket=settings.influx_bucket,
                token=settings.influx_token.get_secret_value(),
                org=settings.influx_org,
                username=settings.influx_username,
                password=settings.influx_password.get_secret_value(),
                retention=settings.influx_retention,
                write_api=settings.influx_write_api,
                timeout=settings.influx_timeout,
            )
        )
        limits = OutboxLimits(bound=settings.metrics_buffer)
        outbox = Outbox(server.write, self.clock, _PointsMeter(self.service, self.telemetry), limits)
        outbox.start()
        metrics = InfluxMetrics(server, outbox)
        return metrics, AnnotatingJournal(journal, metrics)

    def service_of(self, app: Flask, loop: Loop | None) -> Service:
        """What a bootstrap hands to the server; at its end buffered metrics are written."""
        return Service(app, loop, self._close)

    def _close(self, timeout: float) -> None:
        self.clock.stop()
        self.metrics.close(timeout)

    def loop(self, steps: Steps, forget: Callable[[], None] = lambda: None) -> Loop:
        """The service's loop around its steps; ``forget`` drops what they remember of records that may be lost."""
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        return Loop(
            LoopSettings(service=self.service, owner=owner, workers=self.settings.loop_workers, poll=_POLL),
            steps,
            self.leases,
            self.wakeups,
            self.clock,
            _TelemetryMeter(self.service, self.telemetry),
            setbacks=Setbacks(lambda: redis_client.life_of(self.redis), forget),
        )


def main(service: str, purpose: str, settings_type: type[S], port: int, build: Callable[[S, Roles], Service]) -> None:
    """The command line of a service: ``python -m <service>``. Exits 64 on bad settings."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {service}",
        description=purpose,
        epilog="Every setting is an environment variable ASPERATHOS_<NAME>; --settings lists them.",
    )
    parser.add_argument("--bind", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on (default {port})")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer requests (default 1)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--api-only", action="store_true", help="answer requests, leave the loop to other processes")
    only.add_argument("--loop-only", action="store_true", help="run the loop; answer health and metrics only")
    parser.add_argument("--settings", action="store_true", help="list the settings and exit")
    arguments = parser.parse_args()
    if arguments.settings:
        _print_settings(settings_type)
        return
    try:
        settings = settings_type()
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = f"ASPERATHOS_{'_'.join(str(part) for part in detail['loc'])}".upper()
            print(f"{service}: {name}: {detail['msg']}", file=sys.stderr)
        sys.exit(64)
    configure_logging(service, settings.log_level, settings.log_json)
    serve(
        ServerSettings(
            name=service,
            bind=arguments.bind or settings.bind,
            port=arguments.port,
            threads=settings.threads,
            workers=arguments.workers,
            grace=settings.shutdown_grace,
        ),
        lambda: build(settings, Roles(api=not arguments.loop_only, loop=not arguments.api_only)),
    )


def _print_settings(settings_type: type[CommonSettings]) -> None:
    for name, field in settings_type.model_fields.items():
        print(f"ASPERATHOS_{name.upper()}={field.default}  # {field.description or ''}".rstrip(" #"))
