from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.errors import BadRequest, Invalid
from localcluster.patches import json_patch, merge_patch, strategic_merge_patch
from localcluster.quantity import parse_quantity
from localcluster.selectors import from_label_selector, parse_selector


def pod(labels: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "labels": labels or {}}, "status": status}


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b, c),d", {"a": "c", "d": ""}, True),
        ("a in (b,c),d", {"a": "c"}, False),
        ("a notin (b)", {"a": "c"}, True),
        ("!a", {}, True),
        ("!a", {"a": ""}, False),
        ("x.io/a=b", {"x.io/a": "b"}, True),
        ("", {"a": "b"}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_selector(selector, None, "pods").matches(pod(labels)) is expected


@pytest.mark.parametrize("text", ["a b", "=x", "a in b", "a in (b", "a,!=,c", "a==b==c"])
def test_malformed_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_selector(text, None, "pods")


def test_field_selectors() -> None:
    assert parse_selector(None, "status.phase=Pending", "pods").matches(pod())
    assert parse_selector(None, "metadata.name=p,status.phase!=Failed", "pods").matches(pod(phase="Running"))
    event = {"kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"name": "x", "kind": "Job"}}
    assert parse_selector(None, "involvedObject.kind=Job,involvedObject.name=x", "events").matches(event)
    with pytest.raises(BadRequest, match="field label not supported"):
        parse_selector(None, "spec.image=x", "pods")


def test_label_selector_objects() -> None:
    selector = from_label_selector(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]}
    )
    assert selector.matches(pod({"a": "b", "c": "d"}))
    assert not selector.matches(pod({"a": "b"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_merge_patch_is_idempotent_and_changes_no_input(target: Any, patch: Any) -> None:
    kept = copy.deepcopy((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert (target, patch) == kept


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), JSON)
def test_json_patch_add_then_remove_is_nothing(target: dict[str, Any], value: Any) -> None:
    patched = json_patch(target, [{"op": "add", "path": "/new~1~0", "value": value}])
    assert patched["new/~"] == value
    assert json_patch(patched, [{"op": "remove", "path": "/new~1~0"}]) == target


def test_json_patch_operations() -> None:
    document = {"a": [1, 2], "b": {"c": 3}}
    operations = [
        {"op": "test", "path": "/b/c", "value": 3},
        {"op": "add", "path": "/a/-", "value": 4},
        {"op": "add", "path": "/a/0", "value": 0},
        {"op": "replace", "path": "/b/c", "value": 5},
        {"op": "move", "from": "/b/c", "path": "/d"},
        {"op": "copy", "from": "/a", "path": "/e"},
    ]
    assert json_patch(document, operations) == {"a": [0, 1, 2, 4], "b": {}, "d": 5, "e": [0, 1, 2, 4]}
    assert document == {"a": [1, 2], "b": {"c": 3}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "jump", "path": "/a"},
        {"op": "add", "path": "no-slash", "value": 1},
    ],
)
def test_json_patches_that_cannot_be_applied(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        json_patch({"a": 1, "l": []}, [operation])


def test_malformed_json_patches() -> None:
    for patch in ({}, ["x"], [{"op": "add"}]):
        with pytest.raises(BadRequest):
            json_patch({}, patch)


def test_strategic_merge_merges_lists_by_key() -> None:
    target = {"spec": {"containers": [{"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}]}}
    patch = {"spec": {"containers": [{"name": "a", "env": [{"name": "L", "value": "2"}]}, {"name": "b", "image": "y"}]}}
    merged = strategic_merge_patch(target, patch)
    assert merged["spec"]["containers"] == [
        {"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}]},
        {"name": "b", "image": "y"},
    ]


def test_strategic_merge_directives() -> None:
    target = {"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}}, "env": [{"name": "K"}]}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "labels": {"x": None}},
        "env": [{"name": "K", "$patch": "delete"}, {"name": "M"}],
        "$setElementOrder/env": [{"name": "M"}],
    }
    assert strategic_merge_patch(target, patch) == {
        "metadata": {"finalizers": ["b"], "labels": {"y": "2"}},
        "env": [{"name": "M"}],
    }
    assert strategic_merge_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}
    with pytest.raises(BadRequest):
        strategic_merge_patch({"env": []}, {"env": [{"value": "without a name"}]})


@pytest.mark.parametrize(
    ("text", "value"), [("250m", "1/4"), ("1Gi", str(2**30)), ("2", "2"), ("1e3", "1000"), (".5", "1/2"), (3, "3")]
)
def test_quantities(text: object, value: str) -> None:
    assert str(parse_quantity(text)) == value


@given(st.text(max_size=6))
def test_quantities_are_numbers_or_refused(text: str) -> None:
    try:
        parse_quantity(text)
    except ValueError:
        return
    assert text[0] in "+-.0123456789"
