"""A whole stack whose time series go to a real InfluxDB and whose dashboards go to a double of Grafana."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from common.domain.metrics import ATTEMPTS, FLOW, FORECAST, USAGE
from tests.e2e.conftest import FileSite
from tests.e2e.test_black_box import detailed, lines, payload
from tests.support.grafana_double import PASSWORD, USER, GrafanaDouble
from tests.support.influx import ask_as_grafana
from tests.support.influx_process import InfluxProcess
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.e2e
DATABASE = "asperathos"
PUBLIC = "https://grafana.example"


@pytest.fixture
def grafana() -> Iterator[GrafanaDouble]:
    made = GrafanaDouble()
    yield made
    made.stop()
    assert made.strays == []


@pytest.fixture
def measured(tmp_path: Path, own_influx: InfluxProcess, grafana: GrafanaDouble) -> Iterator[StackProcess]:
    running = StackProcess(
        tmp_path / "home",
        environment={
            "ASPERATHOS_INFLUX_URL": own_influx.url,
            "ASPERATHOS_GRAFANA_URL": grafana.url,
            "ASPERATHOS_GRAFANA_PUBLIC_URL": PUBLIC,
            "ASPERATHOS_GRAFANA_USERNAME": USER,
            "ASPERATHOS_GRAFANA_PASSWORD": PASSWORD,
        },
    )
    running.start()
    yield running
    running.stop()


def ask(server: InfluxProcess, query: str, id: str) -> list[list[Any]]:
    return [row for series in ask_as_grafana(server.url, DATABASE, query, id) for row in series["values"]]


def panels(grafana: GrafanaDouble, uid: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for panel in grafana.dashboards[uid]["panels"]:
        found.setdefault(panel["title"], []).extend(target["query"] for target in panel["targets"])
    return found


def test_grafana_shows_the_job_and_pages_and_reports_have_the_same_series(
    measured: StackProcess,
    own_influx: InfluxProcess,
    grafana: GrafanaDouble,
    site: FileSite,
    eventually: Callable[..., None],
) -> None:
    document = payload("payload1.json", site.put("w", lines(60)), work_seconds=0.3, max_rep=3)
    document["plugin_info"] |= {
        "enable_visualizer": True,
        "visualizer_plugin": "k8s-grafana",
        "visualizer_info": {"datasource_type": "influxdb", "theme": "light"},
    }
    id = measured.submit(document)
    address = f"{PUBLIC}/d/asperathos-batch/"
    status = measured.wait_for(id, lambda now: now["visualizer_url"].startswith(address))
    assert f"var-submission={id}" in status["visualizer_url"] and "theme=light" in status["visualizer_url"]
    visualizer = measured.addresses["visualizer"]
    eventually(lambda: requests.get(f"{visualizer}/visualizing/{id}", timeout=5).json()["reason"] == "", within=20)
    assert measured.wait(id)["state"] == "completed"
    shown = panels(grafana, "asperathos-batch")
    for title in ("Job progress against time progress", "Replicas", "Progress error"):
        for query in shown[title]:
            assert ask(own_influx, query, id), title
    for measurement in (ATTEMPTS, USAGE, FLOW):
        for field in measurement.fields:
            query = f'SELECT "{field}" FROM "{measurement.name}" WHERE "submission" =~ /^$submission$/'
            assert ask(own_influx, query, id), (measurement.name, field)
    # The manager writes its events within a second or two.
    (states, scalings, _) = grafana.dashboards["asperathos-batch"]["annotations"]["list"]
    eventually(lambda: any("completed" in row[1] for row in ask(own_influx, states["query"], id)))
    events = requests.get(f"{measured.manager}/submissions/{id}/events", timeout=5).json()["events"]
    told = {event["message"] for event in events if event["kind"] == "scaling" and not event["warning"]}
    assert {row[1] for row in ask(own_influx, scalings["query"], id)} == {" ".join(text.split()) for text in told}
    report = detailed(measured, id)
    progress = ask(own_influx, 'SELECT "value" FROM "job_progress" WHERE "submission" =~ /^$submission$/', id)
    assert [row["job_progress"] for row in report.values()] == [row[1] for row in progress]
    assert progress[-1][1] == 1
    series = requests.get(f"{visualizer}/api/submissions/{id}/series", timeout=5).json()
    assert (series["problem"], len(series["series"]["progress"]["at"])) == ("", len(progress))
    assert requests.delete(f"{measured.manager}/submissions/{id}", timeout=10).status_code == 204
    eventually(
        lambda: not ask(own_influx, 'SELECT * FROM "queue" WHERE "submission" =~ /^$submission$/', id), within=30
    )


def test_without_influxdb_and_grafana_the_work_goes_on_and_the_points_come_later(
    measured: StackProcess, own_influx: InfluxProcess, grafana: GrafanaDouble, eventually: Callable[..., None]
) -> None:
    grafana.failing = 10_000
    run = "sh -c 'sleep 0.5; echo $ASPERATHOS_ITEM'"
    document = {
        "run": run,
        "workload": [str(number) for number in range(24)],
        "deadline": "2m",
        "replicas": {"min": 1, "max": 2},
        "control": {"interval": "1s"},
        "dashboard": {"plugin": "grafana"},
    }
    id = measured.submit(document)
    measured.wait_for(id, lambda now: now["counts"]["done"] >= 2)
    count = 'SELECT "value" FROM "job_progress" WHERE "submission" =~ /^$submission$/'
    eventually(lambda: ask(own_influx, count, id))
    own_influx.kill()
    killed = time.time()
    end = measured.wait(id)
    assert (end["state"], end["counts"]["done"]) == ("completed", 24)
    visualizer = measured.addresses["visualizer"]
    assert "502" in requests.get(f"{visualizer}/visualizing/{id}", timeout=5).json()["reason"]
    assert "InfluxDB" in requests.get(f"{visualizer}/api/submissions/{id}/series", timeout=15).json()["problem"]
    own_influx.start()
    eventually(lambda: [row for row in ask(own_influx, count, id) if row[1] == 1], within=40)
    for field in FORECAST.fields:
        assert ask(own_influx, f'SELECT "{field}" FROM "forecast" WHERE "submission" =~ /^$submission$/', id), field
    moments = [row[0] / 1000 for row in ask(own_influx, count, id)]
    assert len([moment for moment in moments if moment > killed]) >= 2
    assert max(after - before for before, after in itertools.pairwise(moments)) < 8
