"""The Clusters port: the default cluster of the settings, and those whose kubeconfigs are in the records."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.adapters.redis_records import RedisRecords
from common.adapters.sealing import Seals
from common.clock import SystemClock
from common.domain.clusters import CLUSTER_RECORDS, ClusterRecord, inlined, missing, runs_programs
from common.domain.errors import ClusterError, Unavailable
from common.ports import Clock, Cluster, Records, Sealing
from common.settings import CommonSettings


@dataclass
class _Connection:
    record: ClusterRecord
    cluster: KubernetesCluster
    checked: float


class KubernetesClusters:
    """Implements ports.Clusters. Threads may share it.

    A connection is kept as long as its record is the same, which is looked at every ``check`` seconds, and while it is
    among the ``most`` used last. With ``programs`` a kubeconfig may name a program that gives its credentials.
    """

    def __init__(
        self,
        default: Cluster,
        default_name: str,
        records: Records[ClusterRecord],
        sealing: Sealing,
        connect: Callable[[Mapping[str, Any]], KubernetesCluster],
        *,
        programs: bool = False,
        clock: Clock | None = None,
        check: float = 2.0,
        most: int = 64,
    ) -> None:
        self._default = default
        self._default_name = default_name
        self._records = records
        self._sealing = sealing
        self._connect = connect
        self._programs = programs
        self._clock = clock or SystemClock()
        self._check = check
        self._most = most
        self._lock = threading.Lock()
        self._connections: OrderedDict[str, _Connection] = OrderedDict()

    def at(self, name: str) -> Cluster:
        if name in ("", self._default_name):
            return self._default
        now = self._clock.monotonic()
        with self._lock:
            connection = self._connections.get(name)
            if connection is not None:
                self._connections.move_to_end(name)
                if now - connection.checked < self._check:
                    return connection.cluster
        kept = self._records.get(name)
        if kept is None:
            self.forget(name)
            raise ClusterError(f"there is no cluster named {name} (any more)", "UnknownCluster")
        with self._lock:
            connection = self._connections.get(name)
            if connection is not None and connection.record == kept.value:
                connection.checked = now
                return connection.cluster
        made = _Connection(kept.value, self._connect(self._config(kept.value)), now)
        with self._lock:
            replaced = self._connections.pop(name, None)
            self._connections[name] = made
            dropped = [replaced] if replaced is not None else []
            while len(self._connections) > self._most:
                dropped.append(self._connections.popitem(last=False)[1])
        for old in dropped:
            old.cluster.close()
        return made.cluster

    def forget(self, name: str) -> None:
        with self._lock:
            connection = self._connections.pop(name, None)
        if connection is not None:
            connection.cluster.close()

    def _config(self, record: ClusterRecord) -> dict[str, Any]:
        try:
            certificates = {name: self._sealing.open(sealed) for name, sealed in record.certificates.items()}
            config = inlined(json.loads(self._sealing.open(record.config)), certificates)
        except Unavailable as error:
            raise Unavailable(f"the kubeconfig of cluster {record.name} cannot be read: {error.message}") from error
        lacking = missing(config)
        if lacking:
            raise Unavailable(f"cluster {record.name} lacks the certificates {', '.join(lacking)}")
        if runs_programs(config) and not self._programs:
            raise Unavailable(f"the kubeconfig of cluster {record.name} names a program, which is not allowed here")
        return config


def connect_clusters(
    client: redis.Redis,
    settings: CommonSettings,
    timeout: float = 5.0,
    clock: Clock | None = None,
    resumed: Callable[[], None] = lambda: None,
) -> KubernetesClusters:
    """The clusters a service works with. ``timeout`` bounds a server's silence in one request, in seconds; ``resumed``
    is told of each watch that is open again after one that broke."""
    return KubernetesClusters(
        KubernetesCluster(settings.kubeconfig, timeout, clock=clock, resumed=resumed),
        settings.default_cluster,
        RedisRecords(client, CLUSTER_RECORDS, ClusterRecord),
        seals(settings),
        lambda config: KubernetesCluster(timeout=timeout, clock=clock, document=config, resumed=resumed),
        programs=settings.kubeconfig_programs,
        clock=clock,
    )


def seals(settings: CommonSettings) -> Seals:
    """What seals kubeconfigs: the key set for it, else the services' token, which pods never see."""
    return Seals(settings.cluster_key.get_secret_value() or settings.service_token.get_secret_value())
