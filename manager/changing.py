"""What of a submission may be changed while it runs, and what a change comes to. Pure.

A change is a JSON merge patch (RFC 7386) of the native document: what is not named stays, null takes a field back to
its default. Settings belong to their law: they are merged as long as the law stays, and begin anew with another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.domain.errors import Fault, InvalidSubmission
from common.domain.parsing import dotted, examine, listed, nearest, plain_faults
from common.domain.submission import Kind, SubmissionSpec

CHANGEABLE = ("deadline", "target", "replicas", "control", "priority", "expected_item_time")
"""Top-level fields of the specification that may change."""


@dataclass(frozen=True)
class Difference:
    """One field and its old and new value, as plain data."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field} {_shown(self.old)} -> {_shown(self.new)}"


def changed(spec: SubmissionSpec, patch: object) -> tuple[SubmissionSpec, tuple[Difference, ...]]:
    """The specification after the change, and what differs. Raises InvalidSubmission with every fault."""
    if not isinstance(patch, Mapping):
        raise InvalidSubmission([Fault("body", f"must be an object with some of {', '.join(CHANGEABLE)}")])
    impure = plain_faults(patch)
    faults = [*(Fault(dotted(path), problem) for path, problem in impure), *_out_of_place(patch, spec)]
    # What is wrong already is left out, so that the rest is looked at too.
    left_out = {str(path[0]) for path, _ in impure} | {fault.field for fault in faults}
    wanted = {name: patch[name] for name in CHANGEABLE if name in patch and name not in left_out}
    before = spec.model_dump(mode="json", exclude_none=True)
    document = _merged(before, wanted)
    _fit_initial(document, wanted)
    if _another_law(before, document):
        document["control"]["settings"] = (wanted["control"] or {}).get("settings") or {}
    after, found = examine(document, SubmissionSpec)
    if after is None or faults:
        raise InvalidSubmission(listed([*faults, *found]))
    return after, tuple(_differences("", before, after.model_dump(mode="json", exclude_none=True)))


def _out_of_place(patch: Mapping[Any, Any], spec: SubmissionSpec) -> Iterator[Fault]:
    """Faults of fields that do not change, or not so."""
    for name in map(str, patch):
        if name in CHANGEABLE:
            continue
        if name in SubmissionSpec.model_fields:
            yield Fault(name, f"cannot be changed while it runs; {', '.join(CHANGEABLE)} can")
        else:
            near = nearest(name, CHANGEABLE)
            hint = f"did you mean {near}?" if near else f"known here are {', '.join(CHANGEABLE)}"
            yield Fault(name[:80], f"unknown field; {hint}")
    replicas = patch.get("replicas")
    if isinstance(replicas, Mapping) and "initial" in replicas:
        yield Fault("replicas.initial", "counts at the start only; give min and max")
    if spec.kind is Kind.BATCH and patch.get("target") is not None:
        yield Fault("target", "a batch does not become a stream; give a deadline")
    if spec.kind is Kind.STREAM and patch.get("deadline") is not None:
        yield Fault("deadline", "a stream does not become a batch; give a target")
    if spec.kind is Kind.STREAM and "target" in patch and patch["target"] is None:
        yield Fault("target", "a stream needs one")


def _merged(document: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _fit_initial(document: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """How many replicas there were at the start must not stand in the way of new bounds."""
    replicas = document.get("replicas")
    if "replicas" in wanted and isinstance(replicas, dict):
        replicas.pop("initial", None)


def _another_law(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    old, new = before.get("control") or {}, after.get("control")
    return isinstance(new, dict) and new.get("law") != old.get("law")


def _differences(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            if path == "replicas" and name == "initial":
                continue
            inner = f"{path}.{name}" if path else str(name)
            yield from _differences(inner, old.get(name), new.get(name))
    elif old != new:
        yield Difference(path, old, new)


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)[:80]
