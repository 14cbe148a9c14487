"""What pods use, by an API server that serves metrics.k8s.io, or not, or not to us."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.adapters.kubernetes_api import Answer
from common.adapters.kubernetes_usage import FRESH, UsageReader, usage_by_pod
from common.domain.errors import ClusterError, Unavailable
from common.domain.progress import Usage
from tests.fakes.clock import FakeClock

LISTED = {
    "kind": "PodMetricsList",
    "items": [
        {
            "metadata": {"name": "kj-1-g1-0-abcde", "namespace": "work"},
            "timestamp": "2026-01-01T00:00:00Z",
            "window": "15.2s",
            "containers": [
                {"name": "worker", "usage": {"cpu": "1250000000n", "memory": "65536Ki"}},
                {"name": "beside", "usage": {"cpu": "250u", "memory": "1Mi"}},
            ],
        },
        {"metadata": {"name": "odd"}, "containers": [{"usage": {"cpu": "much"}}]},
        {"metadata": {"name": "bare"}, "containers": []},
    ],
}


class _Api:
    """Plays KubernetesApi."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: dict[str, Any] | Exception = LISTED

    def call(self, method: str, path: str, query: object = ()) -> Answer:
        self.asked.append(f"{method} {path} {query}")
        if isinstance(self.says, Exception):
            raise self.says
        return Answer(200, json.dumps(self.says).encode())


@pytest.fixture
def api() -> _Api:
    return _Api()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reader(api: _Api, clock: FakeClock) -> UsageReader:
    return UsageReader(api, clock)  # type: ignore[arg-type]


def test_containers_are_added_up_and_nonsense_is_left_out() -> None:
    assert usage_by_pod(LISTED) == {"kj-1-g1-0-abcde": Usage(cpu=1.25025, memory=65.0 * 2**20, pods=1)}
    assert usage_by_pod({}) == {}


def test_one_list_serves_all_submissions_of_a_namespace_for_a_while(
    reader: UsageReader, api: _Api, clock: FakeClock
) -> None:
    for _ in range(1000):
        assert reader.of("work") == usage_by_pod(LISTED)
    assert len(api.asked) == 1 and "/namespaces/work/pods" in api.asked[0] and "asperathos.io" in api.asked[0]
    clock.advance(FRESH)
    reader.of("work")
    reader.of("other")
    assert len(api.asked) == 3


def test_a_cluster_without_it_is_asked_seldom(reader: UsageReader, api: _Api, clock: FakeClock) -> None:
    api.says = ClusterError("the server could not find the requested resource", "NotFound")
    assert reader.of("work") is None
    clock.advance(5 * FRESH)
    assert reader.of("work") is None
    assert len(api.asked) == 1
    clock.advance(FRESH)
    api.says = LISTED
    assert reader.of("work")


@pytest.mark.parametrize("error", [ClusterError("not to you", "Forbidden"), Unavailable("away")])
def test_what_was_refused_or_silent_is_said_and_nothing_old_is_told(
    reader: UsageReader, api: _Api, clock: FakeClock, error: Exception
) -> None:
    reader.of("work")
    clock.advance(FRESH)
    api.says = error
    for _ in range(2):
        with pytest.raises(type(error)):
            reader.of("work")
    assert len(api.asked) == 2


def test_while_one_thread_asks_the_others_go_on(reader: UsageReader, api: _Api) -> None:
    def asks(method: str, path: str, query: object = ()) -> Answer:
        api.call = _Api().call  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="being asked for"):
            reader.of("work")
        return Answer(200, json.dumps(LISTED).encode())

    api.call = asks  # type: ignore[method-assign]
    assert reader.of("work") == usage_by_pod(LISTED)
