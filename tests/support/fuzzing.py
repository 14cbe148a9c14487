"""Requests of any kind to a running service, made by schemathesis from what the service says of itself.

Each answer has to be as documented: its code, its content type, its headers, and the JSON in it to the last field.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from common.http.gate import MARK, MARK_VALUE
from controller.api import SPELLINGS
from manager.item_tokens import ItemTokens
from tests.support.fuzz_world import ITEMS_SECRET, PASSWORD, SERVICE_TOKEN, FuzzWorld

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_TIMEOUT = 30.0
_ROUND = 60
"""Cases of each operation, and of each kind of data, between two populations."""
_ENDLESS = "/api/stream/"
_KNOWN, _MANGLED = 0.7, 0.08
"""Share of the requests about something that is there, and of those whose body is no document."""
_NEARLY_RIGHT = 0.6
_FREE = frozenset({"type", "minLength", "maxLength"})
_LAST = ("delete", "put")
_REPORTED = 3


@dataclass
class Findings:
    """What came of it: cases by operation, answers by code, and what was not as documented, with examples."""

    service: str
    cases: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    answers: dict[str, Counter[int]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.cases.values())

    def add(self, title: str, example: str) -> None:
        examples = self.problems.setdefault(title, [])
        if len(examples) < _REPORTED:
            examples.append(example)

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.codes.items()))
        head = f"{self.service}: {self.total} cases of {len(self.cases)} operations; {codes}"
        told = (f"{title}\n    " + "\n    ".join(examples) for title, examples in self.problems.items())
        return "\n  ".join((head, *told))


def fuzz(world: FuzzWorld, service: str, cases: int, start: int = 0) -> Findings:
    """At least so many cases, spread over all operations; ``start`` is where the random numbers begin."""
    schema = schemathesis.openapi.from_dict(closed(read_document(world, service)))
    schema.config.update(base_url=world.urls[service])
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [one for one in operations if not is_endless(one.path)]
    # What is deleted whole comes after its parts, or no part would ever be found.
    operations.sort(
        key=lambda one: (one.method in _LAST, -one.path.count("/") if one.method == "delete" else -math.inf)
    )
    findings = Findings(service)
    fuzzer = _Fuzzer(world, findings, random.Random(start))
    number = start
    each = min(_ROUND, max(1, cases // (2 * len(operations))))
    kinds = [(operation, mode) for operation in operations for mode in _modes(operation)]
    while findings.total < cases:
        world.populate()
        for kind in list(kinds):
            operation, mode = kind
            number += 1
            try:
                _run(operation.as_strategy(mode), each, number, fuzzer.try_out)
            except Unsatisfiable:
                # Of free text nothing is wrong.
                kinds.remove(kind)
    fuzzer.close()
    return findings


def _turn(operation: Any) -> tuple[bool, float]:
    return operation.method in _LAST, -operation.path.count("/") if operation.method == "delete" else -math.inf


def read_document(world: FuzzWorld, service: str) -> dict[str, Any]:
    """What a service says of itself."""
    found: dict[str, Any] = requests.get(world.urls[service] + "/openapi.json", timeout=_TIMEOUT).json()
    return found


def is_endless(path: str) -> bool:
    """Whether its answers have no end: a test of their own reads their beginning."""
    return path.startswith(_ENDLESS)


def closed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with every object that lists its fields closed: what is not documented may then not be answered."""
    found = copy.deepcopy(dict(document))
    for schema in found["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return found


def _modes(operation: Any) -> Iterator[GenerationMode]:
    yield GenerationMode.POSITIVE
    given = operation.definition.raw.get("parameters", ())
    # Of free text nothing is wrong, and to find that out takes long.
    if operation.body or any(one["schema"].get("type") != "string" or set(one["schema"]) - _FREE for one in given):
        yield GenerationMode.NEGATIVE


def _run(strategy: Any, most: int, number: int, try_out: Callable[[Any], None]) -> None:
    # Nothing is shrunk and nothing is raised: one finding does not hide the next.
    @seed(number)
    @settings(
        max_examples=most,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def each(case: Any) -> None:
        try_out(case)

    each()


class _Fuzzer:
    def __init__(self, world: FuzzWorld, findings: Findings, chance: random.Random) -> None:
        self._world = world
        self._findings = findings
        self._chance = chance
        self._session = requests.Session()
        self._tokens = ItemTokens(lambda: ITEMS_SECRET)
        services = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
        roles = world.shown.values() if world.has_users else ({}, services)
        self._roles = [*roles, {"Authorization": "Bearer wrong"}]
        self._rightly = {True: services, False: world.shown["operator"] if world.has_users else {}}

    def close(self) -> None:
        self._session.close()

    def try_out(self, case: Any) -> None:
        """Send it, and hold the answer against the document."""
        operation = case.operation.label
        self._make_sense(case)
        sent = case.as_transport_kwargs()
        sent["headers"] = {**sent["headers"], **self._credentials(case)}
        if "data" in sent or "json" in sent:
            self._mangle(sent)
        sent.update(allow_redirects=False, timeout=_TIMEOUT)
        try:
            answer = self._session.request(**sent)
        except requests.exceptions.InvalidHeader:
            return
        except requests.RequestException as error:
            self._findings.cases[operation] += 1
            self._findings.add(f"{operation}: {type(error).__name__}", _example(sent))
            return
        self._findings.cases[operation] += 1
        self._findings.codes[answer.status_code] += 1
        self._findings.answers.setdefault(operation, Counter())[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._findings.add(
                    f"{operation} {answer.status_code}: {failure.title}: {failure.message[:300]}",
                    f"{_example(sent)} -> {answer.text[:300]}",
                )

    def _make_sense(self, case: Any) -> None:
        """Most requests are about something that is there, and none waits for ever."""
        for name in case.path_parameters or {}:
            # Before its queue is open a submission's items are not to be had yet, which is told with 503.
            self._known(case.path_parameters, name, "opened" if "/items" in case.path else name)
        query = case.query or {}
        for name in ("pod", "cluster"):
            if name in query:
                self._known(query, name)
        if query.get("follow") not in (None, False, "false", "0") and "log" in case.path:
            query["follow"] = "false"
        if "wait" in query:
            query["wait"] = "0"
        headers = case.headers if case.headers is not None else {}
        if MARK in headers and self._chance.random() < _KNOWN:
            headers[MARK] = MARK_VALUE
        bases = BASES.get(case.path)
        if bases and case.method == "POST" and isinstance(case.body, dict) and self._chance.random() < _NEARLY_RIGHT:
            self._repair(case, self._chance.choice(bases))
        if case.path == "/submissions/cluster" and isinstance(case.body, dict):
            self._repair(
                case, {"cluster_name": "another", "cluster_config": self._world.cluster.kubeconfig.read_text()}
            )
        if case.path == "/login" and isinstance(case.body, dict) and self._chance.random() < _NEARLY_RIGHT:
            case.body = {"name": self._world.known["user"][0], "password": PASSWORD, "next": "/clusters"}
        body = case.body
        if isinstance(body, dict):
            if "wait" in body:
                body["wait"] = self._chance.choice([0, 0.01, -1, "x"])
            if isinstance(body.get("items"), list):
                for item in body["items"]:
                    if isinstance(item, dict) and "attempt" in item:
                        item.update(id=self._chance.choice(self._world.known["item"]), attempt=1)
            # The id in the body is the one in the path.
            for place in (body, body.get("plugin_info")):
                if isinstance(place, dict) and isinstance(place.get("queue"), dict):
                    place["queue"]["submission"] = (case.path_parameters or {}).get("id", "x")

    def _repair(self, case: Any, base: Mapping[str, Any]) -> None:
        """A body that is right, but for a field or two."""
        odd = self._chance.sample(sorted(case.body), min(len(case.body), self._chance.choice((0, 0, 1, 2))))
        case.body = {**copy.deepcopy(dict(base)), **{name: case.body[name] for name in odd}}

    def _known(self, place: dict[str, Any], name: str, kind: str = "") -> None:
        known = self._world.known.get(kind or name, ())
        if known and self._chance.random() < _KNOWN:
            place[name] = self._chance.choice(known)

    def _credentials(self, case: Any) -> dict[str, str]:
        id = (case.path_parameters or {}).get("id", "")
        if "/items/" in case.path and self._chance.random() < _KNOWN:
            return {"Authorization": f"Bearer {self._tokens.token(str(id))}"}
        if self._chance.random() < _KNOWN:
            return self._rightly[_is_for_services(case)]
        return self._chance.choice(self._roles)

    def _mangle(self, sent: dict[str, Any]) -> None:
        """Now and then a body that is no document, or is said to be what it is not."""
        if self._chance.random() >= _MANGLED:
            return
        sent.pop("json", None)
        sent["data"] = self._chance.choice(_NO_DOCUMENTS)
        kind = self._chance.choice(_MEDIA)
        sent["headers"].pop("Content-Type", None)
        if kind:
            sent["headers"]["Content-Type"] = kind


def _is_for_services(case: Any) -> bool:
    return bool(case.operation.definition.raw.get("x-need") == "service")


_STEERING: dict[str, Any] = {
    "kind": "batch",
    "law": "deadline",
    "control": {},
    "replicas": {"min": 1, "max": 4},
    "initial": 1,
    "namespace": "default",
    "job": "a-job",
    "queue": {"submission": "x"},
}
_SPECS: tuple[dict[str, Any], ...] = (
    {"run": "cat {item}", "workload": ["a", "b"], "deadline": "10m"},
    {"run": "cat {item}", "target": {"latency": 5}},
    {"command": ["work"], "workload": {"items": ["a"]}, "queue": "dedicated"},
    {
        "plugin": "kubejobs",
        "plugin_info": {
            "cmd": ["work"],
            "img": "an/image",
            "init_size": 1,
            "redis_workload": "http://127.0.0.1:1/items",
            "control_parameters": {"min_rep": 1, "max_rep": 3, "schedule_strategy": "default"},
        },
    },
)
BASES: Mapping[str, tuple[dict[str, Any], ...]] = {
    "/submissions": _SPECS,
    "/api/submissions": _SPECS,
    "/submissions/{id}/items": ({"items": ["a", {"payload": "b", "id": "c"}]},),
    "/submissions/cluster/{name}/certificate": ({"certificate_name": "b.crt", "certificate_content": "x"},),
    "/users": ({"name": "someone", "role": "viewer"},),
    "/users/{user}/tokens": ({"label": "x"},),
    "/forecast": ({**_STEERING, "items": 10, "expected_item_time": 2.0, "deadline": 100.0},),
    "/setup": ({"instances_cap": {"x": 3}},),
    **{f"/{spelling}/{{id}}": (_STEERING,) for spelling in SPELLINGS},
    **{f"/{spelling}/validate": ({"law": "deadline"}, {"law": "pid"}) for spelling in SPELLINGS},
    "/monitoring/{id}": (
        {"plugin_info": {"queue": {"submission": "x"}, "namespace": "default", "created_at": 1.0, "deadline": 60.0}},
    ),
    "/visualizing": ({"app_id": "x", "name": "a board"},),
    "/visualizing/{id}": ({"name": "a board"},),
}
"""Bodies that are right, by path."""

_NO_DOCUMENTS = (
    b"",
    b"{",
    b"\x00\x01\x02",
    b"\xff\xfe{}",
    b"null",
    b"[]",
    b'"text"',
    b"1e999",
    b"NaN",
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": "\\udfff"}',
    b"[" * 10_000,
    b'{"a":' * 200 + b"1" + b"}" * 200,
    b"- " * 5_000,
    b"a: &x [1]\nb: *x\n",
    b"? {a: 1}\n: 2\n",
    b"2026-01-01: 2026-01-01\n",
    b"!!python/object/apply:os.system ['true']\n",
    b"%YAML 9.9\n---\n",
    b"1" * 10_000,
)
_MEDIA = (
    "",
    "application/json",
    "application/yaml",
    "text/plain",
    "text/yaml; charset=latin-1",
    "multipart/form-data",
    "?",
)


def _example(sent: Mapping[str, Any]) -> str:
    body = json.dumps(sent["json"])[:400] if "json" in sent else str(sent.get("data", ""))[:400]
    headers = {name: value for name, value in sent["headers"].items() if name in ("Content-Type", "Idempotency-Key")}
    return f"{sent['method']} {sent['url']} {sent.get('params') or ''} {headers} {body}"
