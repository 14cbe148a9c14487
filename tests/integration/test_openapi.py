"""/openapi.json: every route is in it and no other, it is valid, and docs/openapi has it as it is served."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from common.bootstrap import Roles
from common.domain.policy import RULES, need_of
from common.http.openapi import EVERYWHERE
from tests.support.openapi_documents import DIRECTORY, SERVICES, document_of, table_of
from tests.support.redis_process import RedisProcess


@pytest.fixture(params=SERVICES)
def app(
    request: pytest.FixtureRequest, redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Flask]:
    """A service as it runs, without its loop."""
    monkeypatch.setenv("ASPERATHOS_REDIS_URL", redis_server.url)
    monkeypatch.setenv("ASPERATHOS_KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    settings = import_module(f"{request.param}.settings").Settings()
    yield import_module(f"{request.param}.bootstrap").build(settings, Roles(api=True, loop=False)).app


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_described_and_no_other(app: Flask) -> None:
    registered = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    answer = app.test_client().get("/openapi.json")
    assert answer.mimetype == "application/json"
    assert set(operations(answer.get_json())) == registered


def test_the_document_is_kept_as_it_is_served(app: Flask) -> None:
    kept = DIRECTORY / f"{app.name}.json"
    served = app.test_client().get("/openapi.json").text
    assert kept.read_text() == served, "make openapi writes docs/openapi again"


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_needed_is_what_the_rules_say(service: str) -> None:
    document = json.loads(document_of(service))
    described = operations(document)
    for (method, path), need in RULES[service].items():
        operation = described[method, re.sub(r"<(\w+)>", r"{\1}", path)]
        assert operation["x-need"] == need_of(service, method, path) == need
        codes = set(operation["responses"])
        assert ("401" in codes and "403" in codes) or need == "public"


@pytest.mark.parametrize("service", SERVICES)
def test_all_schemas_are_schemas_and_all_references_lead_somewhere(service: str) -> None:
    document = json.loads(document_of(service))
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_described_twice(service: str) -> None:
    keys = [route.key for route in (*table_of(service).routes, *EVERYWHERE)]
    assert len(keys) == len(set(keys))


def test_the_document_says_what_is_wrong_with_a_request() -> None:
    """One of them, looked at closely."""
    document = json.loads(document_of("manager"))
    submit = document["paths"]["/submissions"]["post"]
    assert " ".join(submit["responses"]) == "200 202 400 401 403 409 413 414 415 422 429 502 503"
    assert submit["responses"]["400"] == {"$ref": "#/components/responses/400"}
    assert {parameter["name"] for parameter in submit["parameters"]} == {"dry_run", "Idempotency-Key"}
    assert set(submit["requestBody"]["content"]) == {"application/json", "application/yaml"}
    spec = document["components"]["schemas"]["SubmissionSpec"]
    assert spec["additionalProperties"] is False
    assert {"type": "string"} in spec["properties"]["workload"]["anyOf"]
