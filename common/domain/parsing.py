"""From a document to a specification: every fault named by its path, unknown fields with the nearest known name."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from common.domain.errors import Fault, InvalidSubmission
from common.domain.submission import SubmissionSpec


def parse_native(document: object) -> SubmissionSpec:
    """The specification in a native document. Raises InvalidSubmission with every fault."""
    if not isinstance(document, Mapping):
        raise InvalidSubmission([Fault("", "the document must be an object with fields such as run and workload")])
    try:
        return SubmissionSpec.model_validate(dict(document))
    except ValidationError as error:
        raise InvalidSubmission(faults_of(error, SubmissionSpec)) from error


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Pydantic's complaints as faults a user can act on, each once, in the document's words."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False, include_context=False):
        path = tuple(part for part in detail["loc"] if not _is_union_tag(part))
        problem = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            problem = _unknown_field(path, model)
        elif detail["type"] == "missing":
            problem = "is required"
        fault = Fault(".".join(str(part) for part in path), problem)
        if fault not in faults:
            faults.append(fault)
    return faults


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"constrained-str", "function-before"})


def _unknown_field(path: tuple[int | str, ...], model: type[BaseModel]) -> str:
    unknown = str(path[-1])
    known = list(_fields_at(path[:-1], model))
    near = difflib.get_close_matches(unknown.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"unknown field; did you mean {near[0]}?"
    return f"unknown field; known here are {', '.join(sorted(known))}" if known else "unknown field"


def _fields_at(path: tuple[int | str, ...], model: type[BaseModel]) -> typing.Iterable[str]:
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return ()
        model = inner
    return model.model_fields


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, list):
        for argument in typing.get_args(annotation):
            found = _model_in(argument)
            if found is not None:
                return found
    return None
