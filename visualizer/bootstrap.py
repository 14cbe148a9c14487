"""Puts the visualizer together: the only place that builds its adapters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Set

from common.adapters.redis_records import RedisRecords
from common.bootstrap import Door, Foundation, Roles
from common.http.client import ServiceClient
from common.http.server import Service
from common.plugins import VISUALIZERS, load_plugins
from common.ports import Clock
from visualizer.api import Pages, register
from visualizer.boards import BOARD_RECORDS, BUILTIN, GRAFANA, Board, BuiltinVisualizer, Visualizer, checked_visualizer
from visualizer.clients import RestSources
from visualizer.feed import Feed
from visualizer.grafana.client import GrafanaClient, GrafanaSettings
from visualizer.grafana.dashboards import dashboards
from visualizer.grafana.provisioning import Source, datasource_of
from visualizer.grafana.visualizer import GrafanaVisualizer, Wanted
from visualizer.login import Login
from visualizer.loop import BoardSteps
from visualizer.routes import TABLE
from visualizer.service import SERVICE, BoardService, Freshness, Sources, Watching
from visualizer.settings import Settings
from visualizer.streams import Streams, StreamSettings, set_at_shutdown


def build(settings: Settings, roles: Roles) -> Service:
    """The service of one process."""
    foundation = Foundation(SERVICE, settings)
    records = RedisRecords(foundation.redis, BOARD_RECORDS, Board, active=lambda _: True)
    visualizers: Mapping[str, Visualizer] = {
        BUILTIN: BuiltinVisualizer(),
        **dict.fromkeys(GRAFANA, _grafana(settings, foundation.clock)),
        **load_plugins(VISUALIZERS, checked_visualizer).found,
    }
    sources = _sources(foundation, settings)
    app = foundation.app(door=Door(urls=(settings.public_url,), sessions=True))
    if roles.api:
        stopping = threading.Event()
        set_at_shutdown(stopping)
        freshness = Freshness(main=settings.page_refresh, other=2 * settings.page_refresh)
        register(
            app,
            BoardService(records, foundation.wakeups, visualizers, settings.base_url, foundation.clock),
            Pages(
                login=Login(foundation.authenticator, settings.authenticated, settings.session_keep),
                watching=Watching(sources, foundation.metrics, foundation.clock, freshness),
                streams=Streams(
                    StreamSettings(settings.stream_limit, settings.page_refresh), foundation.clock, stopping
                ),
                # Without the services' token: who acts is the user.
                door=ServiceClient(settings.manager_url, "", settings.action_timeout, retries=0, ca=settings.tls_ca),
                actions=settings.page_actions,
            ),
        )
        foundation.describe(app, TABLE)
    if not roles.loop:
        return foundation.service_of(app, None)
    known = _known_ids(sources, foundation.clock, settings.board_check)
    steps = BoardSteps(records, visualizers, known, foundation.clock, settings.board_check)
    return foundation.service_of(app, foundation.loop(steps))


def _grafana(settings: Settings, clock: Clock) -> Visualizer:
    """What answers for Grafana: the built-in pages when none is configured."""
    if not settings.grafana_url:
        return BuiltinVisualizer()
    client = GrafanaClient(
        GrafanaSettings(
            url=settings.grafana_url,
            token=settings.grafana_token.get_secret_value(),
            username=settings.grafana_username,
            password=settings.grafana_password.get_secret_value(),
            timeout=settings.grafana_timeout,
            ca=settings.tls_ca,
        )
    )
    source = Source(
        url=settings.grafana_influx_url or settings.influx_url,
        bucket=settings.influx_bucket,
        token=settings.grafana_influx_token.get_secret_value() or settings.influx_token.get_secret_value(),
        username=settings.influx_username,
        password=settings.influx_password.get_secret_value(),
    )
    wanted = Wanted(
        url=settings.grafana_public_url or settings.grafana_url,
        datasource=datasource_of(source),
        dashboards=dashboards(settings.base_url),
    )
    return GrafanaVisualizer(client, wanted, clock)


def _sources(foundation: Foundation, settings: Settings) -> RestSources:
    def client(base: str, timeout: float = settings.page_timeout) -> ServiceClient:
        """Without retries: a page rather says that a service is away and looks again."""
        return foundation.client(base, timeout=timeout, retries=0)

    return RestSources(
        manager=client(settings.manager_url),
        controller=client(settings.controller_url),
        monitor=client(settings.monitor_url),
        reader=client(settings.manager_url, 4 * settings.page_timeout),
    )


def _known_ids(sources: Sources, clock: Clock, ttl: float) -> Callable[[], Set[str] | None]:
    feed: Feed[Set[str]] = Feed(clock, ttl, keys=1)

    def known() -> Set[str] | None:
        reading = feed.get("", lambda: frozenset(sources.submissions()))
        return None if reading.problem else reading.value

    return known
