"""What is sent anew is exactly what changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from visualizer.documents import Changes, fingerprint

documents = st.fixed_dictionaries(
    {
        "now": st.floats(0, 10),
        "problems": st.lists(st.integers(0, 2), max_size=2),
        "rows": st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)),
    }
)


@given(st.lists(documents, min_size=1, max_size=8))
def test_who_applies_all_changes_has_the_last_document(sent: list[dict[str, Any]]) -> None:
    changes = Changes()
    held: dict[str, Any] = {"rows": {}}
    for document in sent:
        changed = changes.of(document)
        held["rows"].update(changed.pop("rows", {}))
        for id in changed.pop("gone", []):
            del held["rows"][id]
        held.update(changed)
        assert held["rows"] == document["rows"]
        assert held["problems"] == document["problems"]


@given(documents)
def test_nothing_new_is_nothing_sent(document: dict[str, Any]) -> None:
    changes = Changes()
    changes.of(document)
    later = {**document, "now": document["now"] + 1}
    assert changes.of(later) == {}
    assert fingerprint(later) == fingerprint(document)


def test_fingerprints_differ_when_something_is_said() -> None:
    assert fingerprint({"now": 1, "rows": {"a": 1}}) != fingerprint({"now": 1, "rows": {"a": 2}})
