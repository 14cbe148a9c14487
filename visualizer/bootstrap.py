"""Puts the visualizer together: the only place that builds its adapters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Set

from common.adapters.redis_records import RedisRecords
from common.bootstrap import Foundation, Roles
from common.http.client import ServiceClient
from common.http.server import Service
from common.plugins import VISUALIZERS, load_plugins
from common.ports import Clock
from visualizer.api import Pages, register
from visualizer.boards import BOARD_RECORDS, BUILTIN, Board, BuiltinVisualizer, Visualizer, checked_visualizer
from visualizer.clients import RestSources
from visualizer.feed import Feed
from visualizer.loop import BoardSteps
from visualizer.service import SERVICE, BoardService, Freshness, Sources, Watching
from visualizer.settings import Settings
from visualizer.streams import Streams, StreamSettings, set_at_shutdown


def build(settings: Settings, roles: Roles) -> Service:
    """The service of one process."""
    foundation = Foundation(SERVICE, settings)
    records = RedisRecords(foundation.redis, BOARD_RECORDS, Board, active=lambda _: True)
    visualizers: Mapping[str, Visualizer] = {
        BUILTIN: BuiltinVisualizer(),
        **load_plugins(VISUALIZERS, checked_visualizer).found,
    }
    sources = _sources(settings)
    app = foundation.app()
    if roles.api:
        stopping = threading.Event()
        set_at_shutdown(stopping)
        freshness = Freshness(main=settings.page_refresh, other=2 * settings.page_refresh)
        register(
            app,
            BoardService(records, foundation.wakeups, visualizers, settings.base_url, foundation.clock),
            Pages(
                watching=Watching(sources, foundation.metrics, foundation.clock, freshness),
                streams=Streams(
                    StreamSettings(settings.stream_limit, settings.page_refresh), foundation.clock, stopping
                ),
            ),
            settings.service_token.get_secret_value(),
        )
    if not roles.loop:
        return foundation.service_of(app, None)
    known = _known_ids(sources, foundation.clock, settings.board_check)
    steps = BoardSteps(records, visualizers, known, foundation.clock, settings.board_check)
    return foundation.service_of(app, foundation.loop(steps))


def _sources(settings: Settings) -> RestSources:
    token = settings.service_token.get_secret_value()

    def client(base: str) -> ServiceClient:
        """Without retries: a page rather says that a service is away and looks again."""
        return ServiceClient(base, token, timeout=settings.page_timeout, retries=0)

    return RestSources(client(settings.manager_url), client(settings.controller_url), client(settings.monitor_url))


def _known_ids(sources: Sources, clock: Clock, ttl: float) -> Callable[[], Set[str] | None]:
    feed: Feed[Set[str]] = Feed(clock, ttl, keys=1)

    def known() -> Set[str] | None:
        reading = feed.get("", lambda: frozenset(sources.submissions()))
        return None if reading.problem else reading.value

    return known
