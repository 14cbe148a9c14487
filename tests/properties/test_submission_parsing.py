"""Whatever is sent: a specification that survives the store, or faults that name fields. Never anything else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import InvalidSubmission
from common.domain.parsing import MAX_FAULTS, parse_native
from common.domain.submission import Control, ReplicaBounds, SubmissionSpec, Workload
from tests.support.documents import JSON, model_shaped

DOCUMENTS = st.one_of(JSON, model_shaped(SubmissionSpec))


def faults_in(document: Any) -> dict[str, str]:
    """Problems by field; empty for a document that is right."""
    try:
        parse_native(document)
    except InvalidSubmission as error:
        return {fault.field: fault.problem for fault in error.faults}
    return {}


@given(DOCUMENTS)
def test_any_document_is_a_specification_or_a_list_of_faults(document: Any) -> None:
    before = copy.deepcopy(document)
    try:
        spec = parse_native(document)
    except InvalidSubmission as error:
        assert 1 <= len(error.faults) <= MAX_FAULTS + 1
        assert all(fault.problem and len(fault.field) < 3000 for fault in error.faults)
        json.dumps([[fault.field, fault.problem] for fault in error.faults]).encode("utf-8")
    else:
        assert SubmissionSpec.model_validate_json(spec.model_dump_json()) == spec
    assert repr(document) == repr(before)


def durations(least: float = 0.5) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.floats(least, 1e6),
        st.integers(1, 1000).map(lambda seconds: f"{seconds}m"),
        st.integers(1, 1000).map(lambda seconds: f"1h{seconds}s"),
    )


@st.composite
def right_documents(draw: st.DrawFn) -> dict[str, Any]:
    least, more = draw(st.integers(0, 50)), draw(st.integers(1, 50))
    document: dict[str, Any] = {
        **draw(st.sampled_from([{"run": "x {item}"}, {"command": ["x", ""]}])),
        **draw(st.sampled_from([{"deadline": 30}, {"target": {"latency": "5s"}}, {}])),
        "workload": draw(st.sampled_from([["a"], "http://host/x", {"glob": "/x/*"}, {"source": "s", "options": {}}])),
        "replicas": {"min": least, "max": least + more, "initial": draw(st.integers(least, least + more))},
    }
    optional = {
        "name": st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?\Z"),
        "retries": st.integers(0, 1000),
        "lease": durations(1.0),
        "item_timeout": durations(),
        "keep": durations(0.0),
        "env": st.dictionaries(st.from_regex(r"\A[B-Z][A-Z0-9_]*\Z"), st.integers(-(2**62), 2**62), max_size=3),
        "labels": st.dictionaries(st.sampled_from(["a", "x.y/z"]), st.sampled_from(["", "b-c"]), max_size=2),
        "dashboard": st.booleans(),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "resources": st.just({"cpu": "500m", "cpu_limit": 1, "memory": "1Gi"}),
        "tolerations": st.just([{"operator": "Exists"}]),
        "control": st.builds(dict, interval=durations(), law=st.sampled_from(["pid", None])),
    }
    for name, strategy in optional.items():
        if draw(st.booleans()):
            document[name] = draw(strategy)
    return document


@given(right_documents())
def test_a_right_document_has_no_faults(document: dict[str, Any]) -> None:
    spec = parse_native(document)
    assert SubmissionSpec.model_validate_json(spec.model_dump_json()) == spec
    assert parse_native(json.loads(spec.model_dump_json())) == spec


@given(right_documents(), st.sets(st.sampled_from(["name", "replicas.max", "retries", "lease", "queue", "keep"])))
def test_each_wrong_field_is_named_and_no_other(document: dict[str, Any], wrong: set[str]) -> None:
    for path in wrong:
        *holders, name = path.split(".")
        place = document
        for holder in holders:
            place = place[holder]
        place[name] = []
    assert faults_in(document).keys() == wrong


@given(right_documents(), st.sampled_from(["retries", "keep", "lease"]))
def test_what_fields_mean_together_is_checked_beside_wrong_fields(document: dict[str, Any], wrong: str) -> None:
    document.update(run="x", command=["x"], deadline=5, target={"latency": 5}, replicas={"min": 9, "max": 3})
    document[wrong] = "wrong"
    assert {"run", "deadline", "replicas.min", wrong} <= faults_in(document).keys()


@pytest.mark.parametrize(
    ("holder", "model"),
    [("", SubmissionSpec), ("replicas", ReplicaBounds), ("control", Control), ("workload", Workload)],
)
def test_a_mistyped_name_suggests_the_right_one(holder: str, model: Any) -> None:
    for name in model.model_fields:
        mistyped = f"{name[:2]}x{name[2:]}"
        inner = {mistyped: 1}
        found = faults_in({holder: inner} if holder else inner)
        problem = found[f"{holder}.{mistyped}" if holder else mistyped]
        assert problem.startswith("unknown field; did you mean"), problem


def test_the_echo_of_a_wrong_field_is_not_told() -> None:
    assert faults_in({"run": 5, "workload": ["a"]}).keys() == {"run"}
    assert faults_in({"run": "x", "workload": {"items": [1], "url": 2}}).keys() == {"workload.items.0", "workload.url"}
    assert faults_in({"comand": ["x"], "workload": ["a"]}).keys() == {"comand"}
    assert faults_in({"run": "x", "worklaod": ["a"]}).keys() == {"worklaod"}


def test_a_flood_of_faults_is_bounded() -> None:
    found = faults_in({"run": "x", "workload": [5] * 10_000})
    assert len(found) == MAX_FAULTS + 1
    assert found["body"] == "has 9900 more faults"
