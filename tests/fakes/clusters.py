"""Several clusters in memory."""

from __future__ import annotations

from common.domain.errors import ClusterError
from common.ports import Cluster


class FakeClusters:
    """Implements ports.Clusters: ``default``, and others by name."""

    def __init__(self, default: Cluster, others: dict[str, Cluster] | None = None) -> None:
        self.others = others or {}
        self.default = default
        self.forgotten: list[str] = []

    def at(self, name: str) -> Cluster:
        if name in ("", "default"):
            return self.default
        if name not in self.others:
            raise ClusterError(f"there is no cluster named {name} (any more)", "UnknownCluster")
        return self.others[name]

    def forget(self, name: str) -> None:
        self.forgotten.append(name)
