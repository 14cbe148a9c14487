"""The clusters as the page shows them, whatever is answered about them."""

from __future__ import annotations

import json

from hypothesis import given

from common.domain.capacity import Capacity, Requests
from common.http.contracts import SharesView, ShareView
from tests.unit.visualizer.fake_sources import Fixture
from tests.unit.visualizer.test_reading import anything
from visualizer.clusters import Asked, Known, cluster_view, known_clusters
from visualizer.reading import row_of

NODES = {
    "nodes": [
        {"name": "a", "ready": True, "cpu": 8.0, "memory": 100.0, "pods": 110, "gpus": 2, "labels": {}},
        {"name": "b", "ready": False, "cpu": 8.0, "memory": 100.0, "pods": 110, "gpus": 0, "labels": {}},
        {"name": "odd"},
    ]
}
HERE = Known(name="default", active=True, default=True)


def test_what_is_there_and_who_uses_it() -> None:
    rows = [
        row_of("kj-1", {"status": "ongoing", "name": "tide", "replicas": {"observed": 3}}),
        row_of("kj-2", {"status": "ongoing", "cluster": "elsewhere"}),
        row_of("kj-3", {"status": "completed"}),
        row_of("kj-4", {"status": "loading", "cluster": "default"}),
    ]
    share = ShareView(wanted=8, granted=4, requests=Requests(cpu=0.5, memory=10.0), waiting_since=5.0)
    shares = SharesView(cluster="default", capacity=Capacity(replicas=6), shares={"kj-1": share, "kj-9": share})
    view = cluster_view(HERE, Asked(NODES, shares), rows)
    assert [node.name for node in view.nodes] == ["a", "b"]
    assert (view.offered.cpu, view.offered.gpus, view.offered.pods) == (8.0, 2, 110)
    assert {user.id for user in view.users} == {"kj-1", "kj-9", "kj-4"}
    assert (view.users[0].name, view.users[0].observed, view.users[0].granted) == ("tide", 3, 4)
    assert (view.used.replicas, view.used.cpu, view.used.memory) == (8, 4.0, 80.0)
    assert view.capacity == Capacity(replicas=6)


def test_without_shares_the_replicas_seen_are_what_is_used() -> None:
    view = cluster_view(HERE, Asked(None, None, ("away",)), [row_of("kj-1", {"replicas": {"observed": 3}})])
    assert (view.used.replicas, view.capacity, view.problems) == (3, None, ("away",))


@given(anything, anything)
def test_no_answer_breaks_the_page(listing: object, nodes: object) -> None:
    for known in known_clusters(listing):
        assert json.loads(cluster_view(known, Asked(nodes, None), ()).model_dump_json())["name"] == known.name


def test_the_active_cluster_comes_first_and_an_away_one_says_so() -> None:
    fixture = Fixture()
    fixture.sources.told_clusters = {
        "a": {"active": False, "default": True},
        "b": {"active": True, "server": "https://b"},
    }
    fixture.sources.told_nodes = {"a": NODES}
    fixture.sources.away = {"controller"}
    document = fixture.http.get("/api/clusters").json
    assert [(one["name"], one["server"]) for one in document["clusters"]] == [("b", "https://b"), ("a", "")]
    assert ["does not answer" in problem for problem in document["clusters"][0]["problems"]] == [True]
    assert len(document["clusters"][1]["nodes"]) == 2
    fixture.sources.away = {"manager"}
    fixture.clock.advance(60.0)
    document = fixture.http.get("/api/clusters").json
    assert [one["service"] for one in document["problems"]] == ["manager"]
    assert len(document["clusters"]) == 2
