from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from common.domain.errors import InvalidSubmission
from common.domain.parsing import examine, parse_native

RIGHT: dict[str, Any] = {"run": "python work.py {item}", "workload": ["a", "b"], "deadline": "10m"}


def _faults(document: object) -> dict[str, str]:
    with pytest.raises(InvalidSubmission) as caught:
        parse_native(document)
    faults = {fault.field: fault.problem for fault in caught.value.faults}
    assert len(faults) == len(caught.value.faults), "a field is named twice"
    return faults


def test_a_right_document_is_its_specification() -> None:
    spec = parse_native(RIGHT)
    assert spec.deadline == 600.0
    assert spec.workload is not None and spec.workload.items == ("a", "b")


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_a_document_is_an_object(document: object) -> None:
    assert list(_faults(document)) == ["body"]


@pytest.mark.parametrize(
    ("extra", "field", "hint"),
    [
        ({"deadlne": 3}, "deadlne", "did you mean deadline?"),
        ({"Retries": 3}, "Retries", "did you mean retries?"),
        ({"replicas": {"maximum": 3}}, "replicas.maximum", "did you mean max?"),
        ({"control": {"intervall": 3}}, "control.intervall", "did you mean interval?"),
        ({"resources": {"zzzz": 3}}, "resources.zzzz", "known here are cpu, cpu_limit, gpu, gpu_vendor, memory"),
        ({"env": {"A": {"secrt": "s", "key": "k"}}}, "env.A.secrt", "did you mean secret?"),
        ({"volumes": [{"path": "/a", "clam": "c"}]}, "volumes.0.clam", "did you mean claim?"),
        ({"affinity": {"nodeAfinity": {}}}, "affinity.nodeAfinity", "did you mean nodeAffinity?"),
        ({"tolerations": [{"kye": "x", "operator": "Exists"}]}, "tolerations.0.kye", "did you mean key?"),
        ({"union[reference]": 3}, "union[reference]", "unknown field"),
    ],
)
def test_unknown_fields_are_faults_with_the_nearest_known_name(extra: dict[str, Any], field: str, hint: str) -> None:
    faults = _faults({**RIGHT, **extra})
    assert list(faults) == [field]
    assert hint in faults[field]


def test_every_fault_is_listed_at_once() -> None:
    faults = _faults(
        {
            "run": 5,
            "deadline": "soon",
            "replicas": {"min": 5, "max": 2, "initial": -1},
            "retries": True,
            "resources": {"cpu": "lots"},
            "env": {"1X": "y"},
            "nmae": "x",
        }
    )
    assert {"run", "deadline", "replicas.initial", "retries", "resources.cpu", "workload", "nmae"} <= set(faults)
    assert any(field.startswith("env") for field in faults)


def test_what_follows_from_a_fault_is_no_fault_of_its_own() -> None:
    assert set(_faults({"run": "x {item}", "target": {"latency": -1}})) == {"target.latency"}
    assert set(_faults({"run": "x {item}", "target": {"latncy": 1}})) == {"target.latncy", "target.latency"}


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    one: int
    two: int = Field(ge=2)


class Outer(BaseModel):
    inner: Inner
    other: str


def test_missing_fields_are_all_named_where_several_are() -> None:
    _, faults = examine({"inner": {}}, Outer)
    assert {fault.field for fault in faults} == {"inner.one", "inner.two", "other"}


def test_a_wrong_field_is_not_missing_too() -> None:
    value, faults = examine({"inner": {"one": 1, "two": 1}, "other": "x"}, Outer)
    assert value is None
    assert [fault.field for fault in faults] == ["inner.two"]


def test_examining_leaves_the_document_as_it_was() -> None:
    document = {"inner": {"one": "x", "two": [1]}, "more": {"a": float("nan")}}
    before = repr(document)
    examine(document, Outer)
    assert repr(document) == before
