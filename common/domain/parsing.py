"""From a document to a model: every fault named by its path, unknown fields with the nearest known name.

Pydantic stops before the conditions between fields when a field is wrong, and would tell the user of them only after
the next try. So a faulty document is pruned of what is wrong and looked at again, until nothing new is found; what a
rule says of a field that was pruned is no news and is left out.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from common.domain.errors import Fault, InvalidSubmission
from common.domain.rules import RULE
from common.domain.submission import SubmissionSpec

M = TypeVar("M", bound=BaseModel)
Path = tuple[int | str, ...]

MAX_FAULTS = 100
_MAX_DEPTH = 24
_MAX_WHOLE = 2**63
_MAX_ROUNDS = 12
_SHOWN = 80
_UNION_TAG = re.compile(
    r"(constrained-str|function-(before|after|wrap|plain))$|(function-\w+|tuple|list|nullable|union)\[.*\]$"
)
_WORDS = {
    "missing": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "string_too_short": "must not be empty",
}
"""What pydantic's types of error mean to somebody who writes JSON."""


def parse_native(document: object) -> SubmissionSpec:
    """The specification in a native document. Raises InvalidSubmission with every fault."""
    if not isinstance(document, Mapping):
        raise InvalidSubmission([Fault("body", "must be an object with fields such as run and workload")])
    spec, faults = examine(document, SubmissionSpec)
    if spec is None:
        raise InvalidSubmission(faults)
    return spec


def examine(document: Mapping[Any, Any], model: type[M]) -> tuple[M | None, list[Fault]]:
    """The model in a document of plain data, or every fault found (at most MAX_FAULTS and a note of the rest)."""
    search = _Search(dict(document), model)
    value = search.run()
    return value, listed(search.faults)


def plain_faults(document: object) -> list[tuple[Path, str]]:
    """Paths and problems of what no JSON document should hold: dates, NUL, infinite or absurd numbers, deep nests."""
    return list(_impurities(document, ()))


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Pydantic's complaints as faults a user can act on, each once, in the document's words."""
    return listed(complaint.fault for complaint in _complaints(error, model))


@dataclass(frozen=True)
class _Complaint:
    path: Path
    fault: Fault
    rule: bool = False
    missing: bool = False
    reads: tuple[Path, ...] = ()
    """Where the fields are that a broken rule looks at."""
    meant: Path | None = None
    """Where the user probably wanted to write what stands in an unknown field."""


@dataclass
class _Search:
    document: dict[Any, Any]
    model: type[BaseModel]
    faults: dict[Fault, None] = field(default_factory=dict)
    suspects: set[Path] = field(default_factory=set)
    copied: bool = False

    def run(self) -> Any:
        impurities = plain_faults(self.document)
        for path, problem in impurities:
            self.faults[Fault(dotted(path), problem)] = None
        for path, _ in sorted(impurities, key=lambda found: len(found[0])):
            self._prune(path)
        for _ in range(_MAX_ROUNDS):
            try:
                value = self.model.model_validate(self.document)
            except ValidationError as error:
                if not self._learn(_complaints(error, self.model)):
                    return None
            else:
                return None if self.faults else value
        return None

    def _learn(self, complaints: Iterable[_Complaint]) -> bool:
        """Note what is new and prune it; whether there is anything left to look at again."""
        pruned = False
        before = frozenset(self.suspects)
        for complaint in complaints:
            if not self._is_consequence(complaint, before):
                self.faults[complaint.fault] = None
            if complaint.meant is not None:
                self.suspects.add(complaint.meant)
            for path in complaint.reads if complaint.rule else (complaint.path,):
                pruned = self._prune(path) or pruned
        return pruned

    def _is_consequence(self, complaint: _Complaint, before: Set[Path]) -> bool:
        """Whether it is about what was pruned (in an earlier round, for what is missing)."""
        if complaint.rule:
            return any(_is_within(path, self.suspects) for path in complaint.reads)
        return complaint.missing and _is_within(complaint.path, before)

    def _prune(self, path: Path) -> bool:
        """Remove what is at the path, or the smallest object around it; whether anything was removed."""
        # Elements of lists keep their positions, so that later faults name the right one: the whole list goes.
        lists = [place for place, part in enumerate(path) if isinstance(part, int)]
        path = path[: lists[0]] if lists else path
        self.suspects.add(path)
        if not self.copied:
            self.document, self.copied = copy.deepcopy(self.document), True
        while path:
            holder: Any = self.document
            for part in path[:-1]:
                holder = holder.get(part) if isinstance(holder, dict) else None
            # YAML allows keys that are not text; paths name them as text.
            keys = [key for key in holder if str(key) == path[-1]] if isinstance(holder, dict) else []
            for key in keys:
                del holder[key]
            if keys:
                return True
            path = path[:-1]
            self.suspects.add(path) if path else None
        return False


def _is_within(path: Path, places: Set[Path]) -> bool:
    return any(path[:length] in places for length in range(len(path) + 1))


def dotted(path: Path) -> str:
    """``("workload", "items", 3)`` as ``workload.items.3``, long and unprintable names shortened."""
    return ".".join(_shown(str(part)) for part in path)


def nearest(unknown: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    near = difflib.get_close_matches(unknown[:_SHOWN].lower(), list(known), n=1, cutoff=0.5)
    return near[0] if near else None


def listed(faults: Iterable[Fault]) -> list[Fault]:
    """Each fault once, at most MAX_FAULTS and a note of the rest."""
    unique = list(dict.fromkeys(faults))
    if len(unique) > MAX_FAULTS:
        return [*unique[:MAX_FAULTS], Fault("body", f"has {len(unique) - MAX_FAULTS} more faults")]
    return unique


def _shown(text: str) -> str:
    clean = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:_SHOWN])
    return clean if len(text) <= _SHOWN else f"{clean}..."


def _impurities(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        if "\0" in value:
            yield path, "must not hold NUL"
        elif not _encodable(value):
            yield path, "is not Unicode text: it holds half of a surrogate pair"
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if abs(value) >= _MAX_WHOLE:
            yield path, "is too large a number"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, "must be a finite number"
    elif isinstance(value, Mapping | list | tuple):
        if len(path) >= _MAX_DEPTH:
            yield path[:1], f"is nested more than {_MAX_DEPTH} levels deep"
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                yield from _key_impurities(key, path)
                yield from _impurities(inner, (*path, key))
        else:
            for position, inner in enumerate(value):
                yield from _impurities(inner, (*path, position))
    else:
        yield path, f"is a {type(value).__name__}: write it as text, in quotes"


def _key_impurities(key: object, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(key, str):
        yield (*path, str(key)), "names of fields must be text: write it in quotes"
    elif "\0" in key or not _encodable(key):
        yield (*path, key), "is no name of a field"


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _complaints(error: ValidationError, model: type[BaseModel]) -> Iterator[_Complaint]:
    for detail in error.errors(include_url=False, include_input=False):
        loc, kind = detail["loc"], detail["type"]
        # An unknown field is the user's word, whatever it looks like.
        own = loc[-1:] if kind == "extra_forbidden" else ()
        path = (*(part for part in loc[: len(loc) - len(own)] if not _is_union_tag(part)), *own)
        if kind == RULE:
            at = _holder(path, detail["ctx"]["reads"])
            reads = tuple((*at, name) for name in detail["ctx"]["reads"])
            yield _Complaint(path, Fault(dotted(path), detail["msg"]), rule=True, reads=reads)
        elif kind == "extra_forbidden":
            yield _unknown_field(path, model)
        else:
            problem = _WORDS.get(kind) or detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
            yield _Complaint(path, Fault(dotted(path), problem), missing=kind == "missing")


def _holder(path: Path, reads: tuple[str, ...]) -> Path:
    """Where the model is whose rule is broken: the rule's error stands at one of its fields, or at the model."""
    return path[:-1] if path and path[-1] in reads else path


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and _UNION_TAG.match(part) is not None


def _unknown_field(path: Path, model: type[BaseModel]) -> _Complaint:
    unknown = str(path[-1])
    known = sorted(_fields_at(path[:-1], model))
    near = nearest(unknown, known)
    if near is not None:
        fault = Fault(dotted(path), f"unknown field; did you mean {near}?")
        return _Complaint(path, fault, meant=(*path[:-1], near))
    problem = f"unknown field; known here are {', '.join(known)}" if known else "unknown field"
    return _Complaint(path, Fault(dotted(path), problem))


def _fields_at(path: Path, model: type[BaseModel]) -> Iterable[str]:
    is_free = False
    for part in path:
        if isinstance(part, int) or is_free:
            # An element of a list, or a key of the user's own.
            is_free = False
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None or field is None:
            return ()
        is_free = typing.get_origin(field.annotation) is dict
        model = inner
    return model.model_fields


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, tuple, list, dict):
        for argument in typing.get_args(annotation):
            found = _model_in(argument)
            if found is not None:
                return found
    return None
