"""What the pages ask for reaches the manager as it is, with the user's credentials, and only from our own pages."""

from __future__ import annotations

import pytest

from common.domain import credentials
from common.domain.accounts import Ownership, Role
from tests.support.guard import SERVICE_TOKEN
from tests.unit.visualizer.fake_sources import Fixture

OURS = {"X-Requested-With": "asperathos-pages"}
WISHES = [
    ("POST", "/api/submissions", "/submissions"),
    ("POST", "/api/submissions?dry_run=true", "/submissions?dry_run=true"),
    ("PATCH", "/api/submissions/kj-1", "/submissions/kj-1"),
    ("PUT", "/api/submissions/kj-1/stop", "/submissions/kj-1/stop"),
    ("PUT", "/api/submissions/kj-1/terminate", "/submissions/kj-1/terminate"),
    ("POST", "/api/submissions/kj-1/retry", "/submissions/kj-1/retry"),
    ("DELETE", "/api/submissions/kj-1", "/submissions/kj-1"),
]


@pytest.mark.parametrize(("method", "path", "there"), WISHES)
def test_a_wish_is_passed_on_as_it_is_and_so_is_its_answer(method: str, path: str, there: str) -> None:
    fixture = Fixture(token="services-token")
    fixture.door.status, fixture.door.content = 409, b'{"error_code": 409, "error_message": "it has ended"}'
    headers = {**OURS, "Authorization": "Bearer user", "Content-Type": "application/yaml", "Idempotency-Key": "k-1"}
    answer = fixture.http.open(path, method=method, data=b"run: x", headers=headers)
    assert (answer.status_code, answer.json["error_message"]) == (409, "it has ended")
    assert answer.headers["Cache-Control"] == "no-store"
    ((asked, at, body, passed),) = fixture.door.passed
    assert (asked, at, body) == (method, there, b"run: x")
    assert passed == {"Authorization": "Bearer user", "Content-Type": "application/yaml", "Idempotency-Key": "k-1"}


@pytest.mark.parametrize(("method", "path", "there"), WISHES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Requested-With": "XMLHttpRequest"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Origin": "https://evil.example"},
        {**OURS, "Origin": "null"},
    ],
)
def test_a_wish_of_another_site_is_refused(headers: dict[str, str], method: str, path: str, there: str) -> None:
    fixture = Fixture()
    answer = fixture.http.open(path, method=method, json={}, headers=headers)
    assert (answer.status_code, fixture.door.passed) == (403, [])


def test_our_own_origin_is_ours() -> None:
    headers = {**OURS, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert Fixture().http.put("/api/submissions/kj-1/stop", headers=headers).status_code == 204


@pytest.mark.parametrize(("method", "path", "there"), WISHES)
def test_pages_that_only_show_act_never_and_offer_nothing(method: str, path: str, there: str) -> None:
    fixture = Fixture(actions=False)
    assert fixture.http.open(path, method=method, json={}, headers=OURS).status_code == 403
    assert fixture.door.passed == []
    assert 'href="/submit"' not in fixture.http.get("/").text
    assert fixture.http.get("/submit").status_code == 404


@pytest.mark.parametrize("id", ["..", "a%2Fb", "a%3Fb=c", "-x", "x" * 64])
def test_no_path_can_be_made_of_an_id(id: str) -> None:
    fixture = Fixture()
    assert fixture.http.put(f"/api/submissions/{id}/stop", headers=OURS).status_code in (400, 404)
    assert fixture.http.get(f"/submissions/{id}/report").status_code in (400, 404)
    assert fixture.door.passed == []


def test_a_report_runs_no_script_and_results_are_taken_away() -> None:
    fixture = Fixture()
    fixture.door.status, fixture.door.content, fixture.door.content_type = 200, b"<p>report</p>", "text/html"
    report = fixture.http.get("/submissions/kj-1/report?format=html")
    assert (report.mimetype, report.text) == ("text/html", "<p>report</p>")
    assert report.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    fixture.http.get("/submissions/kj-1/report?format=../x")
    results = fixture.http.get("/submissions/kj-1/results")
    assert results.headers["Content-Disposition"] == 'attachment; filename="kj-1-results.jsonl"'
    assert [path for _, path, _, _ in fixture.door.passed] == [
        "/submissions/kj-1/report?format=html",
        "/submissions/kj-1/report",
        "/submissions/kj-1/results?format=jsonl",
    ]


def test_boards_still_take_the_services_token() -> None:
    fixture = Fixture(token="services-token")
    assert fixture.http.post("/visualizing/kj-1", json={}, headers=OURS).status_code == 401
    assert fixture.http.delete("/visualizing/kj-1", headers=OURS).status_code == 401


def test_a_wish_is_the_users_own_and_their_role_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_N", 2)
    fixture = Fixture(required=True, token=SERVICE_TOKEN)
    for id, owner in (("kj-1111111", "alice"), ("kj-2222222", "bob")):
        fixture.sources.statuses[id] = {"status": "ongoing", "name": f"of {owner}", "owner": owner}
        fixture.guard.owners.create(id, Ownership(owner=owner))
    fixture.sources.told_clusters = {"default": {"active": True, "default": True}}
    for name, role in (("alice", Role.SUBMITTER), ("vera", Role.VIEWER)):
        fixture.guard.user(name, role, "correct horse battery")
    assert fixture.http.put("/api/submissions/kj-1111111/stop", headers=OURS).status_code == 401

    def log_in(name: str) -> None:
        fixture.http.post("/login", data={"name": name, "password": "correct horse battery"})

    log_in("alice")
    assert fixture.http.put("/api/submissions/kj-1111111/stop", headers=OURS).status_code == 204
    assert fixture.http.put("/api/submissions/kj-1111111/stop").status_code == 403
    assert fixture.http.put("/api/submissions/kj-2222222/stop", headers=OURS).status_code == 404
    assert fixture.http.get("/submissions/kj-2222222/results").status_code == 404
    ((_, path, _, passed),) = fixture.door.passed
    assert (path, passed["Authorization"].split()[0]) == ("/submissions/kj-1111111/stop", "Session")
    assert SERVICE_TOKEN not in passed["Authorization"]
    (cluster,) = fixture.http.get("/api/clusters").json["clusters"]
    assert [user["id"] for user in cluster["users"]] == ["kj-1111111"]
    assert 'href="/submit"' in fixture.http.get("/").text
    log_in("vera")
    assert fixture.http.put("/api/submissions/kj-1111111/stop", headers=OURS).status_code == 403
    assert 'href="/submit"' not in fixture.http.get("/").text
    assert len(fixture.http.get("/api/clusters").json["clusters"][0]["users"]) == 2
    assert len(fixture.door.passed) == 1
