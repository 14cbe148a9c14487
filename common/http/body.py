"""Request bodies: JSON or YAML in, a plain document or a typed contract out."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import yaml
from flask import Request
from pydantic import BaseModel, ValidationError

from common.domain.errors import BadRequest, Fault, UnsupportedMedia
from common.domain.parsing import faults_of

M = TypeVar("M", bound=BaseModel)
_JSON = frozenset({"application/json"})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


def read_document(request: Request) -> Any:
    """The body as plain data. Raises BadRequest (not parseable, not UTF-8) and UnsupportedMedia."""
    kind = request.mimetype
    if kind not in _JSON | _YAML:
        raise UnsupportedMedia(
            f"content type {kind or '(none)'} is not understood: send application/json or application/yaml",
            [Fault("Content-Type", "must be application/json or application/yaml")],
        )
    try:
        text = request.get_data().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", [Fault("body", "must be UTF-8")]) from error
    if not text.strip():
        raise BadRequest("the body is empty", [Fault("body", "must be a JSON or YAML document")])
    try:
        return json.loads(text, parse_constant=_refuse_constant) if kind in _JSON else _load_yaml(text)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", [Fault("body", "is nested too deeply")]) from error
    except (ValueError, yaml.YAMLError) as error:
        form = "JSON" if kind in _JSON else "YAML"
        problem = " ".join(str(error).split())
        raise BadRequest(f"the body is not {form}: {problem}", [Fault("body", f"is not {form}: {problem}")]) from error


def read_optional_document(request: Request) -> Any:
    """Like read_document, but no body at all is an empty object (the original's PUT and DELETE)."""
    return read_document(request) if request.get_data() else {}


def read_contract(request: Request, model: type[M]) -> M:
    """The body as a typed contract. Raises BadRequest listing every fault."""
    document = read_document(request)
    if not isinstance(document, dict):
        raise BadRequest("the body must be an object", [Fault("body", "must be an object")])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = faults_of(error, model)
        listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        raise BadRequest(f"invalid body: {listed}", faults) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without aliases: a small document cannot grow into a huge one."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not allowed")
        return super().compose_node(parent, index)


def _load_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_PlainLoader)
