"""From a table of routes to an OpenAPI 3.1 document. Pure: the models bring their schemas, the rules their needs.

Each service has its table in its ``routes.py``. What every route may answer for the same reason (a wrong parameter, no
credentials, a body too large) is not in the table: it follows from what the route takes and what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import DataclassField, ModelField, TypedDictField
from typing_extensions import TypedDict

from common.domain.policy import Need

JSON = "application/json"
YAML = "application/yaml"
TEXT = "text/plain"
_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<([a-z_]+)>")
_OPEN = frozenset({Need.PUBLIC, Need.POD})
_NEEDS: Mapping[Need, str] = {
    Need.PUBLIC: "Open to everybody.",
    Need.READ: "For every user.",
    Need.LIST: "For every user; a submitter is told of their own only.",
    Need.SEE: "For whoever may see the submission.",
    Need.OVERVIEW: "For users who see all submissions, and for services.",
    Need.METRICS: "For users who see all submissions, and for the metrics token.",
    Need.SUBMIT: "Takes the role submitter.",
    Need.CHANGE: "For the submission's owner, and for administrators.",
    Need.SELF: "For the user in the path, and for administrators.",
    Need.ADMIN: "Takes the role admin.",
    Need.SERVICE: "For the services of the suite: their token, where they have one.",
    Need.POD: "For the submission's own pods: the token that they find in `$ASPERATHOS_ITEMS_TOKEN`.",
}


class FaultDocument(TypedDict):
    """One thing wrong with a request."""

    field: str
    problem: str


class ErrorDocument(TypedDict):
    """Every error of every service."""

    error_code: int
    error_name: str
    error_message: str
    details: list[FaultDocument]
    request_id: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request. ``kind`` is its type, with its bounds."""

    name: str
    kind: Any
    about: str
    place: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True)
class Body:
    """What a request brings: ``kind`` as JSON or YAML, and, beside it, plain text where ``text`` says what that is."""

    kind: Any
    required: bool = True
    text: str = ""
    form: bool = False
    """A form of a page instead."""


@dataclass(frozen=True)
class Answer:
    """What a route answers. ``kind`` is the type of the JSON (None: no JSON), ``media`` the other forms it has."""

    about: str
    kind: Any = None
    media: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One method of one path, written as in the url map. ``refusals`` are what it may refuse with beside what follows
    from its parameters, its body and its need."""

    method: str
    path: str
    summary: str
    answers: Mapping[int, Answer]
    body: Body | None = None
    parameters: tuple[Parameter, ...] = ()
    refusals: Mapping[int, str] = field(default_factory=dict)
    about: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """As the rules have it."""
        return self.method, self.path

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters in the path."""
        return tuple(_PARAMETER.findall(self.path))


@dataclass(frozen=True)
class Table:
    """The routes of a service. ``kinds`` are the types of the parameters in its paths, by name."""

    service: str
    purpose: str
    routes: tuple[Route, ...]
    kinds: Mapping[str, Parameter]


Needs = Callable[[str, str, str], Need]
"""What a route needs, by service, method and path."""

NOTHING: Mapping[int, Answer] = {204: Answer("Done.")}
"""The answers of a route that has nothing to tell."""
OPTIONAL_OBJECT = Body(dict[str, Any], required=False)
"""What the original's clients send along where nothing is needed, their credentials for instance."""


class Ready(TypedDict):
    """Whether a service can work: what it leans on and does not answer, by name."""

    ready: bool
    broken: dict[str, str]


EVERYWHERE: tuple[Route, ...] = (
    Route("GET", "/healthz", "Whether the process answers", {200: Answer("It does.", Literal["OK"])}),
    Route(
        "GET",
        "/readyz",
        "Whether it can work",
        {200: Answer("It can.", Ready), 503: Answer("Something it leans on does not answer.", Ready)},
    ),
    Route("GET", "/metrics", "What Prometheus reads", {200: Answer("Its numbers.", media=(TEXT,))}),
    Route("GET", "/openapi.json", "This document", {200: Answer("OpenAPI 3.1.", dict[str, Any])}),
)
"""Routes that each service has."""

_BY_THE_SERVER = frozenset({414})
"""What the HTTP server answers by itself, in a form of its own."""
_MESSAGES: Mapping[int, str] = {
    400: "Something in the request is wrong; `details` names it.",
    401: "No credentials, or wrong ones.",
    403: "The credentials do not allow this.",
    404: "There is no such thing, or none that you may see.",
    409: "It contradicts the present state.",
    413: "The body is too large.",
    414: "The request line is longer than 8190 bytes.",
    415: "The body is neither JSON nor YAML.",
    422: "It is well-formed, but cannot be done as asked.",
    429: "Too many failed logins, or a quota is used up; `Retry-After` says when to come again.",
    502: "The cluster refused.",
    503: "Something this leans on does not answer; trying again may help.",
}


def describe(table: Table, version: str, needs: Needs) -> dict[str, Any]:
    """The OpenAPI document of a service. The same table gives the same document."""
    routes = sorted((*table.routes, *EVERYWHERE), key=lambda route: (route.path, _order(route.method)))
    schemas = _Schemas(_kinds(table, routes))
    paths: dict[str, dict[str, Any]] = {}
    used: set[int] = set()
    for route in routes:
        need = needs(table.service, route.method, route.path)
        refusals = dict(_refusals(route, need))
        used |= refusals.keys()
        place = paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})
        place[route.method.lower()] = _operation(route, need, refusals, table.kinds, schemas)
    responses = {str(code): _refusal(code, _MESSAGES[code]) for code in sorted(used)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Asperathos {table.service}",
            "version": version,
            "description": table.purpose,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "responses": responses,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token, or the services' token."},
                "password": {"type": "http", "scheme": "basic", "description": "Name and password of a user."},
            },
        },
    }


def _order(method: str) -> int:
    return ("GET", "POST", "PUT", "PATCH", "DELETE").index(method)


def _refusals(route: Route, need: Need) -> Iterator[tuple[int, str]]:
    """What it may refuse with, and why, in order."""
    found = dict(route.refusals)
    if route.parameters or route.body is not None or route.names:
        found.setdefault(400, "")
        found.setdefault(414, "")
    if need is not Need.PUBLIC:
        found.setdefault(401, "")
        found.setdefault(403, "")
    if need not in _OPEN:
        found.setdefault(429, "")
    if route.names:
        found.setdefault(404, "")
    if route.body is not None:
        found.setdefault(413, "")
        found.setdefault(415, "")
    if need is not Need.PUBLIC:
        found.setdefault(503, "")
    yield from sorted((code, why) for code, why in found.items() if code not in route.answers)


def _operation(
    route: Route, need: Need, refusals: Mapping[int, str], kinds: Mapping[str, Parameter], schemas: _Schemas
) -> dict[str, Any]:
    about = " ".join(part for part in (route.about, _NEEDS[need]) if part)
    found: dict[str, Any] = {"summary": route.summary, "description": about, "operationId": _name(route)}
    parameters = [_parameter(kinds[name], name, "path", schemas) for name in route.names]
    parameters += [_parameter(one, one.name, one.place, schemas) for one in route.parameters]
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = _body(route.body, schemas)
    answers = {str(code): _answer(answer, schemas) for code, answer in route.answers.items()}
    for code, why in refusals.items():
        answers[str(code)] = _refusal(code, why) if why else {"$ref": f"#/components/responses/{code}"}
    found["responses"] = dict(sorted(answers.items()))
    if need is Need.POD:
        found["security"] = [{"token": []}]
    elif need is not Need.PUBLIC:
        # Where nobody has to log in, nothing is asked for.
        found["security"] = [{"token": []}, {"password": []}, {}]
    found["x-need"] = need.value
    return found


def _name(route: Route) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", route.path) if word]
    return "_".join((route.method.lower(), *words))


def _parameter(given: Parameter, name: str, place: str, schemas: _Schemas) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "description": given.about,
        "required": given.required or place == "path",
        "schema": schemas.of(given.kind, "validation"),
    }


def _body(body: Body, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(body.kind, "validation")
    if body.form:
        return {"required": body.required, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    content: dict[str, Any] = {media: {"schema": schema} for media in (JSON, YAML)}
    if body.text:
        content[TEXT] = {"schema": {"type": "string", "description": body.text}}
    return {"required": body.required, "content": content}


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.kind is not None:
        content[JSON] = {"schema": schemas.of(answer.kind, "serialization")}
    content.update({media: {"schema": {"type": "string"}} for media in answer.media})
    found: dict[str, Any] = {"description": answer.about}
    if answer.headers:
        found["headers"] = {
            name: {"description": about, "required": True, "schema": {"type": "string"}}
            for name, about in answer.headers.items()
        }
    return {**found, "content": content} if content else found


def _refusal(code: int, about: str) -> dict[str, Any]:
    if code in _BY_THE_SERVER:
        return {"description": about, "content": {"text/html": {"schema": {"type": "string"}}}}
    schema = {"$ref": _REFERENCE.format(model=ErrorDocument.__name__)}
    return {"description": about, "content": {JSON: {"schema": schema}}}


def _kinds(table: Table, routes: Sequence[Route]) -> Iterator[tuple[Any, Literal["validation", "serialization"]]]:
    """All types there are, in a fixed order."""
    yield ErrorDocument, "serialization"
    for parameter in table.kinds.values():
        yield parameter.kind, "validation"
    for route in routes:
        for parameter in route.parameters:
            yield parameter.kind, "validation"
        if route.body is not None:
            yield route.body.kind, "validation"
        for answer in route.answers.values():
            if answer.kind is not None:
                yield answer.kind, "serialization"


class _Generator(GenerateJsonSchema):
    """What a model has a default for need not be sent, but is always answered."""

    def field_is_required(self, field: ModelField | DataclassField | TypedDictField, total: bool) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude")
        return super().field_is_required(field, total)


class _Schemas:
    """The schemas of types, made together so that equal names are told apart."""

    def __init__(self, kinds: Iterable[tuple[Any, Literal["validation", "serialization"]]]) -> None:
        adapters = {(repr(kind), mode): TypeAdapter(kind) for kind, mode in kinds}
        found, shared = TypeAdapter.json_schemas(
            [(name, mode, adapter) for (name, mode), adapter in adapters.items()],
            ref_template=_REFERENCE,
            schema_generator=_Generator,
        )
        self._found = found
        self.definitions: dict[str, Any] = dict(sorted(shared.get("$defs", {}).items()))

    def of(self, kind: Any, mode: Literal["validation", "serialization"]) -> dict[str, Any]:
        """The schema of one of the types: a reference where it has a name."""
        return dict(self._found[repr(kind), mode])
