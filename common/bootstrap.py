"""What every service's bootstrap builds alike: Redis, leases, nudges, telemetry, the app and its loop."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TypeVar
from urllib.parse import urlsplit

import redis
from flask import Flask
from pydantic import ValidationError

from common.adapters import redis_client
from common.adapters.redis_clock import RedisClock
from common.adapters.redis_coordination import RedisAttempts, RedisClaims, RedisLeases, RedisWakeups
from common.adapters.redis_history import RedisJournal, RedisMetrics
from common.adapters.redis_records import RedisRecords
from common.clock import SystemClock
from common.domain.accounts import TOKEN_RECORDS, USER_RECORDS, Ownership, Token, User
from common.domain.events import SUBMISSION_RECORDS
from common.http.app import AppSettings, create_app
from common.http.authentication import Accounts, Authenticator, FixedTokens
from common.http.client import ServiceClient
from common.http.gate import Gate, GateSettings
from common.http.openapi import Table
from common.http.openapi_route import register_openapi
from common.http.server import ServerSettings, Service, serve
from common.http.telemetry import Telemetry, forget_process, share_between_processes
from common.http.throttle import Throttle
from common.logging import configure_logging
from common.loop import Loop, LoopSettings, Setbacks, Steps
from common.ports import Journal, MetricStore
from common.settings import CommonSettings, is_loopback

S = TypeVar("S", bound=CommonSettings)
_POLL = 1.0


@dataclass(frozen=True)
class Roles:
    """What this process does: answer requests, carry out intentions, or both."""

    api: bool
    loop: bool


@dataclass(frozen=True)
class Door:
    """What is special at a service's door: other addresses it has, other sites whose pages may change things, and
    whether browsers log in there."""

    urls: Sequence[str] = ()
    origins: Sequence[str] = ()
    sessions: bool = False


class _TelemetryMeter:
    """Implements loop.LoopMeter."""

    def __init__(self, service: str, telemetry: Telemetry) -> None:
        self._service = service
        self._telemetry = telemetry

    def stepped(self, seconds: float, lag: float) -> None:
        self._telemetry.ticks.labels(self._service).observe(seconds)
        self._telemetry.lag.labels(self._service).observe(max(0.0, lag))

    def failed(self) -> None:
        self._telemetry.failures.labels(self._service).inc()

    def waiting(self, steps: int) -> None:
        self._telemetry.backlog.labels(self._service).set(steps)


class _PointsMeter:
    """Implements outbox.OutboxMeter."""

    def __init__(self, service: str, telemetry: Telemetry) -> None:
        self._lines = telemetry.points
        self._writes = telemetry.writes
        self._waiting = telemetry.points_waiting
        self._reconnected = telemetry.reconnected("influxdb")
        self._service = service

    def delivered(self, lines: int) -> None:
        self._lines.labels(self._service, "delivered").inc(lines)
        self._writes.labels(self._service).inc()

    def lost(self, lines: int) -> None:
        self._lines.labels(self._service, "lost").inc(lines)

    def waiting(self, lines: int) -> None:
        self._waiting.labels(self._service).set(lines)

    def back(self) -> None:
        self._reconnected()


class Foundation:
    """The shared adapters of one service process; built after the fork."""

    def __init__(self, service: str, settings: CommonSettings) -> None:
        self.service = service
        self.settings = settings
        self.telemetry = Telemetry(service, version("asperathos"))
        self.redis: redis.Redis = redis_client.connect(
            settings.redis_url.get_secret_value(), settings.redis_timeout, self.telemetry.reconnected("redis")
        )
        self.clock = RedisClock(self.redis, SystemClock())
        self.leases = RedisLeases(self.redis)
        self.wakeups = RedisWakeups(self.redis)
        journal = RedisJournal(self.redis)
        self.metrics: MetricStore = RedisMetrics(self.redis)
        self.journal: Journal = journal
        if settings.metric_store == "influx":
            self.metrics, self.journal = self._influx(journal)

    def app(self, checks: Mapping[str, Callable[[], object]] | None = None, door: Door | None = None) -> Flask:
        """The service's app without its routes. Readiness always includes Redis."""
        all_checks = {"redis": lambda: redis_client.ping(self.redis), **(checks or {})}
        app = create_app(
            AppSettings(
                service=self.service,
                max_body=self.settings.max_body,
                version=version("asperathos"),
                secure=bool(self.settings.tls_certificate),
                proxies=self.settings.trusted_proxies,
                checks=all_checks,
            ),
            self.telemetry,
        )
        self._gate(door or Door()).install(app)
        return app

    def describe(self, app: Flask, table: Table) -> None:
        """Have the app describe its routes at /openapi.json."""
        register_openapi(app, table, version("asperathos"))

    def client(self, base: str, timeout: float = 5.0, retries: int = 2) -> ServiceClient:
        """A client of another service."""
        settings = self.settings
        return ServiceClient(base, settings.service_token.get_secret_value(), timeout, retries, settings.tls_ca)

    @cached_property
    def authenticator(self) -> Authenticator:
        """Who knows the users."""
        settings = self.settings
        return Authenticator(
            Accounts(
                users=RedisRecords(self.redis, USER_RECORDS, User),
                tokens=RedisRecords(self.redis, TOKEN_RECORDS, Token),
                sessions=RedisClaims(self.redis),
            ),
            FixedTokens(
                service=settings.service_token.get_secret_value(),
                admin=settings.admin_token.get_secret_value(),
                metrics=settings.metrics_token.get_secret_value(),
            ),
            Throttle(RedisAttempts(self.redis)),
            self.clock,
            settings.session_keep,
        )

    @property
    def audit(self) -> Journal:
        """Where it is noted who changed what."""
        return RedisJournal(self.redis, self.settings.audit_most)

    def _gate(self, door: Door) -> Gate:
        settings = self.settings
        urls = (settings.manager_url, settings.controller_url, settings.monitor_url, settings.visualizer_url)
        named = {(urlsplit(url).hostname or "").lower() for url in (*urls, *door.urls)}
        is_open_to_pages = not settings.authenticated and is_loopback(settings.bind)
        return Gate(
            GateSettings(
                service=self.service,
                required=settings.authenticated,
                service_token=settings.service_token.get_secret_value(),
                hosts=frozenset({*named, *map(str.lower, settings.allowed_hosts)}) if is_open_to_pages else None,
                origins=tuple(url.rstrip("/").lower() for url in (*door.urls, *door.origins) if url),
                sessions=door.sessions,
            ),
            self.authenticator,
            RedisRecords(self.redis, SUBMISSION_RECORDS, Ownership),
            self.audit,
            self.clock,
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
                ca=settings.tls_ca,
            )
        )
        limits = OutboxLimits(bound=settings.metrics_buffer)
        outbox = Outbox(server.write, self.clock, _PointsMeter(self.service, self.telemetry), limits)
        outbox.start()
        metrics = InfluxMetrics(server, outbox)
        return metrics, AnnotatingJournal(journal, metrics)

    def service_of(self, app: Flask, loop: Loop | None) -> Service:
        """What a bootstrap hands to the server; at its end buffered metrics are written."""
        return Service(app, loop, self.clock.start, self._close)

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
        settings = settings_type(**({"bind": arguments.bind} if arguments.bind else {}))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = f"ASPERATHOS_{'_'.join(str(part) for part in detail['loc'])}".upper()
            print(f"{service}: {name}: {detail['msg']}", file=sys.stderr)
        sys.exit(64)
    configure_logging(service, settings.log_level, settings.log_json)
    numbers = tempfile.mkdtemp(prefix=f"asperathos-{service}-numbers-") if arguments.workers > 1 else ""
    if numbers:
        share_between_processes(numbers)
    serve(
        ServerSettings(
            name=service,
            bind=settings.bind,
            port=arguments.port,
            threads=settings.threads,
            workers=arguments.workers,
            grace=settings.shutdown_grace,
            certificate=settings.tls_certificate,
            key=settings.tls_key,
            worker_ended=forget_process,
            ended=lambda: shutil.rmtree(numbers, ignore_errors=True),
        ),
        lambda: build(settings, Roles(api=not arguments.loop_only, loop=not arguments.api_only)),
    )


def _print_settings(settings_type: type[CommonSettings]) -> None:
    for name, field in settings_type.model_fields.items():
        print(f"ASPERATHOS_{name.upper()}={field.default}  # {field.description or ''}".rstrip(" #"))
