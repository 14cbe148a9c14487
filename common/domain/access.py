"""What each service may have to do in a cluster, and the findings of a look whether it can. Pure.

``NEEDS`` is what the roles in ``k8s/base/rbac.yaml`` grant, no more and no less; a test compares the two, and holds
them against the requests the adapter really makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

OLDEST_VERSION = (1, 29)
"""The first Kubernetes with everything the suite uses (per-index back-off, pod replacement policy)."""


@dataclass(frozen=True, order=True)
class Access:
    """One right, as Kubernetes' authorization names it. ``group`` is empty for the core API."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespaced: bool = True

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f"/{self.subresource}" if self.subresource else "")


def _all(verbs: str, resource: str, group: str = "", subresource: str = "") -> frozenset[Access]:
    return frozenset(Access(verb, resource, group, subresource) for verb in verbs.split())


_NAMESPACE = _all("get", "namespaces")
_FULL = "create get list watch delete deletecollection"
NEEDS: Mapping[str, frozenset[Access]] = {
    "manager": _all(_FULL, "jobs", "batch")
    | _all("get list watch delete deletecollection", "pods")
    | _all("get", "pods", subresource="log")
    | _all("create get deletecollection", "deployments", "apps")
    | _all("create get deletecollection", "services")
    | _all(f"{_FULL} patch", "secrets")
    | _all(f"{_FULL} patch", "configmaps")
    | _all("get list watch", "events")
    | _NAMESPACE
    | {Access("list", "nodes", namespaced=False)},
    "controller": _all("get list watch patch", "jobs", "batch")
    | _all("get list watch", "pods")
    | _all("get", "pods", subresource="log")
    | _NAMESPACE
    | {Access("list", "nodes", namespaced=False), Access("list", "pods", namespaced=False)},
    "monitor": _all("get list watch", "jobs", "batch")
    | _all("get list watch", "pods")
    | _all("list", "pods", "metrics.k8s.io")
    | _NAMESPACE,
}
"""By service; the visualizer never speaks to a cluster."""


class Finding(BaseModel):
    """One thing looked at: by which service, what, whether it is as it has to be, and if not, what to do."""

    model_config = ConfigDict(frozen=True)

    service: str
    name: str
    ok: bool
    message: str = ""


class ClusterReport(BaseModel):
    """All that was looked at."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    findings: tuple[Finding, ...]


def report_of(findings: Iterable[Finding]) -> ClusterReport:
    """The report on these findings: good when each is."""
    kept = tuple(findings)
    return ClusterReport(ok=all(finding.ok for finding in kept), findings=kept)


def is_recent(version: str) -> bool | None:
    """Whether a server of that version (``v1.32.1+k3s1``) has what the suite uses; None for what is no version."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) >= OLDEST_VERSION if numbers else None
