"""Builds the monitor: the only place that knows which adapters there are."""

from __future__ import annotations

from common.adapters.http_readings import HttpReadings
from common.adapters.kubernetes_clusters import connect_clusters
from common.adapters.redis_queue import RedisQueues
from common.adapters.redis_records import RedisRecords
from common.bootstrap import Foundation, Roles
from common.cluster_check import check_cluster
from common.domain.events import OBSERVATION_RECORDS
from common.domain.progress import Observation
from common.http.cluster_route import register_cluster_check
from common.http.server import Service
from common.http.telemetry import PROSPECTS, QUEUE_ITEMS
from monitor.api import register
from monitor.census import Census
from monitor.loop import MonitorLoop, World
from monitor.plugins import installed
from monitor.record import MONITORING_RECORDS, Monitoring
from monitor.routes import TABLE
from monitor.service import SERVICE, MonitorService
from monitor.settings import Settings


def build(settings: Settings, roles: Roles) -> Service:
    """The app and the loop of one monitor process."""
    foundation = Foundation(SERVICE, settings)
    monitors = installed()
    records = RedisRecords(foundation.redis, MONITORING_RECORDS, Monitoring, active=lambda kept: kept.active)
    metrics = foundation.metrics
    observations = RedisRecords(foundation.redis, OBSERVATION_RECORDS, Observation)
    clusters = connect_clusters(foundation.redis, settings, resumed=foundation.telemetry.reconnected("kubernetes"))
    census = Census(records, observations)
    foundation.telemetry.tell(QUEUE_ITEMS, census.items_by_place, foundation.clock)
    foundation.telemetry.tell(PROSPECTS, census.by_prospect, foundation.clock)
    loop = None
    if roles.loop:
        world = World(
            records=records,
            observations=observations,
            metrics=metrics,
            decisions=foundation.journal,
            queues=RedisQueues(foundation.redis),
            clusters=clusters,
            clock=foundation.clock,
            monitors=monitors,
            readings=HttpReadings(rules=settings.outbound),
        )
        loop = foundation.loop(MonitorLoop(world))
    app = foundation.app({"loop": loop.check} if loop is not None else None)
    if roles.api:
        service = MonitorService(records, observations, metrics, foundation.wakeups, foundation.clock, monitors)
        register(app, service)
        foundation.describe(app, TABLE)
        register_cluster_check(app, lambda: check_cluster(clusters.at(""), settings.namespace, SERVICE))
    return foundation.service_of(app, loop)
