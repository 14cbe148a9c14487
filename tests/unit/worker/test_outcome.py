from __future__ import annotations

import json

import pytest
from asperathos_worker.outcome import ERROR_LIMIT, Done, Failed, outcome_of, tail
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, ""),
        ("text", "text"),
        ("", ""),
        (3, "3"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (True, "true"),
        ("é", "é"),
    ],
)
def test_what_is_kept(value: object, result: str) -> None:
    assert outcome_of(value, 100) == Done(result)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, "\ud800"])
def test_what_cannot_be_kept_fails_for_good_and_says_why(value: object) -> None:
    outcome = outcome_of(value, 100)
    assert isinstance(outcome, Failed) and outcome.permanent and outcome.error


def test_a_recursive_value_is_a_failure_too() -> None:
    value: list[object] = []
    value.append(value)
    assert isinstance(outcome_of(value, 100), Failed)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(1, 60))
def test_the_limit_is_in_bytes_of_utf8(text: str, limit: int) -> None:
    outcome = outcome_of(text, limit)
    if len(text.encode()) <= limit:
        assert outcome == Done(text)
    else:
        assert isinstance(outcome, Failed) and outcome.permanent
        assert str(limit) in outcome.error and "return its address" in outcome.error


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x), max_leaves=5))
def test_json_comes_back(value: object) -> None:
    outcome = outcome_of([value], 1 << 20)
    if isinstance(outcome, Done):
        assert json.loads(outcome.result) == [value]
    else:
        assert "\\ud" in json.dumps(value)


def test_tail() -> None:
    assert tail("short") == "short"
    cut = tail("x" * 10_000 + "end")
    assert len(cut) == ERROR_LIMIT and cut.startswith("...") and cut.endswith("end")
