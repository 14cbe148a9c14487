from __future__ import annotations

import pytest

from common.domain.cluster import SubmissionView
from common.domain.errors import ClusterError
from monitor.views import Views
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters


class _Cluster(FakeCluster):
    """Takes ``seconds`` for each view."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0) -> None:
        super().__init__(clock)
        self.seconds = seconds
        self.forbids = False

    def view(self, namespace: str, submission: str) -> SubmissionView:
        self.clock.sleep(self.seconds)
        if self.forbids:
            raise ClusterError("no", "Forbidden")
        return super().view(namespace, submission)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_every_view_is_asked_for_while_the_cluster_answers(clock: FakeClock) -> None:
    cluster = _Cluster(clock)
    views = Views(FakeClusters(cluster), clock)
    assert [views.get("default", "a") for _ in range(3)] == [SubmissionView()] * 3
    assert cluster.calls == ["views"] * 3


@pytest.mark.parametrize(("seconds", "pause"), [(0.0, 1.0), (6.0, 12.0), (60.0, 20.0)])
def test_a_cluster_that_failed_is_not_asked_again_at_once(clock: FakeClock, seconds: float, pause: float) -> None:
    cluster = _Cluster(clock, seconds)
    cluster.down = True
    views = Views(FakeClusters(cluster), clock)
    assert views.get("default", "a") is None
    clock.advance(pause - 0.01)
    assert views.get("default", "b") is None
    assert len(cluster.calls) == 1
    cluster.down = False
    clock.advance(0.02)
    assert views.get("default", "a") == SubmissionView()
    assert views.get("default", "b") == SubmissionView()


def test_another_namespace_is_asked_all_the_same(clock: FakeClock) -> None:
    cluster = _Cluster(clock)
    cluster.down = True
    views = Views(FakeClusters(cluster), clock)
    views.get("one", "a")
    cluster.down = False
    assert views.get("one", "a") is None
    assert views.get("two", "a") == SubmissionView()


def test_a_refusal_is_no_answer_either(clock: FakeClock) -> None:
    cluster = _Cluster(clock)
    cluster.forbids = True
    assert Views(FakeClusters(cluster), clock).get("default", "a") is None


def test_a_silent_cluster_does_not_silence_another(clock: FakeClock) -> None:
    silent, other = _Cluster(clock), _Cluster(clock)
    silent.down = True
    views = Views(FakeClusters(silent, {"east": other}), clock)
    assert views.get("default", "a") is None
    assert views.get("default", "a", "east") is not None
    assert views.get("default", "a", "gone") is None
