"""Grafana as a strict double, and each query of each dashboard on a real InfluxDB with data in it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from common.adapters.influx_server import InfluxSettings
from common.domain.errors import Forbidden, Unauthorized, Unavailable
from common.domain.events import Event
from common.domain.metrics import COSTS, MEASUREMENTS, Point
from tests.fakes.clock import FakeClock
from tests.support.grafana_double import PASSWORD, TOKEN, USER, GrafanaDouble
from tests.support.influx import ask_as_grafana, influx_metrics
from tests.support.influx_process import InfluxProcess
from visualizer.boards import Board
from visualizer.grafana.client import GrafanaClient, GrafanaSettings
from visualizer.grafana.dashboards import BATCH, COST, OVERVIEW, STREAM, dashboards
from visualizer.grafana.provisioning import Source, datasource_of
from visualizer.grafana.visualizer import GrafanaVisualizer, Wanted

PAGES = "http://pages.example:5002"
PUBLIC = "https://grafana.example"
SOURCE = datasource_of(Source("http://influxdb:8086", "asperathos", "read-only"))
BOARD = Board(id="kj-1", visualizer="grafana", datasource="influxdb", created_at=1_700_000_000.0)


@pytest.fixture
def grafana() -> Iterator[GrafanaDouble]:
    made = GrafanaDouble()
    yield made
    made.stop()
    assert made.strays == []


def visualizer(url: str, clock: FakeClock | None = None, **way_in: str) -> GrafanaVisualizer:
    client = GrafanaClient(GrafanaSettings(url, timeout=2.0, **(way_in or {"token": TOKEN})))  # type: ignore[arg-type]
    return GrafanaVisualizer(client, Wanted(PUBLIC, SOURCE, dashboards(PAGES)), clock or FakeClock())


@pytest.mark.parametrize("way_in", [{"token": TOKEN}, {"username": USER, "password": PASSWORD}])
def test_everything_is_made_and_the_address_is_its(grafana: GrafanaDouble, way_in: dict[str, str]) -> None:
    shown = visualizer(grafana.url, **way_in)
    assert shown.publish(BOARD) == ""
    assert grafana.folders == {"asperathos": "Asperathos"}
    assert grafana.datasources[SOURCE["uid"]]["secureJsonData"] == {"httpHeaderValue1": "Token read-only"}
    assert set(grafana.dashboards) == {OVERVIEW, BATCH, STREAM, COST}
    address = shown.url(PAGES, BOARD)
    assert address == f"{PUBLIC}/d/{BATCH}/{BATCH}?var-submission=kj-1&from=1699999970000&to=now"
    light = BOARD.model_copy(update={"theme": "light", "kind": "stream"})
    assert shown.url(PAGES, light).startswith(f"{PUBLIC}/d/{STREAM}/") and "theme=light" in shown.url(PAGES, light)
    assert f"/d/{COST}/" in shown.url(PAGES, BOARD.model_copy(update={"plugin": "kubejobs_cost"}))


def test_what_is_as_it_should_be_is_not_written_again(grafana: GrafanaDouble) -> None:
    clock = FakeClock()
    shown = visualizer(grafana.url, clock)
    for _ in range(5):
        shown.publish(BOARD)
    asked = len(grafana.asked)
    clock.advance(61.0)
    shown.publish(BOARD)
    assert all(request.startswith("GET ") for request in grafana.asked[asked:])
    assert set(grafana.versions.values()) == {1}
    grafana.datasources[SOURCE["uid"]] = {**SOURCE, "url": "http://elsewhere"}
    grafana.dashboards[BATCH]["title"] = "changed by hand"
    del grafana.dashboards[STREAM]
    clock.advance(61.0)
    shown.publish(BOARD)
    assert grafana.datasources[SOURCE["uid"]] == SOURCE
    assert grafana.dashboards[BATCH]["title"] == "Asperathos: batch"
    assert grafana.versions == {OVERVIEW: 1, BATCH: 2, STREAM: 2, COST: 1}


def test_what_grafana_provisioned_itself_is_left_as_it_is(grafana: GrafanaDouble) -> None:
    grafana.provisioned = {SOURCE["uid"], BATCH}
    grafana.datasources[SOURCE["uid"]] = {"url": "http://elsewhere"}
    grafana.dashboards[BATCH] = {"uid": BATCH, "title": "from a file"}
    assert visualizer(grafana.url).publish(BOARD) == ""
    assert grafana.datasources[SOURCE["uid"]] == {"url": "http://elsewhere"}
    assert grafana.dashboards[BATCH]["title"] == "from a file"
    assert STREAM in grafana.dashboards


def test_wrong_credentials_are_told_with_their_remedy_and_not_tried_for_each_board(grafana: GrafanaDouble) -> None:
    clock = FakeClock()
    shown = visualizer(grafana.url, clock, username=USER, password="wrong")
    for _ in range(3):
        with pytest.raises(Unauthorized, match=r"ASPERATHOS_GRAFANA_TOKEN.*Invalid username or password"):
            shown.publish(BOARD)
    assert len(grafana.asked) == 2
    clock.advance(6.0)
    with pytest.raises(Unauthorized):
        shown.publish(BOARD)
    assert len(grafana.asked) == 4


def test_too_few_rights_are_told(grafana: GrafanaDouble) -> None:
    grafana.may_edit = False
    with pytest.raises(Forbidden, match="right to edit"):
        visualizer(grafana.url).publish(BOARD)


@pytest.mark.parametrize(("version", "fine"), [("9.0.0", True), ("12.1.0-pre", True), ("", True), ("8.5.27", False)])
def test_grafana_9_or_newer(grafana: GrafanaDouble, version: str, fine: bool) -> None:
    grafana.version = version
    if fine:
        assert visualizer(grafana.url).publish(BOARD) == ""
    else:
        with pytest.raises(Unavailable, match=r"Grafana 8\.5\.27 is too old: 9 or newer"):
            visualizer(grafana.url).publish(BOARD)


def test_a_grafana_that_comes_late_has_all_in_the_end(free_port: int) -> None:
    clock = FakeClock()
    shown = visualizer(f"http://127.0.0.1:{free_port}", clock)
    with pytest.raises(Unavailable, match="does not answer"):
        shown.publish(BOARD)
    late = GrafanaDouble(free_port)
    late.failing = 1
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            shown.publish(BOARD)
        clock.advance(6.0)
        with pytest.raises(Unavailable, match="502"):
            shown.publish(BOARD)
        clock.advance(6.0)
        assert shown.publish(BOARD) == ""
        assert len(late.dashboards) == 4
    finally:
        late.stop()


def test_another_server_is_not_taken_for_grafana(influx_server: InfluxProcess) -> None:
    with pytest.raises(Unavailable, match="ASPERATHOS_GRAFANA_URL"):
        visualizer(influx_server.url).publish(BOARD)


def test_another_datasource_than_ours_is_remarked(grafana: GrafanaDouble) -> None:
    assert "monasca" in visualizer(grafana.url).publish(BOARD.model_copy(update={"datasource": "monasca"}))


# Every query on a real InfluxDB.


class Filled:
    """An InfluxDB with everything measured of a batch, a stream and one with a price, over the last five minutes."""

    def __init__(self, server: InfluxProcess) -> None:
        self.url, self.database = server.url, f"g{uuid.uuid4().hex[:8]}"
        metrics = influx_metrics(InfluxSettings(server.url, bucket=self.database))
        now = time.time()
        for id, kind in (("kj-batch01", "batch"), ("kj-strm001", "stream"), ("kj-cost001", "batch")):
            measurements = (*MEASUREMENTS, *COSTS) if "cost" in id else MEASUREMENTS
            tags = {"kind": kind, "name": id[3:], "law": "deadline", "namespace": "jobs"}
            for second in range(-300, 1, 2):
                metrics.write(
                    [Point(one.name, id, now + second, dict.fromkeys(one.fields, -0.5), tags) for one in measurements]
                )
            for event in (
                Event(at=now - 200, kind="state", message="ongoing"),
                Event(at=now - 150, kind="scaling", message="2 -> 4: late"),
                Event(at=now - 100, kind="pod", message="a pod failed", warning=True),
            ):
                metrics.annotate(id, event)
        assert metrics.flush(10.0)
        metrics.close(1.0)

    def ask(self, query: str, submission: str) -> list[dict[str, Any]]:
        return ask_as_grafana(self.url, self.database, query, submission)


@pytest.fixture(scope="module")
def filled(influx_server: InfluxProcess) -> Filled:
    return Filled(influx_server)


CHOSEN = {OVERVIEW: ".*", BATCH: "kj-batch01", STREAM: "kj-strm001", COST: "kj-cost001"}


@pytest.mark.parametrize(
    ("uid", "title", "query"),
    [
        pytest.param(uid, panel["title"], target["query"], id=f"{uid}-{panel['title']}-{target['refId']}")
        for uid, made in dashboards(PAGES).items()
        for panel in made["panels"]
        for target in panel["targets"]
    ],
)
def test_each_panels_query_returns_points(filled: Filled, uid: str, title: str, query: str) -> None:
    series = filled.ask(query, CHOSEN[uid])
    columns = {column for one in series for column in one["columns"]}
    values = [value for one in series for row in one["values"] for value in row[1:]]
    assert values and all(value is not None for value in values), title
    assert len(columns) >= 2
    if " by time" in query.lower() and uid == OVERVIEW:
        assert {one["tags"]["submission"] for one in series} == {"kj-batch01", "kj-strm001", "kj-cost001"}
    elif uid != OVERVIEW:
        assert len(series) == 1


@pytest.mark.parametrize("uid", CHOSEN)
def test_the_chooser_lists_the_submissions_of_its_kind(filled: Filled, uid: str) -> None:
    query = dashboards(PAGES)[uid]["templating"]["list"][0]["query"]
    (series,) = filled.ask(query, "")
    listed = {row[1] for row in series["values"]}
    assert (
        listed
        == {
            OVERVIEW: {"kj-batch01", "kj-strm001", "kj-cost001"},
            BATCH: {"kj-batch01", "kj-cost001"},
            STREAM: {"kj-strm001"},
            COST: {"kj-cost001"},
        }[uid]
    )


@pytest.mark.parametrize("number", range(3))
def test_annotations_tell_what_happened(filled: Filled, number: int) -> None:
    annotation = dashboards(PAGES)[BATCH]["annotations"]["list"][number]
    (series,) = filled.ask(annotation["query"], "kj-batch01")
    row = dict(zip(series["columns"], series["values"][0], strict=True))
    assert row[annotation["textColumn"]] == ["ongoing", "2 -> 4: late", "a pod failed"][number]
    assert row[annotation["tagsColumn"]] == "kj-batch01" and len(series["values"]) == 1
