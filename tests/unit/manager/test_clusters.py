"""The routes of clusters, which cluster a submission gets, and who keeps one from being removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.domain.states import State
from tests.fakes.cluster import FakeCluster
from tests.support.kubeconfigs import KEY, SECRET, text
from tests.support.manager_door import NATIVE, Door, payload


@pytest.fixture
def door() -> Door:
    door = Door()
    door.clusters.others = {"east": FakeCluster(door.clock), "west": FakeCluster(door.clock)}
    return door


def add(door: Door, name: str = "east", config: str = "") -> Any:
    return door.client.post("/submissions/cluster", json={"cluster_name": name, "cluster_config": config or text()})


def listing(door: Door) -> dict[str, Any]:
    return dict(door.client.get("/submissions/cluster").get_json())


def end(door: Door, id: str, job_deleted: bool = True) -> None:
    kept = door.records.get(id)
    assert kept is not None
    ended = kept.value.model_copy(update={"state": State.COMPLETED, "job_deleted": job_deleted})
    door.records.update(id, ended, kept.version)


def test_the_default_cluster_is_always_there(door: Door) -> None:
    assert list(listing(door)) == ["default"]
    assert listing(door)["default"]["active"] is True
    assert door.client.delete("/submissions/cluster/default").status_code == 409
    assert add(door, "default").status_code == 409
    answer = door.client.post(
        "/submissions/cluster/default/certificate", json={"certificate_name": "a", "certificate_content": "b"}
    )
    assert answer.status_code == 409


def test_a_cluster_is_added_and_told_of_without_its_secrets(door: Door) -> None:
    answer = add(door)
    assert answer.status_code == 202
    assert {"cluster_name": "east", "status": "success", "reachable": True}.items() <= answer.get_json().items()
    told = listing(door)["east"]
    assert told["conf_content"] == "(hidden)"
    assert (told["server"], told["active"], told["submissions"]) == ("https://east.example:6443", False, 0)
    record = door.cluster_records.get("east")
    assert record is not None
    for seen in (answer.text, door.client.get("/submissions/cluster.json").text, record.value.model_dump_json()):
        assert SECRET not in seen
    assert SECRET not in repr(record)


def test_an_unreachable_cluster_is_added_with_a_warning(door: Door) -> None:
    east = door.clusters.others["east"]
    assert isinstance(east, FakeCluster)
    east.down = True
    answer = add(door)
    assert answer.status_code == 202
    assert answer.get_json()["reachable"] is False
    assert "does not answer" in answer.get_json()["warnings"][0]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".x", "a..b", "x" * 64, "a b", "a\n", "é", "%2e%2e"])
def test_a_name_is_no_path(door: Door, name: str) -> None:
    answer = add(door, name)
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] == "cluster_name"
    assert list(listing(door)) == ["default"]


@pytest.mark.parametrize(
    "body", [[], {}, {"cluster_name": "a"}, {"cluster_name": 5, "cluster_config": []}, {"cluster_config": SECRET}]
)
def test_a_wrong_body_is_refused(door: Door, body: Any) -> None:
    answer = door.client.post("/submissions/cluster", json=body)
    assert answer.status_code == 400
    assert SECRET not in answer.text


def test_credentials_are_renewed_but_the_server_stays(door: Door) -> None:
    add(door)
    before = door.cluster_records.get("east")
    assert add(door, config=text({"token": "renewed"})).status_code == 202
    after = door.cluster_records.get("east")
    assert before is not None and after is not None
    assert before.value.config != after.value.config
    assert "east" in door.clusters.forgotten
    assert add(door, config=text(server="https://elsewhere.example")).status_code == 409


def test_files_are_uploaded_and_removed(door: Door) -> None:
    add(door, config=text({"client-certificate": "/x/me.crt", "client-key": "me.key"}))
    assert listing(door)["east"]["missing"] == ["me.crt", "me.key"]
    for name in ("me.crt", "me.key"):
        answer = door.client.post(
            "/submissions/cluster/east/certificate", json={"certificate_name": name, "certificate_content": KEY}
        )
        assert answer.status_code == 202
    told = door.client.get("/submissions/cluster").text
    assert listing(door)["east"]["missing"] == []
    assert listing(door)["east"]["me.key"] == "(hidden)"
    assert "a-most-secret-key" not in told
    assert door.client.delete("/submissions/cluster/east/certificate/me.key").status_code == 202
    assert listing(door)["east"]["missing"] == ["me.key"]
    answer = door.client.delete("/submissions/cluster/east/certificate/me.cert")
    assert answer.status_code == 404
    assert "me.crt" in answer.get_json()["error_message"]


@pytest.mark.parametrize("name", ["../x", "active", "server", ""])
def test_a_wrong_certificate_is_refused(door: Door, name: str) -> None:
    add(door)
    body = {"certificate_name": name, "certificate_content": KEY}
    answer = door.client.post("/submissions/cluster/east/certificate", json=body)
    assert answer.status_code == 400
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["DELETE", "PUT"])
def test_an_unknown_cluster_is_not_found(door: Door, method: str) -> None:
    add(door)
    path = "/submissions/cluster/eats" + ("/activate" if method == "PUT" else "")
    answer = door.client.open(path, method=method)
    assert answer.status_code == 404
    assert "did you mean east?" in answer.get_json()["error_message"]


def test_the_active_cluster_takes_what_names_none_from_then_on(door: Door) -> None:
    add(door)
    before = door.submit()
    answer = door.client.put("/submissions/cluster/east/activate")
    assert (answer.status_code, answer.get_json()) == (200, {"cluster_name": "east", "status": "success"})
    assert list(door.client.get("/submissions/cluster/activate").get_json()) == ["east"]
    after, named = door.submit(), door.submit({**NATIVE, "cluster": "default"})
    clusters = [door.client.get(f"/submissions/{id}").get_json()["cluster"] for id in (before, after, named)]
    assert clusters == ["default", "east", "default"]
    door.client.put("/submissions/cluster/default/activate")
    assert door.client.get(f"/submissions/{after}").get_json()["cluster"] == "east"


def test_an_unknown_cluster_is_a_fault_in_either_form(door: Door, tmp_path: Path) -> None:
    items = tmp_path / "items"
    items.write_text("a\n")
    add(door)
    answer = door.client.post("/submissions", json={**NATIVE, "cluster": "esat"})
    assert answer.status_code == 400
    (fault,) = answer.get_json()["details"]
    assert fault["field"] == "cluster"
    assert "did you mean east?" in fault["problem"]
    answer = door.client.post("/submissions", json=payload(1, f"file://{items}", cluster_name="esat"))
    assert answer.status_code == 400
    assert "plugin_info.cluster_name" in [fault["field"] for fault in answer.get_json()["details"]]
    assert door.records.ids() == []
    id = door.submit(payload(1, f"file://{items}", cluster_name="east"))
    told = door.client.get(f"/submissions/{id}").get_json()
    assert told["cluster"] == "east"
    assert not any("cluster" in warning for warning in told["warnings"])


def test_a_cluster_that_is_used_is_not_removed(door: Door) -> None:
    add(door)
    door.client.put("/submissions/cluster/east/activate")
    id = door.submit()
    for _ in range(2):
        answer = door.client.delete("/submissions/cluster/east")
        assert answer.status_code == 409
        assert id in answer.get_json()["error_message"]
    end(door, id, job_deleted=False)
    assert door.client.delete("/submissions/cluster/east").status_code == 409
    assert door.submit({**NATIVE, "cluster": "east"})
    for each in door.records.ids():
        end(door, each)
    assert door.client.delete("/submissions/cluster/east").status_code == 204
    assert list(listing(door)) == ["default"]
    assert listing(door)["default"]["active"] is True
    assert door.client.post("/submissions", json={**NATIVE, "cluster": "east"}).status_code == 400


def test_a_cluster_on_its_way_out_takes_nothing(door: Door) -> None:
    add(door)
    kept = door.cluster_records.get("east")
    assert kept is not None
    door.cluster_records.update("east", kept.value.model_copy(update={"removing": True}), kept.version)
    assert door.client.post("/submissions", json={**NATIVE, "cluster": "east"}).status_code == 400
    assert door.client.put("/submissions/cluster/east/activate").status_code == 404
    assert list(listing(door)) == ["default"]
    assert door.client.delete("/submissions/cluster/east").status_code == 204


def test_a_submission_that_comes_while_its_cluster_is_removed_is_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(door)
    create = door.records.create

    def removed_meanwhile(id: str, value: Any, attachment: str) -> int:
        assert door.client.delete("/submissions/cluster/east").status_code == 204
        return create(id, value, attachment)

    monkeypatch.setattr(door.records, "create", removed_meanwhile)
    assert door.client.post("/submissions", json={**NATIVE, "cluster": "east"}).status_code == 400
    assert door.records.ids() == []


def test_nodes_are_those_of_a_cluster(door: Door) -> None:
    add(door)
    assert door.client.get("/nodes").get_json()["cluster"] == "default"
    assert door.client.get("/nodes?cluster=east").get_json()["cluster"] == "east"
    assert door.client.get("/nodes?cluster=west").status_code == 404
    door.client.put("/submissions/cluster/east/activate")
    assert door.client.get("/nodes").get_json()["cluster"] == "east"
