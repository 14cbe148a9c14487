"""Request bodies: JSON or YAML in, a plain document or a typed contract out."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, TypeVar

import yaml
from flask import Request
from pydantic import BaseModel

from common.domain.errors import BadRequest, Fault, UnsupportedMedia
from common.domain.parsing import examine

M = TypeVar("M", bound=BaseModel)
_JSON = frozenset({"application/json"})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
_DEEPEST = 64


def read_document(request: Request) -> Any:
    """The body as plain data, at most 64 levels deep. Raises BadRequest (not to be parsed) and UnsupportedMedia.

    What it holds may still be odd (infinite numbers, keys that are not text): common.domain.parsing finds that.
    """
    kind = request.mimetype
    if kind not in _JSON | _YAML:
        raise UnsupportedMedia(
            f"content type {kind or '(none)'} is not understood: send application/json or application/yaml",
            [Fault("Content-Type", "must be application/json or application/yaml")],
        )
    try:
        text = request.get_data().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", [Fault("body", "must be UTF-8")]) from error
    if not text.strip():
        raise BadRequest("the body is empty", [Fault("body", "must be a JSON or YAML document")])
    try:
        document = json.loads(text, parse_constant=_refuse_constant) if kind in _JSON else _load_yaml(text)
        if isinstance(document, dict | list):
            _check_depth(document)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", [Fault("body", "is nested too deeply")]) from error
    except (ValueError, yaml.YAMLError) as error:
        form = "JSON" if kind in _JSON else "YAML"
        problem = " ".join(str(error).split())
        raise BadRequest(f"the body is not {form}: {problem}", [Fault("body", f"is not {form}: {problem}")]) from error
    return document


def read_optional_document(request: Request) -> Any:
    """Like read_document, but no body at all is an empty object (the original's PUT and DELETE)."""
    return read_document(request) if request.get_data() else {}


def read_contract(request: Request, model: type[M]) -> M:
    """The body as a typed contract. Raises BadRequest listing every fault."""
    document = read_document(request)
    if not isinstance(document, dict):
        raise BadRequest("the body must be an object", [Fault("body", "must be an object")])
    contract, faults = examine(document, model)
    if contract is None:
        told = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        raise BadRequest(f"invalid body: {told}", faults)
    return contract


def read_yaml(text: str) -> Any:
    """YAML (or JSON, which is YAML) as plain data. Raises ValueError; what it says never quotes the text."""
    try:
        document = _load_yaml(text)
        if isinstance(document, dict | list):
            _check_depth(document)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
        raise ValueError(f"is not YAML{place}") from None
    except (ValueError, yaml.YAMLError, TypeError):
        raise ValueError("is not YAML without anchors") from None
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_Loader):  # type: ignore[misc]
    """YAML 1.2's core schema: ``no`` and ``2026-01-01`` and ``007`` and ``12:30`` are texts, as their authors mean."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _form, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ("merge", r"^<<$", ["<"]),
):
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), _first)


def _load_yaml(text: str) -> Any:
    """One YAML document. Aliases are refused, so that a small document cannot grow into a huge one."""
    depth = 0
    # Before loading: the loader would follow the nesting with the C stack, beyond its end.
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("anchors and aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecursionError
    return yaml.load(text, Loader=_PlainLoader)


def _check_depth(document: Any) -> None:
    """Raises RecursionError beyond what the rest of us may follow by recursion."""
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RecursionError
