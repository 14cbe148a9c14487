"""The benchmark of the monitor: which bars it says are missed, and the cluster it lets the monitor look at."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.monitor import missed
from benchmarks.quiet_cluster import quiet_cluster
from common.adapters.kubernetes_cluster import KubernetesCluster
from common.domain.progress import Usage

GOOD = {
    "period in seconds": 2.0,
    "cores used by the monitor": 0.6,
    "requests to InfluxDB a second": 1.0,
    "share of the measurements kept": 0.999,
    "failed steps": 0.0,
}


@pytest.mark.parametrize(
    ("figure", "value", "told"),
    [
        ("cores used by the monitor", 1.2, "1.2 cores"),
        ("requests to InfluxDB a second", 2.0, "2.0 requests"),
        ("share of the measurements kept", 0.5, "50.0%"),
        ("failed steps", 3.0, "3 steps"),
    ],
)
def test_each_missed_bar_is_named(figure: str, value: float, told: str) -> None:
    assert missed(GOOD) == []
    (bar,) = missed({**GOOD, figure: value})
    assert told in bar


def test_half_a_core_is_the_bar_at_five_seconds() -> None:
    assert missed({**GOOD, "period in seconds": 5.0}) == ["0.6 cores, not under 0.5"]


def test_the_quiet_cluster_shows_what_it_was_told(tmp_path: Path) -> None:
    with (
        quiet_cluster(tmp_path, ["kj-1", "kj-2"], 3) as kubeconfig,
        closing(KubernetesCluster(str(kubeconfig))) as cluster,
    ):
        view = cluster.view("default", "kj-2")
        assert [pod.index for pod in view.workers()] == [-1, -1, -1] and all(pod.running for pod in view.pods)
        assert view.jobs[0].requested == 3
        usage = cluster.usage("default")
        assert usage is not None and len(usage) == 6
        assert usage["kj-2-g1-0"] == Usage(cpu=0.25, memory=64.0 * 2**20, pods=1)
