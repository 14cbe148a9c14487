"""Boards: the original's routes, what is kept of a request, and what never is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from common.domain.errors import Unavailable
from tests.unit.visualizer.fake_sources import BASE, Fixture
from visualizer.boards import Board, BuiltinVisualizer, checked_visualizer
from visualizer.settings import Settings

ORIGINAL = {
    "plugin": "kubejobs",
    "enable_visualizer": True,
    "visualizer_plugin": "k8s-grafana",
    "datasource_type": "influxdb",
    "username": "admin",
    "password": "s3cr3t-pass",
    "theme": "dark",
    "database_data": {"url": "http://influx"},
}


def test_the_originals_request_is_accepted_and_answered_with_a_url() -> None:
    fixture = Fixture()
    assert fixture.http.post("/visualizing/kj-1", json=ORIGINAL).status_code == 202
    answer = fixture.http.get("/visualizing/kj-1")
    assert answer.status_code == 200
    assert answer.json["url"] == f"{BASE}/submissions/kj-1"
    assert fixture.http.get("/visualizing/kj-1.json").json == answer.json
    assert fixture.wakeups.sent == [("visualizer", "kj-1")]


@pytest.mark.parametrize("key", ["app_id", "id"])
def test_the_id_may_be_in_the_body(key: str) -> None:
    fixture = Fixture()
    assert fixture.http.post("/visualizing", json={**ORIGINAL, key: "kj-1"}).status_code == 202
    assert list(fixture.http.get("/visualizing").json) == ["kj-1"]


def test_a_password_is_neither_kept_nor_shown() -> None:
    fixture = Fixture()
    shown = [fixture.http.post("/visualizing/kj-1", json=ORIGINAL).text]
    shown += [fixture.http.get(path).text for path in ("/visualizing/kj-1", "/visualizing")]
    kept = fixture.records.get("kj-1")
    assert kept is not None
    assert all("s3cr3t-pass" not in text for text in [*shown, kept.value.model_dump_json(), repr(kept.value)])


def test_the_same_request_again_changes_nothing() -> None:
    fixture = Fixture()
    for _ in range(3):
        assert fixture.http.post("/visualizing/kj-1", json=ORIGINAL).status_code == 202
        fixture.clock.advance(5.0)
    assert fixture.records.writes == 1


def test_a_stopped_board_stays_readable_and_stopping_again_is_fine() -> None:
    fixture = Fixture()
    fixture.http.post("/visualizing/kj-1", json=ORIGINAL)
    for _ in range(2):
        answer = fixture.http.put("/visualizing/kj-1/stop")
        assert (answer.status_code, answer.data) == (204, b"")
    assert fixture.http.get("/visualizing/kj-1").json["active"] is False


def test_not_asked_for_is_said() -> None:
    fixture = Fixture()
    fixture.http.post("/visualizing/kj-1", json={"enable_visualizer": False})
    view = fixture.http.get("/visualizing/kj-1").json
    assert view["active"] is False
    assert "enable_visualizer" in view["reason"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/visualizing/kj-9"),
        ("PUT", "/visualizing/kj-9/stop"),
        ("DELETE", "/visualizing/kj-9"),
        ("GET", "/visualizing/a/b"),
    ],
)
def test_unknown_is_404(method: str, path: str) -> None:
    answer = Fixture().http.open(path, method=method)
    assert answer.status_code == 404
    assert answer.json["error_name"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/visualizing", {}, "app_id"),
        ("/visualizing", {"app_id": 7}, "app_id"),
        ("/visualizing/kj-1", {"visualizer_plugin": "nagios"}, "visualizer_plugin"),
        ("/visualizing/kj-1", {"kind": "pile"}, "kind"),
        ("/visualizing/kj-1", [], "body"),
        ("/visualizing/kj%201", {}, "id"),
        ("/visualizing/" + "k" * 64, {}, "id"),
    ],
)
def test_a_wrong_request_names_the_field_and_keeps_nothing(path: str, body: object, field: str) -> None:
    fixture = Fixture()
    answer = fixture.http.post(path, json=body)
    assert answer.status_code == 400
    assert field in [detail["field"] for detail in answer.json["details"]]
    assert fixture.records.ids() == []


def test_routes_that_change_want_the_token_and_looking_does_not() -> None:
    fixture = Fixture(token="t0ken")
    fixture.sources.statuses["kj-1"] = {"status": "ongoing"}
    assert fixture.http.post("/visualizing/kj-1", json=ORIGINAL).status_code == 401
    shown = {"Authorization": "Bearer t0ken"}
    assert fixture.http.post("/visualizing/kj-1", json=ORIGINAL, headers=shown).status_code == 202
    assert fixture.http.put("/visualizing/kj-1/stop").status_code == 401
    for path in ("/visualizing/kj-1", "/", "/submissions/kj-1", "/api/submissions", "/static/app.css", "/healthz"):
        assert fixture.http.get(path).status_code == 200


def test_redis_away_is_503() -> None:
    fixture = Fixture()
    fixture.records.down = True
    assert fixture.http.get("/visualizing/kj-1").status_code == 503


def test_the_builtin_visualizer_says_when_it_stands_in_for_another() -> None:
    board = Board(id="kj-1", visualizer="k8s-grafana", created_at=1.0)
    assert "ASPERATHOS_GRAFANA_URL" in BuiltinVisualizer().publish(board)
    assert BuiltinVisualizer().publish(board.model_copy(update={"visualizer": "builtin"})) == ""


def test_a_plugin_is_a_class_with_the_three_methods() -> None:
    assert isinstance(checked_visualizer(BuiltinVisualizer), BuiltinVisualizer)
    with pytest.raises(TypeError, match="withdraw"):
        checked_visualizer(object)


class Wall:
    """A user's own visualizer."""

    def __init__(self) -> None:
        self.away = False
        self.shown: list[str] = []
        self.removed: list[str] = []

    def url(self, base: str, board: Board) -> str:
        return f"http://wall.example/{board.id}"

    def publish(self, board: Board) -> str:
        if self.away:
            raise Unavailable("the wall is away")
        self.shown.append(board.id)
        return ""

    def withdraw(self, board: Board) -> None:
        self.removed.append(board.id)


def test_a_users_own_visualizer_names_its_url() -> None:
    fixture = Fixture(visualizers={"wall": Wall()})
    fixture.http.post("/visualizing/kj-1", json={"visualizer_plugin": "wall"})
    assert fixture.http.get("/visualizing/kj-1").json["url"] == "http://wall.example/kj-1"


# Settings.


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GRAFANA_URL": "http://grafana:3000", "GRAFANA_TOKEN": "t"}, "ASPERATHOS_INFLUX_URL"),
        ({"GRAFANA_URL": "grafana:3000"}, "http://"),
        ({"GRAFANA_URL": "http://grafana:3000", "INFLUX_URL": "http://influxdb:8086"}, "ASPERATHOS_GRAFANA_TOKEN"),
        (
            {
                "GRAFANA_URL": "http://grafana:3000",
                "INFLUX_URL": "http://influxdb:8086",
                "GRAFANA_TOKEN": "t",
                "GRAFANA_USERNAME": "u",
            },
            "either",
        ),
    ],
)
def test_wrong_settings_of_grafana_are_told(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    with pytest.raises(ValidationError, match=told):
        Settings()


def test_grafana_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"GRAFANA_URL": "http://g:3000/", "INFLUX_URL": "http://i:8086", "GRAFANA_USERNAME": "admin"}
    for name, value in given.items():
        monkeypatch.setenv(f"ASPERATHOS_{name}", value)
    assert Settings().grafana_url == "http://g:3000"
