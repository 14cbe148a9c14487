"""Logging in to the pages and out: the form, the cookie, and what is seen then."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain import credentials
from common.domain.accounts import Ownership, Role
from common.http.gate import SESSION_COOKIE
from tests.support.guard import ADMIN_TOKEN, SERVICE_TOKEN, bearer
from tests.unit.visualizer.fake_sources import Fixture

HTML = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
}
"""As Chromium has it."""
PASSWORD = "correct horse battery"


@pytest.fixture
def fixture(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    monkeypatch.setattr(credentials, "_N", 2)
    fixture = Fixture(required=True, token=SERVICE_TOKEN)
    for id, owner in (("kj-1111111", "alice"), ("kj-2222222", "bob")):
        fixture.sources.statuses[id] = {"status": "ongoing", "name": f"of {owner}", "owner": owner, "created_at": 1.0}
        fixture.guard.owners.create(id, Ownership(owner=owner))
    for name in ("alice", "bob"):
        fixture.guard.user(name, password=PASSWORD)
    fixture.guard.user("vera", Role.VIEWER, PASSWORD)
    return fixture


def log_in(fixture: Fixture, name: str = "alice", password: str = PASSWORD, where: str = "/", **headers: str) -> Any:
    return fixture.http.post("/login", data={"name": name, "password": password, "next": where}, headers=headers)


def test_who_has_not_logged_in_is_led_to_the_form_and_back(fixture: Fixture) -> None:
    answer = fixture.http.get("/submissions/kj-1111111", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/submissions/kj-1111111")
    form = fixture.http.get(answer.headers["Location"], headers=HTML)
    assert 'name="next" value="/submissions/kj-1111111"' in form.text
    assert "form-action 'self'" in form.headers["Content-Security-Policy"]
    answer = log_in(fixture, where="/submissions/kj-1111111")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/submissions/kj-1111111")
    page = fixture.http.get(answer.headers["Location"], headers=HTML)
    assert page.status_code == 200 and "alice" in page.text and "Log out" in page.text


def test_programs_get_401(fixture: Fixture) -> None:
    for path in ("/api/submissions", "/api/stream/submissions", "/visualizing", "/"):
        answer = fixture.http.get(path, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json["error_name"]) == (401, "UNAUTHORIZED")
    assert fixture.http.get("/static/app.css").status_code == 200


def test_the_cookie_is_for_this_site_and_no_script(fixture: Fixture) -> None:
    cookie = log_in(fixture).headers["Set-Cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie and "Secure" not in cookie
    secure = fixture.http.post(
        "/login", data={"name": "alice", "password": PASSWORD}, base_url="https://localhost", headers={}
    )
    assert "Secure" in secure.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/login", "/a\nb"]
)
def test_the_form_leads_to_no_other_site(fixture: Fixture, where: str) -> None:
    assert log_in(fixture, where=where).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "a guess"), ("nobody", PASSWORD), ("", ""), ("operator", "x"), ("services", SERVICE_TOKEN)],
)
def test_a_wrong_password_is_told_in_the_form(fixture: Fixture, name: str, password: str) -> None:
    answer = log_in(fixture, name, password)
    assert (answer.status_code == 401 and "wrong" in answer.text) or "not known" in answer.text
    assert "Set-Cookie" not in answer.headers and "<form" in answer.text
    assert password == "x" or not password or password not in answer.text


def test_guessing_is_slow(fixture: Fixture) -> None:
    codes = [log_in(fixture, password=f"guess {number}").status_code for number in range(12)]
    assert codes == [401] * 10 + [429] * 2


def test_operators_and_tokens_log_in_too(fixture: Fixture) -> None:
    assert log_in(fixture, "operator", ADMIN_TOKEN).status_code == 303
    assert set(fixture.http.get("/api/submissions").json["rows"]) == {"kj-1111111", "kj-2222222"}


def test_everybody_sees_what_they_may(fixture: Fixture) -> None:
    log_in(fixture)
    assert set(fixture.http.get("/api/submissions").json["rows"]) == {"kj-1111111"}
    assert fixture.http.get("/submissions/kj-1111111", headers=HTML).status_code == 200
    hidden = fixture.http.get("/submissions/kj-2222222", headers=HTML)
    assert (hidden.status_code, hidden.mimetype) == (404, "text/html") and "of bob" not in hidden.text
    assert fixture.http.get("/api/submissions/kj-2222222").status_code == 404
    log_in(fixture, "vera")
    assert set(fixture.http.get("/api/submissions").json["rows"]) == {"kj-1111111", "kj-2222222"}
    stream = fixture.http.get("/api/stream/submissions", headers=bearer(SERVICE_TOKEN), buffered=False)
    assert stream.status_code == 200
    stream.close()


def test_live_lists_hold_what_one_may_see(fixture: Fixture) -> None:
    log_in(fixture)
    answer = fixture.http.get("/api/stream/submissions", buffered=False)
    chunks = iter(answer.response)
    told = str(next(chunks)) + str(next(chunks))
    answer.close()
    assert "of alice" in told and "of bob" not in told


def test_logging_out_ends_the_session_everywhere(fixture: Fixture) -> None:
    log_in(fixture)
    cookie = fixture.http.get_cookie(SESSION_COOKIE)
    assert cookie is not None
    answer = fixture.http.post("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert fixture.http.get_cookie(SESSION_COOKIE) is None
    fixture.http.set_cookie(SESSION_COOKIE, cookie.value)
    assert fixture.http.get("/api/submissions").status_code == 401


def test_another_sites_page_logs_nobody_in_or_out(fixture: Fixture) -> None:
    assert log_in(fixture, Origin="http://evil.example").status_code == 403
    log_in(fixture)
    assert fixture.http.post("/logout", headers={"Origin": "http://evil.example"}).status_code == 403
    assert fixture.http.get("/api/submissions").status_code == 200


def test_logins_are_noted_without_what_was_typed(fixture: Fixture) -> None:
    log_in(fixture, password="something covert")
    (entry,) = fixture.guard.noted(refused=True)
    assert (entry.path, entry.code) == ("/login", 401)
    assert "covert" not in entry.model_dump_json()


def test_where_nobody_logs_in_there_is_no_form() -> None:
    fixture = Fixture()
    for answer in (fixture.http.get("/login"), log_in(fixture)):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Log out" not in fixture.http.get("/").text
