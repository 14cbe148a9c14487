"""The dashboards: valid by Grafana's own types, complete, and the same as the committed files."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.domain.metrics import COSTS, MEASUREMENTS
from tests.support.grafana_schema import faults
from visualizer.grafana.dashboards import BATCH, COST, OVERVIEW, STREAM, dashboards
from visualizer.grafana.panels import DATASOURCE_UID
from visualizer.grafana.provisioning import DATASOURCES, PROVIDERS, Source, datasource_of, files

ROOT = Path(__file__).resolve().parents[3]
PAGES = "https://pages.example"
ALL = dashboards(PAGES)
IDS = (OVERVIEW, BATCH, STREAM, COST)


def targets(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("uid", IDS)
def test_each_is_valid_by_grafanas_types(uid: str) -> None:
    assert faults(ALL[uid]) == []


def test_the_validation_finds_faults() -> None:
    for path, value, told in (
        (("refresh",), 5, "refresh"),
        (("surprise",), 1, "surprise"),
        (("panels", 0, "gridPos", "w"), "wide", "panels.0"),
        (("panels", 12, "options", "legend", "placement"), "under", "placement"),
        (("panels", 12, "fieldConfig", "defaults", "custom", "lineWide"), 2, "lineWide"),
        (("templating", "list", 0, "hide"), "no", "templating"),
    ):
        wrong = copy.deepcopy(ALL[BATCH])
        part: Any = wrong
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value
        assert any(told in fault for fault in faults(wrong)), path


@pytest.mark.parametrize("uid", IDS)
def test_each_is_what_people_look_for(uid: str) -> None:
    made = ALL[uid]
    assert made["uid"] == uid and made["schemaVersion"] == 36
    chooser, pages = made["templating"]["list"]
    assert (chooser["name"], chooser["multi"]) == ("submission", uid == OVERVIEW)
    assert (pages["name"], pages["query"], pages["hide"]) == ("pages", PAGES, 2)
    assert "${pages}/submissions" in made["links"][0]["url"]
    assert [one["name"] for one in made["annotations"]["list"]] == ["States", "Scalings", "Warnings"]
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    for one in (*targets(made), *made["annotations"]["list"], *made["panels"]):
        assert one["datasource"] == {"type": "influxdb", "uid": DATASOURCE_UID}
    for panel in made["panels"]:
        assert panel["description"].endswith(".")
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("uid", IDS)
def test_no_panel_lies_on_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in ALL[uid]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


def test_every_field_that_is_written_is_shown_somewhere() -> None:
    shown = "\n".join(target["query"] for made in ALL.values() for target in targets(made))
    for measurement in (*MEASUREMENTS, *COSTS):
        for field in measurement.fields:
            assert re.search(rf'\("{field}"\)[^;\n]* FROM "{measurement.name}"', shown), (measurement.name, field)


def test_the_originals_panels_are_there() -> None:
    titles = {uid: [panel["title"] for panel in made["panels"]] for uid, made in ALL.items()}
    assert {"Job progress against time progress", "Replicas", "Progress error"} <= set(titles[BATCH])
    assert {"Input and output", "Queue", "Failed attempts"} <= set(titles[STREAM])
    assert "Desired against current cost" in titles[COST]


def test_the_committed_files_are_up_to_date() -> None:
    for name, text in files("http://127.0.0.1:5002").items():
        assert (ROOT / "k8s" / "grafana" / name).read_text() == text, f"{name} is not what `make dashboards` writes"


def test_no_secret_is_in_a_file_and_nothing_of_it_is_forgotten() -> None:
    made = files(PAGES)
    (datasource,) = yaml.safe_load(made[DATASOURCES])["datasources"]
    assert datasource["secureJsonData"] == {"httpHeaderValue1": "Token $INFLUX_TOKEN"}
    assert (datasource["url"], datasource["jsonData"]["dbName"]) == ("$INFLUX_URL", "$INFLUX_BUCKET")
    (provider,) = yaml.safe_load(made[PROVIDERS])["providers"]
    assert (provider["folderUid"], provider["options"]["path"]) == ("asperathos", "/var/lib/grafana-dashboards")
    assert {json.loads(text)["uid"] for name, text in made.items() if name.endswith(".json")} == set(IDS)


def test_the_datasource_of_each_kind_of_influxdb() -> None:
    old = datasource_of(Source("http://influx", "b", username="u", password="w"))
    assert (old["user"], old["secureJsonData"], old["database"]) == ("u", {"password": "w"}, "b")
    assert "httpHeaderName1" not in old["jsonData"]
    new = datasource_of(Source("http://influx", "b", token="t", username="u", password="w"))
    assert (new["user"], new["secureJsonData"]) == ("", {"httpHeaderValue1": "Token t"})
    assert datasource_of(Source("http://influx", "b"))["secureJsonData"] == {}
