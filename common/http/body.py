"""Request bodies: JSON or YAML in, a plain document or a typed contract out."""

from __future__ import annotations

import json
import math
import re
from typing import Any, ClassVar, TypeVar

import yaml
from flask import Request
from pydantic import BaseModel, ValidationError

from common.domain.errors import BadRequest, Fault, UnsupportedMedia
from common.domain.parsing import faults_of

M = TypeVar("M", bound=BaseModel)
_JSON = frozenset({"application/json"})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
_DEEPEST = 64
_MOST_FAULTS = 20


def read_document(request: Request) -> Any:
    """The body as what JSON can say: dict with text keys, list, str, int, finite float, bool or None.

    Raises BadRequest (not parseable, not UTF-8, nested deeper than 64, not such data) and UnsupportedMedia.
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
        _check_plain(document)
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
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = faults_of(error, model)
        listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        raise BadRequest(f"invalid body: {listed}", faults) from error


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


def _check_plain(document: Any) -> None:
    """Raises BadRequest for what JSON cannot say or nobody can store."""
    faults: list[Fault] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while waiting and len(faults) < _MOST_FAULTS:
        path, value = waiting.pop()
        if len(path) >= _DEEPEST and isinstance(value, dict | list):
            raise RecursionError
        if isinstance(value, dict):
            waiting.extend(((*path, str(key)), inner) for key, inner in value.items())
            waiting.extend(((*path, str(key)), key) for key in value if not isinstance(key, str) or not key.isascii())
            if any(not isinstance(key, str) for key in value):
                faults.append(_fault(path, "has a key that is not text: put it in quotes"))
        elif isinstance(value, list):
            waiting.extend(((*path, str(place)), inner) for place, inner in enumerate(value))
        else:
            problem = _problem_with(value)
            if problem:
                faults.append(_fault(path, problem))
    if faults:
        listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        raise BadRequest(f"invalid body: {listed}", faults)


def _problem_with(value: Any) -> str:
    if isinstance(value, str):
        return "" if value.isascii() or _is_unicode(value) else "holds half of a surrogate pair"
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if abs(value) < 2**63 else "is too large a number"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "must be a finite number"
    return f"must be text, a number, true, false, null, a list or an object, not a {type(value).__name__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fault(path: tuple[str, ...], problem: str) -> Fault:
    name = ".".join(path) or "body"
    return Fault(name.encode("utf-8", "backslashreplace").decode("utf-8"), problem)
