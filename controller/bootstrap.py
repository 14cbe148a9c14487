"""Builds the controller: the only place that knows which adapters there are."""

from __future__ import annotations

from common.adapters.kubernetes_clusters import connect_clusters
from common.adapters.redis_board import RedisBoard
from common.adapters.redis_history import RedisTexts
from common.adapters.redis_queue import RedisQueues
from common.adapters.redis_records import RedisRecords
from common.bootstrap import Foundation, Roles
from common.cluster_check import check_cluster
from common.domain.errors import Unavailable
from common.domain.events import OBSERVATION_RECORDS
from common.domain.progress import Observation
from common.http.cluster_route import register_cluster_check
from common.http.server import Service
from controller.api import register
from controller.arbiter import Demand
from controller.arbitration import DEMANDS, Arbitration
from controller.capacity import OFFERS, Capacities, CapacityRules, CapacitySteps, Offer
from controller.counting import CountedDecisions, outcome
from controller.lawbook import LawBook, read_laws
from controller.loop import ScalingLoop, World
from controller.record import CAPS, RECORDS, Cap, Scaling
from controller.routes import TABLE
from controller.service import SERVICE, ScalingService
from controller.settings import Settings


def build(settings: Settings, roles: Roles) -> Service:
    """The app and the loop of one controller process."""
    foundation = Foundation(SERVICE, settings)
    laws = read_laws()
    records = RedisRecords(foundation.redis, RECORDS, Scaling, active=lambda record: record.active)
    caps = RedisRecords(foundation.redis, CAPS, Cap)
    decisions = foundation.telemetry.decisions
    journal = CountedDecisions(
        foundation.journal, lambda decided: decisions.labels(SERVICE, decided.law, outcome(decided)).inc()
    )
    clusters = connect_clusters(
        foundation.redis,
        settings,
        settings.cluster_timeout,
        resumed=foundation.telemetry.reconnected("kubernetes"),
    )
    rules = CapacityRules(settings.capacity, settings.default_cluster)
    offers = RedisRecords(foundation.redis, OFFERS, Offer)
    capacities = Capacities(rules, offers, clusters, foundation.clock)
    arbitration = Arbitration(RedisBoard(foundation.redis, DEMANDS, Demand), capacities)
    loop = None
    if roles.loop:
        world = World(
            records=records,
            caps=caps,
            observations=RedisRecords(foundation.redis, OBSERVATION_RECORDS, Observation),
            journal=journal,
            queues=RedisQueues(foundation.redis),
            clusters=clusters,
            texts=RedisTexts(foundation.redis),
            clock=foundation.clock,
            laws=laws,
            arbitration=arbitration,
        )
        loop = foundation.loop(CapacitySteps(ScalingLoop(world), capacities))
    checks = {"laws": lambda: _check_laws(laws)}
    app = foundation.app(checks if loop is None else {**checks, "loop": loop.check})
    if roles.api:
        service = ScalingService(
            records,
            caps,
            journal,
            foundation.wakeups,
            foundation.clock,
            laws,
            arbitration,
            settings.scaling_keep,
        )
        register(app, service)
        foundation.describe(app, TABLE)
        register_cluster_check(app, lambda: check_cluster(clusters.at(""), settings.namespace, SERVICE))
    return foundation.service_of(app, loop)


def _check_laws(laws: LawBook) -> None:
    if not laws.laws:
        raise Unavailable("no law is installed: entry points are missing, install the distribution (pip install -e .)")
