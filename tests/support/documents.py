"""Documents to throw at parsers: any JSON, and JSON with the right names in the right places."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**30, 10**400]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "5m", "1", "-1", "\0", "\ud800", "http://127.0.0.1/x", "a" * 5000, "ä", "\n"]),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=4)
    ),
    max_leaves=12,
)


def shaped(names: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these names; a value is junk, or what the name's own strategy makes."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(JSON, own) for name, own in names.items()})


def model_shaped(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of a model's field names, nested models likewise."""
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        is_model = isinstance(inner, type) and issubclass(inner, BaseModel)
        names[name] = model_shaped(inner) if is_model else SCALARS  # type: ignore[arg-type]
    return shaped(names)
