"""The door: passwords, tokens, sessions, guessing, other sites' pages, and what is noted."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from flask import Flask

from common.domain import credentials
from common.domain.accounts import Ownership, Role
from common.domain.policy import Need
from common.http.app import AppSettings, Telemetry, create_app
from common.http.authentication import Authenticator
from common.http.gate import MARK, MARK_VALUE, SESSION_COOKIE, current
from common.http.throttle import Limits, site
from manager.users import NewPassword, UserChange
from tests.fakes.clock import FakeClock
from tests.support.guard import ADMIN_TOKEN, METRICS_TOKEN, SERVICE_TOKEN, Guard, bearer

PASSWORD = "correct horse battery"
RULES = {
    ("GET", "/things"): Need.READ,
    ("POST", "/things"): Need.SUBMIT,
    ("PUT", "/things/<id>"): Need.CHANGE,
    ("GET", "/open"): Need.PUBLIC,
    ("POST", "/things/<id>/take"): Need.POD,
    ("POST", "/tell"): Need.SERVICE,
}


class Bench:
    """An app with a few routes behind a door."""

    def __init__(self, service: str = "manager", **options: Any) -> None:
        self.clock = FakeClock()
        options.setdefault("required", True)
        options.setdefault("service_token", SERVICE_TOKEN)
        self.guard = Guard(self.clock, service, **options)
        object.__setattr__(self.guard.gate, "rules", lambda _, method, route: RULES.get((method, route), Need.SERVICE))
        self.app: Flask = create_app(AppSettings(service, 1 << 20, "1"), Telemetry(service, "1"))
        self.guard.gate.install(self.app)
        for method, route in RULES:
            self.app.add_url_rule(route, f"{method} {route}", lambda **_: {"who": current().name}, methods=[method])
        self.http = self.app.test_client()

    def get(self, **headers: str) -> Any:
        return self.http.get("/things", headers=headers)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that is not slow on purpose: how slow it is matters to guessing, not to who is let in."""
    monkeypatch.setattr(credentials, "_N", 2)
    monkeypatch.setattr(credentials, "_NOBODYS", credentials.hash_password("of nobody"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_who_one_is(bench: Bench) -> None:
    shown = bench.guard.user("alice", password=PASSWORD)
    assert bench.get(**shown).json == {"who": "alice"}
    assert bench.get(**basic("alice", PASSWORD)).json == {"who": "alice"}
    token = shown["Authorization"].split()[1]
    assert bench.get(**basic("alice", token)).json == {"who": "alice"}, "for programs that know Basic only"
    assert bench.get(**basic("operator", ADMIN_TOKEN)).json == {"who": "operator"}
    for token, name in ((ADMIN_TOKEN, "operator"), (SERVICE_TOKEN, "services")):
        assert bench.get(**bearer(token)).json == {"who": name}
    assert bench.get(**bearer(METRICS_TOKEN)).status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"alice").decode(),
        "Digest x", "Session x", "Session ", "Bearer asp_000000000000_" + "A" * 43,
        "Basic " + base64.b64encode(b"alice:wrong").decode(), "Basic " + base64.b64encode(b"nobody:wrong").decode(),
        "Basic " + base64.b64encode(b"operator:wrong").decode(), "Basic " + base64.b64encode(b":").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(), "Bearer \u00e9",
    ],
)  # fmt: skip
def test_whoever_does_not_prove_it_is_nobody(bench: Bench, header: str) -> None:
    bench.guard.user("alice", password=PASSWORD)
    answer = bench.get(Authorization=header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert bench.http.get("/open", headers={"Authorization": header}).status_code == 200


def test_what_is_kept_is_neither_token_nor_password(bench: Bench) -> None:
    shown = bench.guard.user("alice", password=PASSWORD)
    kept = [bench.guard.users.get("alice"), *bench.guard.book.tokens("alice")]
    assert PASSWORD not in str(kept) and shown["Authorization"].split("_", 2)[2] not in str(kept)
    user = bench.guard.users.get("alice")
    assert user is not None and user.value.password.startswith("scrypt:") and "scrypt" not in repr(user)


def test_a_token_of_another_user_is_no_password(bench: Bench) -> None:
    bench.guard.user("bob")
    token = bench.guard.user("alice")["Authorization"].split()[1]
    assert bench.get(**basic("bob", token)).status_code == 401


def test_tokens_end(bench: Bench) -> None:
    shown = bench.guard.user("alice")
    (token,) = bench.guard.book.tokens("alice")
    bench.guard.tokens.put(token.id, token.model_copy(update={"expires_at": bench.clock.now() + 10}))
    assert bench.get(**shown).status_code == 200
    bench.clock.advance(11)
    assert "expired" in bench.get(**shown).json["error_message"]


def test_guessing_is_slow(bench: Bench) -> None:
    bench.guard.user("alice", password=PASSWORD)
    most = Limits().pair
    answers = [bench.get(**basic("alice", f"guess {number}")) for number in range(most + 2)]
    assert [answer.status_code for answer in answers] == [401] * most + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 300
    assert bench.get(**basic("alice", PASSWORD)).status_code == 429, "the right one is a guess like any other then"
    elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
    assert bench.http.get("/things", headers=basic("alice", PASSWORD), environ_base=elsewhere).status_code == 200
    assert bench.get(**basic("alice", PASSWORD)).status_code == 200, "known to be right now: nothing is guessed"
    bench.clock.advance(301)
    assert bench.get(**basic("alice", "another")).status_code == 401


def test_an_address_that_guesses_names_leaves_a_bounded_trace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.domain.credentials.is_password", lambda *_: False)
    most = Limits().address
    answers = [bench.get(**basic(f"user{number}", "guess")).status_code for number in range(most + 50)]
    assert answers == [401] * most + [429] * 50
    assert len(bench.guard.attempts.kept) <= 2 * most + 1
    assert len(bench.guard.noted(refused=True)) == 0, "reading is no deed"


def test_logging_in_rightly_costs_nobody_anything(bench: Bench) -> None:
    bench.guard.user("alice", password=PASSWORD)
    for _ in range(3):
        for _ in range(Limits().pair - 1):
            assert bench.get(**basic("alice", "wrong")).status_code == 401
        bench.guard.book.set_password("alice", NewPassword(password=PASSWORD), is_own=False)
        assert bench.get(**basic("alice", PASSWORD)).status_code == 200


def test_a_changed_password_counts_at_once(bench: Bench) -> None:
    bench.guard.user("alice", password=PASSWORD)
    assert bench.get(**basic("alice", PASSWORD)).status_code == 200
    bench.guard.book.set_password("alice", NewPassword(password="another one, then"), is_own=False)
    assert bench.get(**basic("alice", PASSWORD)).status_code == 401
    assert bench.get(**basic("alice", "another one, then")).status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "nonsense", True),
    ],
)
def test_addresses_of_one_party(one: str, other: str, same: bool) -> None:
    assert (site(one) == site(other)) is same


def test_the_originals_credentials_in_the_body(bench: Bench) -> None:
    bench.guard.user("alice", password=PASSWORD)
    given = {"enable_auth": True, "username": "alice", "password": PASSWORD, "plugin": "kubejobs"}
    assert bench.http.post("/things", json=given).json == {"who": "alice"}
    for change in ({"password": "wrong"}, {"enable_auth": False}, {"enable_auth": 1}, {"username": 1}):
        assert bench.http.post("/things", json={**given, **change}).status_code == 401
    for body in (b"[]", b"{", b"[" * 5000, b'{"enable_auth": true}'):
        assert bench.http.post("/things", data=body, content_type="application/json").status_code == 401


# Sessions, and other sites' pages.


def logged_in(bench: Bench, name: str = "alice") -> str:
    authenticator: Authenticator = bench.guard.authenticator
    session = authenticator.begin_session(authenticator.by_password(name, PASSWORD, "127.0.0.1"))
    bench.http.set_cookie(SESSION_COOKIE, session)
    return session


def test_a_session_lasts_until_it_is_over() -> None:
    bench = Bench("visualizer")
    bench.guard.user("alice", password=PASSWORD)
    session = logged_in(bench)
    assert bench.get().json == {"who": "alice"}
    assert session not in str(bench.guard.sessions.__dict__), "what is kept is no cookie"
    bench.guard.book.set_password("alice", NewPassword(password="another one, then"), is_own=False)
    assert bench.get().status_code == 401
    bench.guard.book.set_password("alice", NewPassword(password=PASSWORD), is_own=False)
    session = logged_in(bench)
    bench.guard.authenticator.end_session(session)
    assert bench.get().status_code == 401
    logged_in(bench)
    bench.clock.advance(12 * 3600 + 1)
    assert bench.get().status_code == 401
    logged_in(bench)
    bench.guard.book.remove("alice")
    assert bench.get().status_code == 401


def test_only_the_visualizer_takes_cookies_and_the_others_a_session_that_is_shown(bench: Bench) -> None:
    bench.guard.user("alice", password=PASSWORD)
    session = logged_in(bench)
    assert bench.get().status_code == 401
    assert bench.get(Authorization=f"Session {session}").json == {"who": "alice"}
    assert bench.http.post("/things", headers={"Authorization": f"Session {session}"}).status_code == 200


def test_a_cookie_alone_changes_nothing() -> None:
    bench = Bench("visualizer")
    bench.guard.user("alice", password=PASSWORD)
    logged_in(bench)
    assert bench.http.post("/things").status_code == 403
    assert bench.http.post("/things", headers={MARK: MARK_VALUE}).status_code == 200
    assert bench.http.post("/things", headers={MARK: MARK_VALUE, "Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://LOCALHOST"}, 200),
        ({"Origin": "https://friend.example"}, 200),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_another_sites_page_changes_nothing(headers: dict[str, str], code: int, required: bool) -> None:
    bench = Bench(required=required, origins=("https://friend.example",))
    shown = bench.guard.user("alice")
    assert bench.http.post("/things", headers={**shown, **headers}).status_code == code
    assert bench.http.get("/things", headers={**shown, **headers}).status_code == 200


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200), ("127.0.0.1:1500", 200), ("[::1]:1500", 200), ("x.localhost:80", 200),
        ("manager:1500", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("", 200),
    ],
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_does_not(host: str, code: int) -> None:
    bench = Bench(required=False, hosts=frozenset({"manager"}))
    headers = {"Host": host} if host else {}
    assert bench.http.get("/things", headers=headers).status_code == code
    assert bench.http.post("/things/x/take", headers=headers).status_code == 200, "pods have a token, and names for us"


# What is noted.


def test_who_changed_what_is_noted(bench: Bench) -> None:
    alice, vera = bench.guard.user("alice"), bench.guard.user("vera", Role.VIEWER)
    bench.guard.owners.create("kj-1", Ownership(owner="alice"))
    bench.http.post("/things?token=covert", headers={**alice, "X-Request-Id": "r-1"})
    bench.http.put("/things/kj-1", headers=alice)
    bench.http.put("/things/kj-1", headers=vera)
    bench.http.get("/things", headers=alice)
    bench.http.put("/things/kj-1")
    bench.http.post("/tell", headers=bearer(SERVICE_TOKEN))
    bench.http.post("/things/kj-1/take", headers=alice)
    noted = [(entry.who, entry.method, entry.path, entry.subject, entry.code) for entry in bench.guard.noted()]
    assert noted == [
        ("alice", "POST", "/things", "", 200),
        ("alice", "PUT", "/things/kj-1", "kj-1", 200),
        ("vera", "PUT", "/things/kj-1", "kj-1", 403),
    ]
    first, _, last = bench.guard.noted()
    assert (first.request_id, first.role, first.address) == ("r-1", "submitter", "127.0.0.1")
    assert last.error == "FORBIDDEN"
    (stranger,) = bench.guard.noted(refused=True)
    assert (stranger.who, stranger.code) == ("", 401)


def test_what_pages_pass_on_is_noted_by_the_manager() -> None:
    bench = Bench("visualizer")
    bench.guard.user("alice", password=PASSWORD)
    logged_in(bench)
    assert bench.http.post("/things", headers={MARK: MARK_VALUE}).status_code == 200
    assert bench.guard.noted() == []
    assert bench.http.post("/things").status_code == 403
    assert [entry.code for entry in bench.guard.noted()] == [403]


def test_where_nobody_logs_in_deeds_are_noted_all_the_same() -> None:
    bench = Bench(required=False)
    assert bench.http.post("/things").json == {"who": "anonymous"}
    assert [entry.who for entry in bench.guard.noted()] == ["anonymous"]


def test_a_deed_that_cannot_be_noted_is_done(bench: Bench) -> None:
    alice = bench.guard.user("alice")
    bench.guard.audit.down = True
    assert bench.http.post("/things", headers=alice).status_code == 200


def test_redis_away_lets_nobody_in(bench: Bench) -> None:
    alice = bench.guard.user("alice")
    bench.guard.tokens.down = True
    assert bench.get(**alice).status_code == 503


def test_a_change_of_role_counts_at_once(bench: Bench) -> None:
    vera = bench.guard.user("vera", Role.VIEWER)
    assert bench.http.post("/things", headers=vera).status_code == 403
    bench.guard.book.change("vera", UserChange(role=Role.SUBMITTER))
    assert bench.http.post("/things", headers=vera).status_code == 200
