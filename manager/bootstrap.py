"""Builds the manager: the only place that knows which adapters there are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from asperathos_worker.queue.redis_queue import RedisQueue

from common.adapters.kubernetes_clusters import connect_clusters, seals
from common.adapters.redis_acl import RedisAcl
from common.adapters.redis_board import RedisBoard
from common.adapters.redis_coordination import RedisClaims
from common.adapters.redis_history import RedisTexts
from common.adapters.redis_queue import RedisQueues
from common.adapters.redis_records import RedisRecords
from common.bootstrap import Door, Foundation, Roles
from common.domain.access import ClusterReport
from common.domain.accounts import TOKEN_RECORDS, USER_RECORDS, Token, User
from common.domain.clusters import ACTIVE_RECORDS, CLUSTER_RECORDS, ActiveCluster, ClusterRecord
from common.domain.events import OBSERVATION_RECORDS, SUBMISSION_RECORDS
from common.domain.pods import IMAGE_USER
from common.domain.progress import Observation
from common.domain.submission import Submission
from common.http.client import ServiceClient
from common.http.cluster_route import CLUSTER_CHECK, register_cluster_check
from common.http.server import Service
from common.http.telemetry import SUBMISSIONS
from common.logging import get_logger
from common.loop import Loop
from common.ports import Clock, Cluster
from manager.admission import Admission, KnownLaws, RestLaws
from manager.announcing import Announcer, Others
from manager.api import register
from manager.book import Book
from manager.census import Census
from manager.clustercheck import ClusterCheck
from manager.clusters import ClusterRegistry, ClusterStores
from manager.following import FollowRules
from manager.histories import HISTORY_RECORDS, Histories, PastRuns
from manager.inline import InlineItems
from manager.item_api import register_items
from manager.item_desk import DeskRules, ItemDesk
from manager.item_tokens import ItemTokens, shared_secret
from manager.keyring import Keyring
from manager.launching import Launcher
from manager.lifecycle import LifecycleRules
from manager.line import LINE_RECORDS, Line, LineSteps, Standing
from manager.loading import Loader
from manager.logkeeping import LogKeeper
from manager.loop import LoopRules, ManagerLoop, Tools
from manager.manifests import ManifestSettings
from manager.orphans import Orphans, installation_of
from manager.outlook import Outlook, RestForeseer
from manager.permissions import Permissions
from manager.quotas import HELD, Held, Quotas
from manager.reach import ProbeSettings, ReachProbe, targets
from manager.reports import Reports
from manager.routes import TABLE
from manager.runner_archive import NoArchive, RunnerArchive, read_archive
from manager.service import MANAGER, ManagerService, Stores
from manager.settings import Settings
from manager.user_api import register_users
from manager.users import UserBook
from manager.workload import open_items

log = get_logger(__name__)
_QUOTAS_KEPT = 400 * 86400.0
"""Seconds: longer than any submission is expected to run."""
_LOOP_TIMEOUT = 2.0
"""Seconds another service gets to answer the loop: a step must stay short, and it is tried again."""
_REPORT_TIMEOUT = 30.0
"""Seconds the monitor gets to read a submission's series: days of them take some."""
_CHECK_TIMEOUT = 15.0
"""Seconds another service gets to look at its cluster: longer than it waits for a server that does not answer."""


@dataclass(frozen=True)
class _MonitorsReports:
    """Implements reports.DetailedReports: the monitor keeps the series."""

    client: ServiceClient

    def detailed(self, id: str, partial: bool = False, rows: int | None = None) -> Any:
        asked = ([] if rows is None else [f"rows={rows}"]) + (["partial=true"] if partial else [])
        return self.client.get_json(f"/monitoring/{id}/report/detailed?{'&'.join(asked)}")


@dataclass(frozen=True)
class _ClusterColleague:
    """Implements clustercheck.Colleague."""

    client: ServiceClient

    def cluster_report(self) -> ClusterReport:
        return self.client.get(CLUSTER_CHECK, ClusterReport)


def build(settings: Settings, roles: Roles) -> Service:
    """The app and the loop of one manager process."""
    foundation = Foundation(MANAGER, settings)
    stores = Stores(
        # A record needs attention until it is deleted: the loop removes it when nothing is to be kept any longer.
        records=RedisRecords(foundation.redis, SUBMISSION_RECORDS, Submission, active=lambda _: True),
        observations=RedisRecords(foundation.redis, OBSERVATION_RECORDS, Observation),
        journal=foundation.journal,
        texts=RedisTexts(foundation.redis),
        queues=RedisQueues(foundation.redis, settings.redis_timeout),
        clusters=connect_clusters(foundation.redis, settings, resumed=foundation.telemetry.reconnected("kubernetes")),
        wakeups=foundation.wakeups,
        claims=RedisClaims(foundation.redis),
        clock=foundation.clock,
    )
    histories = Histories(
        RedisRecords(foundation.redis, HISTORY_RECORDS, PastRuns),
        stores.observations,
        foundation.clock,
        settings.history_keep,
        settings.history_most,
    )
    foundation.telemetry.tell(SUBMISSIONS, Census(stores.records).by_state, foundation.clock)
    loop = _loop(foundation, settings, stores, histories) if roles.loop else None
    door = Door(origins=(settings.cors_origin,))
    app = foundation.app({"loop": loop.check} if loop is not None else None, door)
    if roles.api:
        controller = foundation.client(settings.controller_url, timeout=_LOOP_TIMEOUT, retries=1)
        laws = KnownLaws(RestLaws(controller), foundation.clock)
        admission = Admission(settings, laws, permissions=_permissions(settings))
        clusters = _registry(foundation, settings, stores)
        outlook = Outlook(
            RestForeseer(controller),
            histories,
            lambda workload: open_items(workload, settings),
            foundation.clock,
            settings.admission,
        )
        held = RedisBoard(foundation.redis, HELD, Held, _QUOTAS_KEPT)
        quotas = Quotas(held, stores.records, settings.max_items)
        line = _line(foundation, settings, stores)
        service = ManagerService(stores, admission, clusters, outlook, quotas, line, settings.idempotency_keep)
        monitor = _MonitorsReports(foundation.client(settings.monitor_url, timeout=_REPORT_TIMEOUT))
        following = FollowRules(most=settings.log_followers, limit=settings.log_follow_limit)
        reports = Reports(stores, service, monitor, settings.namespace, following)
        register(app, service, reports, clusters, histories, settings.max_item, settings.cors_origin)
        register_items(app, _item_desk(foundation, settings, service), _item_tokens(settings, stores))
        users = UserBook(
            RedisRecords(foundation.redis, USER_RECORDS, User),
            RedisRecords(foundation.redis, TOKEN_RECORDS, Token),
            foundation.clock,
        )
        register_users(app, users, foundation.audit)
        foundation.describe(app, TABLE)
        colleagues = {
            name: _ClusterColleague(foundation.client(url, timeout=_CHECK_TIMEOUT, retries=0))
            for name, url in (("controller", settings.controller_url), ("monitor", settings.monitor_url))
        }
        cluster = stores.clusters.at("")
        probe = _probe(settings, cluster, stores.clock)
        check = ClusterCheck(cluster, settings.namespace, colleagues, probe.look)
        register_cluster_check(app, check.report, check.probed)
    return foundation.service_of(app, loop)


def _item_desk(foundation: Foundation, settings: Settings, service: ManagerService) -> ItemDesk:
    rules = DeskRules(settings.claim_wait, max(1, settings.threads // 4), settings.result_limit)
    return ItemDesk(
        lambda id: service.find(id).value, lambda id: RedisQueue(foundation.redis, id), foundation.clock, rules
    )


def _item_tokens(settings: Settings, stores: Stores) -> ItemTokens:
    return ItemTokens(shared_secret(stores.claims, settings.items_secret.get_secret_value()))


def _registry(foundation: Foundation, settings: Settings, stores: Stores) -> ClusterRegistry:
    return ClusterRegistry(
        ClusterStores(
            clusters=RedisRecords(foundation.redis, CLUSTER_RECORDS, ClusterRecord),
            active=RedisRecords(foundation.redis, ACTIVE_RECORDS, ActiveCluster),
            submissions=stores.records,
            connections=stores.clusters,
            sealing=seals(settings),
            clock=stores.clock,
        ),
        settings.default_cluster,
        settings.kubeconfig_programs,
    )


def _loop(foundation: Foundation, settings: Settings, stores: Stores, histories: Histories) -> Loop:
    clock = foundation.clock
    if not settings.redis_acl:
        log.warning("workers_share_the_suites_access", setting="ASPERATHOS_REDIS_ACL")
    others = Others(
        *(
            foundation.client(url, timeout=_LOOP_TIMEOUT, retries=0)
            for url in (settings.monitor_url, settings.controller_url, settings.visualizer_url)
        )
    )
    rules = LoopRules(
        lifecycle=LifecycleRules(crash_pods=settings.crash_pods),
        launch_patience=settings.launch_patience,
        forget_patience=settings.forget_patience,
        stream_retain=settings.stream_retain,
        result_limit=settings.result_limit,
    )
    keyring = Keyring(RedisAcl(foundation.redis) if settings.redis_acl else None)
    tools = Tools(
        book=Book(stores.records, stores.journal, clock),
        queues=stores.queues,
        launcher=Launcher(stores.clusters, _manifest_settings(settings), _item_tokens(settings, stores).token),
        keyring=keyring,
        histories=histories,
        announcer=Announcer(others, clock, settings.namespace, histories),
        loader=Loader(
            lambda workload: open_items(workload, settings),
            clock,
            settings.load_batch,
            longest=settings.workload_longest,
            workload_of=InlineItems(stores.records).workload,
        ),
        logs=LogKeeper(stores.clusters, stores.texts),
        texts=stores.texts,
        metrics=foundation.metrics,
        leases=foundation.leases,
        clock=clock,
        orphans=Orphans(
            stores.clusters,
            settings.namespace,
            _installation(settings),
            lambda id: stores.records.get(id) is not None,
            keyring,
            clock,
        ),
        archive=lambda id: RedisQueue(foundation.redis, id),
    )
    steps = ManagerLoop(tools, rules)
    return foundation.loop(LineSteps(steps, _line(foundation, settings, stores), clock), steps.forget_all)


def _line(foundation: Foundation, settings: Settings, stores: Stores) -> Line:
    standing = RedisRecords(foundation.redis, LINE_RECORDS, Standing)
    return Line(
        stores.records, standing, foundation.wakeups, foundation.clock, settings.max_running, settings.max_waiting
    )


def _probe(settings: Settings, cluster: Cluster, clock: Clock) -> ReachProbe:
    manifests = _manifest_settings(settings)
    script = resources.files("manager").joinpath("pod_probe.py").read_text(encoding="utf-8")
    return ReachProbe(
        cluster,
        targets(manifests.worker_redis_url, manifests.worker_manager_url),
        ProbeSettings(
            settings.namespace, settings.check_image or settings.default_image, script, settings.check_timeout
        ),
        clock,
    )


def _manifest_settings(settings: Settings) -> ManifestSettings:
    redis_url = settings.worker_redis_url.get_secret_value() or settings.redis_url.get_secret_value()
    runner = _runner(settings)
    return ManifestSettings(
        namespace=settings.namespace,
        installation=_installation(settings),
        worker_redis_url=redis_url,
        worker_manager_url=settings.worker_manager_url or settings.manager_url,
        default_image=settings.default_image,
        runner_command=settings.runner_command or ManifestSettings.runner_command,
        runner=runner,
        queue_image=settings.queue_image,
        queue_command=settings.queue_command,
        result_limit=settings.result_limit,
        run_as_non_root=settings.run_as_non_root,
        default_user=None if settings.default_user == IMAGE_USER else settings.default_user,
        priority_classes=settings.priority_classes,
        job_ttl=settings.job_ttl,
    )


def _installation(settings: Settings) -> str:
    return installation_of(settings.cluster_key.get_secret_value() or settings.service_token.get_secret_value())


def _permissions(settings: Settings) -> Permissions:
    usual = () if settings.authenticated else None
    return Permissions(
        host_paths=settings.host_paths,
        non_root=settings.run_as_non_root,
        priorities=frozenset(settings.priority_classes),
        namespaces=usual if settings.namespaces is None else settings.namespaces,
        service_accounts=usual if settings.service_accounts is None else settings.service_accounts,
    )


def _runner(settings: Settings) -> RunnerArchive | None:
    """The archive, unless the operator says that images bring what calls a run: template, or there is none."""
    if settings.runner_command:
        return None
    try:
        return read_archive(settings.runner_archive)
    except NoArchive as error:
        log.warning(
            "no_runner_archive",
            problem=str(error),
            effect="a run: works in images with asperathos-worker installed only",
        )
        return None
