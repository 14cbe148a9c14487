"""The whole suite's look at its cluster: the manager's own, and what controller and monitor say of theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from common.cluster_check import check_cluster
from common.domain.access import ClusterReport, Finding, report_of
from common.domain.errors import AsperathosError, Conflict
from common.ports import Cluster
from manager.service import MANAGER


class Colleague(Protocol):
    """Another service that uses the cluster."""

    def cluster_report(self) -> ClusterReport:
        """Its report. Raises AsperathosErrors when it gives none."""


class ClusterCheck:
    """``namespace`` is where submissions that name none run; ``colleagues`` by service; ``probe`` looks from a pod."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        colleagues: Mapping[str, Colleague],
        probe: Callable[[], Sequence[Finding]],
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._colleagues = colleagues
        self._probe = probe
        self._probing = threading.Lock()

    def report(self) -> ClusterReport:
        """Everything that was found. Never raises for what does not answer: that is a finding."""
        own = check_cluster(self._cluster, self._namespace, MANAGER).findings
        return report_of([*own, *self._others()])

    def probed(self) -> ClusterReport:
        """The same, and whether pods reach Redis and the manager. Raises Conflict while another one is under way."""
        if not self._probing.acquire(blocking=False):
            raise Conflict("a check with a pod is under way: try again when it has ended")
        try:
            looked = self.report().findings
            is_there = all(finding.ok for finding in looked if finding.name in ("reachable", "namespace"))
            return report_of([*looked, *(self._probe() if is_there else ())])
        finally:
            self._probing.release()

    def _others(self) -> Iterator[Finding]:
        for service, colleague in self._colleagues.items():
            try:
                yield from colleague.cluster_report().findings
            except AsperathosError as error:
                yield Finding(service=service, name="service", ok=False, message=error.message)
