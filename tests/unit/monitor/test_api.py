from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from common.http.app import AppSettings, Telemetry, create_app
from monitor.api import register
from tests.unit.monitor.builders import ID, monitoring_request
from tests.unit.monitor.conftest import Bench

TOKEN = "the services' token"
BODY: dict[str, Any] = monitoring_request().model_dump(mode="json")


def _client(bench: Bench, token: str = "") -> FlaskClient:
    app = create_app(AppSettings("monitor", 1 << 20, "1"), Telemetry("monitor", "1"))
    register(app, bench.service, token)
    return app.test_client()


@pytest.fixture
def client(bench: Bench) -> FlaskClient:
    bench.load()
    return _client(bench)


def test_the_life_of_a_monitoring(client: FlaskClient, bench: Bench) -> None:
    assert client.post(f"/monitoring/{ID}", json=BODY).status_code == 202
    assert client.post(f"/monitoring/{ID}", json=BODY).status_code == 202
    bench.tick()
    view = client.get(f"/monitoring/{ID}").get_json()
    assert (view["active"], view["plugin"], view["collect_period"]) == (True, "items", 2.0)
    assert view["observation"]["counts"]["total"] == 4
    assert list(client.get("/monitoring").get_json()) == [ID]
    for path in ("report", "report/detailed"):
        answer = client.get(f"/monitoring/{ID}/{path}")
        assert (answer.status_code, answer.get_json()) == (202, {"message": "Job is running yet!"})
    assert list(client.get(f"/monitoring/{ID}/report/detailed?partial=true").get_json()) == ["12"]
    stopped = client.put(f"/monitoring/{ID}/stop")
    assert (stopped.status_code, stopped.data) == (204, b"")
    assert client.put(f"/monitoring/{ID}/stop.json").status_code == 204
    bench.tick()
    report = client.get(f"/monitoring/{ID}/report")
    assert report.status_code == 200
    assert set(report.get_json()) == {
        *("counts", "execution_time", "replica_seconds", "spent", "peak_replicas", "final_replicas"),
        *("final_error", "max_error", "min_error"),
    }
    rows = client.get(f"/monitoring/{ID}/report/detailed.json").get_json()
    assert list(rows) == ["12", "14"]
    assert set(rows["12"]) == {"job_progress", "time_progress", "replicas", "error"}
    assert client.get(f"/monitoring/{ID}").get_json()["active"] is False
    assert client.delete(f"/monitoring/{ID}").status_code == 204
    assert client.get(f"/monitoring/{ID}").status_code == 404


def test_delete_of_a_running_one_is_a_conflict(client: FlaskClient) -> None:
    client.post(f"/monitoring/{ID}", json=BODY)
    assert client.delete(f"/monitoring/{ID}").status_code == 409


@pytest.mark.parametrize(
    ("path", "method"),
    [("", "get"), ("/report", "get"), ("/report/detailed", "get"), ("/stop", "put")],
)
def test_unknown_ids_are_404(client: FlaskClient, path: str, method: str) -> None:
    answer = getattr(client, method)(f"/monitoring/kj-nothing{path}")
    assert (answer.status_code, answer.get_json()["error_name"]) == (404, "NOT_FOUND")


def _with(path: str, value: Any) -> dict[str, Any]:
    body: dict[str, Any] = {**BODY, "plugin_info": dict(BODY["plugin_info"])}
    at = body
    *parents, last = path.split(".")
    for parent in parents:
        at = at[parent]
    at[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("plugin", "metrics", "plugin"),
        ("plugin", 5, "plugin"),
        ("collect_period", 0, "collect_period"),
        ("collect_period", "soon", "collect_period"),
        ("plugin_info", None, "plugin_info"),
        ("plugin_info.namespace", 7, "plugin_info.namespace"),
        ("plugin_info.created_at", -1, "plugin_info.created_at"),
        ("plugin_info.created_at", None, "plugin_info.created_at"),
        ("plugin_info.deadline", 0, "plugin_info.deadline"),
        ("plugin_info.queue", {"submission": ID, "hots": "x"}, "plugin_info.queue.hots"),
        ("plugin_info.settings", {"goal": 3}, "plugin_info.settings.goal"),
        ("plugin_info.queue", {"submission": "kj-7654321"}, "plugin_info.queue.submission"),
    ],
)
def test_wrong_bodies_name_the_field_and_create_nothing(
    client: FlaskClient, bench: Bench, path: str, value: Any, field: str
) -> None:
    answer = client.post(f"/monitoring/{ID}", json=_with(path, value))
    assert answer.status_code == 400
    assert field in [detail["field"] for detail in answer.get_json()["details"]]
    assert bench.records.ids() == []


def test_all_faults_are_listed_at_once(client: FlaskClient) -> None:
    answer = client.post(f"/monitoring/{ID}", json={"collect_period": -1, "plugin_info": {"namespace": 3}})
    fields = {detail["field"] for detail in answer.get_json()["details"]}
    assert fields == {"collect_period", *(f"plugin_info.{name}" for name in ("namespace", "queue", "created_at"))}


@pytest.mark.parametrize("id", ["-x", "a" * 64, "a%20b", "%00", "ä"])
def test_odd_ids_are_refused(client: FlaskClient, id: str) -> None:
    answer = client.post(f"/monitoring/{id}", json=BODY)
    assert (answer.status_code, answer.get_json()["details"][0]["field"]) == (400, "id")


def test_partial_must_be_a_switch(client: FlaskClient) -> None:
    client.post(f"/monitoring/{ID}", json=BODY)
    assert client.get(f"/monitoring/{ID}/report/detailed?partial=maybe").status_code == 400
    assert client.get(f"/monitoring/{ID}/report/detailed?partial=false").status_code == 202
    assert client.get(f"/monitoring/{ID}/report/detailed?partial").status_code == 200


def test_with_a_token_only_the_services_may_ask(bench: Bench) -> None:
    client = _client(bench, TOKEN)
    assert client.post(f"/monitoring/{ID}", json=BODY).status_code == 401
    assert client.get(f"/monitoring/{ID}").status_code == 404
    assert client.get("/healthz").status_code == 200
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post(f"/monitoring/{ID}", json=BODY, headers=shown).status_code == 202


def test_an_outage_is_503_with_a_hint_when_to_come_back(client: FlaskClient, bench: Bench) -> None:
    bench.records.down = True
    answer = client.get(f"/monitoring/{ID}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
