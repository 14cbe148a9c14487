"""The whole suite's look at its cluster: the manager's own, and what controller and monitor say of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from common.cluster_check import check_cluster
from common.domain.access import ClusterReport, Finding, report_of
from common.domain.errors import AsperathosError
from common.ports import Cluster
from manager.service import MANAGER


class Colleague(Protocol):
    """Another service that uses the cluster."""

    def cluster_report(self) -> ClusterReport:
        """Its report. Raises AsperathosErrors when it gives none."""


class ClusterCheck:
    """``namespace`` is where submissions that name none run; ``colleagues`` by service."""

    def __init__(self, cluster: Cluster, namespace: str, colleagues: Mapping[str, Colleague]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._colleagues = colleagues

    def report(self) -> ClusterReport:
        """Everything that was found. Never raises for what does not answer: that is a finding."""
        own = check_cluster(self._cluster, self._namespace, MANAGER).findings
        return report_of([*own, *self._others()])

    def _others(self) -> Iterator[Finding]:
        for service, colleague in self._colleagues.items():
            try:
                yield from colleague.cluster_report().findings
            except AsperathosError as error:
                yield Finding(service=service, name="service", ok=False, message=error.message)
