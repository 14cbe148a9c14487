"""What is said of a cluster that lacks something."""

from __future__ import annotations

import pytest

from common.cluster_check import check_cluster
from common.domain.access import NEEDS, Access, ClusterReport, Finding, is_recent
from common.domain.cluster import NodeView
from common.domain.errors import Unavailable
from manager.clustercheck import ClusterCheck
from tests.fakes.cluster import FakeCluster


class Other:
    """Implements manager.clustercheck.Colleague."""

    def __init__(self, report: ClusterReport | None) -> None:
        self._report = report

    def cluster_report(self) -> ClusterReport:
        if self._report is None:
            raise Unavailable("it does not answer")
        return self._report


def missing(report: ClusterReport) -> dict[tuple[str, str], str]:
    return {(finding.service, finding.name): finding.message for finding in report.findings if not finding.ok}


@pytest.mark.parametrize("service", sorted(NEEDS))
def test_a_cluster_that_has_everything(service: str) -> None:
    report = check_cluster(FakeCluster(), "default", service)
    assert report.ok and missing(report) == {}
    names = {finding.name for finding in report.findings}
    assert {"reachable", "version", "namespace"} | {str(access) for access in NEEDS[service]} <= names
    assert ("nodes" in names) == (service != "monitor")


def test_an_absent_cluster_is_one_finding() -> None:
    cluster = FakeCluster()
    cluster.down = True
    report = check_cluster(cluster, "default", "manager")
    assert not report.ok
    assert [finding.name for finding in report.findings] == ["reachable"]
    assert cluster.calls == ["version"]


def test_each_lack_is_named() -> None:
    cluster = FakeCluster()
    cluster.kubernetes = "v1.28.9+k3s1"
    cluster.denied = {Access("create", "secrets"), Access("list", "nodes", namespaced=False)}
    found = missing(check_cluster(cluster, "absent", "manager"))
    assert {name for _, name in found} == {"version", "namespace", "create secrets", "list nodes"}
    assert "1.29" in found["manager", "version"]
    assert "kubectl create namespace absent" in found["manager", "namespace"]
    assert found["manager", "list nodes"].startswith("not allowed in the cluster")


def test_nodes_that_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "nodes", lambda: [NodeView("a", False, 1, 1, 1), NodeView("b", False, 1, 1, 1)])
    assert missing(check_cluster(cluster, "default", "manager")) == {
        ("manager", "nodes"): "0 of 2 ready: no pod can run"
    }


def test_what_cannot_be_asked_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[NodeView]:
        raise Unavailable("too slow")

    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "nodes", refuse)
    assert missing(check_cluster(cluster, "default", "manager")) == {("manager", "nodes"): "too slow"}


def test_the_others_are_asked_too() -> None:
    bad = ClusterReport(ok=False, findings=(Finding(service="controller", name="patch jobs.batch", ok=False),))
    colleagues = {"controller": Other(bad), "monitor": Other(None)}
    report = ClusterCheck(FakeCluster(), "default", colleagues, probe=list).report()
    assert missing(report) == {
        ("controller", "patch jobs.batch"): "",
        ("monitor", "service"): "it does not answer",
    }


@pytest.mark.parametrize(
    ("version", "recent"),
    [("v1.29.0", True), ("v1.36.1+k3s1", True), ("1.30", True), ("v2.0.0", True), ("v1.28.15", False), ("", None)],
)
def test_versions(version: str, recent: bool | None) -> None:
    assert is_recent(version) is recent
