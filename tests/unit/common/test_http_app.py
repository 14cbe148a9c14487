from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import HTTPException

from common.domain.errors import (
    AsperathosError,
    BadRequest,
    ClusterError,
    Conflict,
    Fault,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from common.http.app import AppSettings, create_app
from common.http.body import read_contract, read_document, read_optional_document
from common.http.telemetry import Telemetry
from tests.fakes.clock import FakeClock
from tests.support.guard import Guard

LIMIT = 8192


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=1)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    inner: Inner
    ratio: float = 1.0
    settings: dict[str, Any] = Field(default_factory=dict)


class Broken:
    error: AsperathosError | None = None

    def __call__(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(broken: Broken, clock: FakeClock) -> Flask:
    app = create_app(AppSettings("test", LIMIT, "1.2.3", checks={"thing": broken}), Telemetry("test", "1.2.3"), clock)

    @app.post("/documents")
    def documents() -> dict[str, Any]:
        return {"document": read_document(request)}

    @app.put("/optional")
    def optional() -> dict[str, Any]:
        return {"document": read_optional_document(request)}

    @app.post("/contracts")
    def contracts() -> dict[str, Any]:
        return read_contract(request, Body).model_dump()

    @app.get("/slow/<name>")
    def slow(name: str) -> dict[str, Any]:
        clock.advance(2.0)
        return {"name": name}

    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def _fails(app: Flask, error: Exception) -> FlaskClient:
    @app.get("/fails")
    def fails() -> str:
        raise error

    return app.test_client()


# The error envelope.


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (BadRequest("why"), 400, "BAD_REQUEST"),
        (Unauthorized("why"), 401, "UNAUTHORIZED"),
        (Forbidden("why"), 403, "FORBIDDEN"),
        (NotFound("why"), 404, "NOT_FOUND"),
        (Conflict("why"), 409, "CONFLICT"),
        (TooLarge("why"), 413, "PAYLOAD_TOO_LARGE"),
        (ClusterError("why", "Forbidden"), 502, "CLUSTER_ERROR"),
        (Unavailable("why"), 503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_our_errors_have_the_envelope(app: Flask, error: AsperathosError, code: int, name: str) -> None:
    answer = _fails(app, error).get("/fails", headers={"X-Request-Id": "abc"})
    assert answer.status_code == code
    assert answer.get_json() == {
        "error_code": code,
        "error_name": name,
        "error_message": "why",
        "details": [],
        "request_id": "abc",
    }
    assert answer.mimetype == "application/json"


def test_faults_are_detailed(app: Flask) -> None:
    answer = _fails(app, BadRequest("why", [Fault("a.b", "is odd")])).get("/fails")
    assert answer.get_json()["details"] == [{"field": "a.b", "problem": "is odd"}]


def test_an_unexpected_error_tells_nothing_but_its_request_id(app: Flask) -> None:
    answer = _fails(app, ValueError("the password is secret")).get("/fails")
    assert answer.status_code == 500
    assert answer.get_json()["error_name"] == "INTERNAL_SERVER_ERROR"
    assert "secret" not in answer.get_data(as_text=True)
    assert answer.get_json()["request_id"] == answer.headers["X-Request-Id"]


def test_unknown_routes_are_404_in_the_envelope(client: FlaskClient) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer.get_json()["error_name"]) == (404, "NOT_FOUND")


def test_wrong_methods_are_405_and_name_the_right_ones(client: FlaskClient) -> None:
    answer = client.delete("/documents")
    assert (answer.status_code, answer.get_json()["error_name"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_http_errors_of_the_framework_are_in_the_envelope(app: Flask) -> None:
    class Teapot(HTTPException):
        code = 418

    answer = _fails(app, Teapot()).get("/fails")
    assert (answer.status_code, answer.get_json()["error_code"]) == (418, 418)


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_bodies_are_413_and_name_the_limit(client: FlaskClient, declared: bool) -> None:
    body = json.dumps("x" * LIMIT).encode()
    length = {"content_length": len(body)} if declared else {}
    answer = client.post("/documents", data=body, content_type="application/json", **length)
    assert (answer.status_code, answer.get_json()["error_name"]) == (413, "PAYLOAD_TOO_LARGE")
    assert str(LIMIT) in answer.get_json()["error_message"]


# Request ids, suffix, telemetry.


def test_a_request_id_is_taken_over_or_made(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "my-id_1.2"}).headers["X-Request-Id"] == "my-id_1.2"
    made = client.get("/healthz").headers["X-Request-Id"]
    assert len(made) == 32
    assert client.get("/healthz").headers["X-Request-Id"] != made


@pytest.mark.parametrize("odd", ["a" * 65, "a b", "a\tb", "<script>", "", "ä"])
def test_odd_request_ids_are_replaced(client: FlaskClient, odd: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": odd}).headers["X-Request-Id"] != odd


@pytest.mark.parametrize("path", ["/healthz.json", "/slow/a.json", "/readyz.json"])
def test_every_route_answers_with_the_suffix_too(client: FlaskClient, path: str) -> None:
    plain = client.get(path.removesuffix(".json"))
    suffixed = client.get(path)
    assert suffixed.status_code == plain.status_code == 200
    assert suffixed.get_json() == plain.get_json()


def test_requests_are_timed_by_route_not_by_path(client: FlaskClient) -> None:
    for name in ("a", "b"):
        client.get(f"/slow/{name}")
    client.get("/nothing/at/all")
    text = client.get("/metrics").get_data(as_text=True)
    labels = '{code="200",method="GET",route="/slow/<name>",service="test"}'
    assert f"asperathos_request_seconds_count{labels} 2.0" in text
    assert f"asperathos_request_seconds_sum{labels} 4.0" in text
    assert 'route="unmatched"' in text
    assert "/nothing" not in text
    assert 'asperathos_build_info{service="test",version="1.2.3"} 1.0' in text


# Health.


def test_health_is_the_originals(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, "OK")


def test_readiness_names_what_is_broken(client: FlaskClient, broken: Broken) -> None:
    assert client.get("/readyz").get_json() == {"ready": True, "broken": {}}
    broken.error = Unavailable("it is away")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json() == {"ready": False, "broken": {"thing": "it is away"}}
    assert client.get("/healthz").status_code == 200


# The service token.


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic t0ken"}, 401),
        ({"Authorization": "Bearer t0k\u00ean"}, 401),
        ({"Authorization": "Bearer t0ken"}, 200),
        ({"Authorization": "bearer t0ken"}, 200),
    ],
)
def test_the_service_token(app: Flask, header: dict[str, str], code: int) -> None:
    Guard(FakeClock(), "test", service_token="t0ken").gate.install(app)
    client = app.test_client()
    answer = client.post("/documents", json={"a": 1}, headers=header)
    assert answer.status_code == code
    assert client.get("/slow/a", headers=header).status_code == code, "what is not in the table is for services only"
    assert client.get("/healthz").status_code == client.get("/metrics").status_code == 200
    if code == 401:
        assert answer.get_json()["error_name"] == "UNAUTHORIZED"


# Bodies.


def _document(client: FlaskClient, text: str | bytes, kind: str = "application/json") -> Any:
    answer = client.post("/documents", data=text, content_type=kind)
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()["document"]


def _refusal(client: FlaskClient, text: str | bytes, kind: str = "application/json") -> dict[str, Any]:
    answer = client.post("/documents", data=text, content_type=kind)
    assert answer.status_code == 400
    refusal: dict[str, Any] = answer.get_json()
    assert refusal["details"]
    return refusal


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/yaml", "text/yaml", "text/x-yaml"]
)
def test_json_reads_the_same_in_every_form(client: FlaskClient, kind: str) -> None:
    text = '{"a": [1, 2.5, -3e2, null, true, "ä 😀"], "b": {}}'
    assert _document(client, text, kind) == json.loads(text)


def test_a_byte_order_mark_is_no_trouble(client: FlaskClient) -> None:
    assert _document(client, b"\xef\xbb\xbf{}") == {}


def test_yaml_means_what_it_looks_like(client: FlaskClient) -> None:
    text = """
    country: no
    switch: on
    date: 2026-01-02
    time: 12:30
    padded: 007
    hex: 0x1f
    empty:
    yes: "1"
    number: -12
    float: 1e3
    truth: true
    words: |
      two
      lines
    """
    assert _document(client, text, "application/yaml") == {
        "country": "no",
        "switch": "on",
        "date": "2026-01-02",
        "time": "12:30",
        "padded": "007",
        "hex": "0x1f",
        "empty": None,
        "yes": "1",
        "number": -12,
        "float": 1000.0,
        "truth": True,
        "words": "two\nlines\n",
    }


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/xml", None])
def test_other_content_types_are_415(client: FlaskClient, kind: str | None) -> None:
    answer = client.post("/documents", data="{}", content_type=kind)
    assert answer.status_code == 415
    assert answer.get_json()["details"][0]["field"] == "Content-Type"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "{",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1' + "0" * 4400 + "}",
        "[" * 65 + "]" * 65,
        "[" * 2000,
        b'{"a": "\xff"}',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_wrong_json_is_400(client: FlaskClient, text: str | bytes) -> None:
    _refusal(client, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment? no: nothing\n---\n---\n",
        "a: [1",
        "a: b: c",
        "\tb: 1",
        "a: &x [1]\nb: *x",
        "a: &a [*a]",
        "a: !!python/object/apply:os.system [true]",
        "? [a, b]\n: c",
        'a: "\\ud800"',
        "[" * 2000 + "]" * 2000,
        "- " * 1500,
        "--- 1\n--- 2\n",
        b"a: \xff",
        "a: \x01",
        "%YAML 9.9\n---\na: 1",
    ],
)
def test_wrong_yaml_is_400(client: FlaskClient, text: str | bytes) -> None:
    _refusal(client, text, "application/yaml")


ODD = [
    ("application/json", '{"settings": {"a": 1e999}}', "settings.a"),
    ("application/json", '{"settings": {"a": [0, 1' + "0" * 400 + "]}}", "settings.a.1"),
    ("application/json", '{"settings": {"a": "\\ud800"}}', "settings.a"),
    ("application/json", '{"settings": {"a": "\\u0000"}}', "settings.a"),
    ("application/json", '{"settings": {"a\\u0000": 1}}', "settings.a\\x00"),
    ("application/yaml", "settings: {a: .nan}", "settings.a"),
    ("application/yaml", "settings: {a: -.inf}", "settings.a"),
    ("application/yaml", "settings: {a: 1e999}", "settings.a"),
    ("application/yaml", "settings: {a: !!binary aGVsbG8=}", "settings.a"),
    ("application/yaml", "settings: {a: !!set {x, y}}", "settings.a"),
    ("application/yaml", "settings: {a: !!timestamp 2026-01-02}", "settings.a"),
    ("application/yaml", "settings: {1: one}", "settings.1"),
    ("application/json", '{"settings": ' + '{"a":' * 60 + "1" + "}" * 60 + "}", "settings"),
]


@pytest.mark.parametrize(("kind", "text", "field"), ODD)
def test_contracts_hold_only_what_can_be_stored_and_say_where_not(
    client: FlaskClient, kind: str, text: str, field: str
) -> None:
    answer = client.post("/contracts", data=text, content_type=kind)
    assert answer.status_code == 400
    assert {detail["field"] for detail in answer.get_json()["details"]} == {field, "name", "inner"}


def test_sixty_four_levels_are_deep_enough(client: FlaskClient) -> None:
    text = "[" * 64 + "]" * 64
    assert _document(client, text) == _document(client, text, "application/yaml") == json.loads(text)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_no_body_at_all_is_an_empty_object_where_it_is_optional(client: FlaskClient, kind: str | None) -> None:
    assert client.put("/optional", content_type=kind).get_json() == {"document": {}}


def test_an_optional_body_that_is_there_is_read(client: FlaskClient) -> None:
    assert client.put("/optional", json={"a": 1}).get_json() == {"document": {"a": 1}}
    assert client.put("/optional", data="{", content_type="application/json").status_code == 400


def test_contracts_list_every_fault_by_path(client: FlaskClient) -> None:
    answer = client.post("/contracts", json={"nmae": "x", "inner": {"size": 0, "sizes": 3}, "ratio": "much"})
    assert answer.status_code == 400
    details = {detail["field"]: detail["problem"] for detail in answer.get_json()["details"]}
    assert set(details) == {"name", "nmae", "inner.size", "inner.sizes", "ratio"}
    assert details["name"] == "is required"
    assert "did you mean name?" in details["nmae"]
    assert "did you mean size?" in details["inner.sizes"]


@pytest.mark.parametrize("body", ["[]", '"text"', "3", "null", "true"])
def test_contracts_are_objects(client: FlaskClient, body: str) -> None:
    answer = client.post("/contracts", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["details"]) == (
        400,
        [{"field": "body", "problem": "must be an object"}],
    )


def test_the_flask_logger_is_silent(client: FlaskClient) -> None:
    assert not logging.getLogger("test").handlers
