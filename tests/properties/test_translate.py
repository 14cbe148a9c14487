"""Whatever claims to be the original's payload: a specification, or faults in the original's words."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import InvalidSubmission
from common.domain.parsing import MAX_FAULTS
from common.domain.submission import SubmissionSpec
from manager.translate import FIELDS, is_compatible, translate
from tests.support.documents import JSON, SCALARS, shaped
from tests.support.manager_door import payload

KNOWN = payload(1, "http://127.0.0.1/x")


def tree() -> dict[str, Any]:
    """The original's fields as nested strategies."""
    root: dict[str, Any] = {"plugin": st.just("kubejobs"), "enable_auth": SCALARS, "password": SCALARS}
    for old, _ in FIELDS:
        *holders, name = old.split(".")
        place = root
        for holder in holders:
            inner = place.setdefault(holder, {})
            place = inner if isinstance(inner, dict) else place.setdefault(holder, {})
        if not isinstance(place.get(name), dict):
            place[name] = SCALARS
    return root


def strategy_of(node: Any) -> Any:
    return shaped({name: strategy_of(inner) for name, inner in node.items()}) if isinstance(node, dict) else node


PAYLOADS = st.one_of(
    strategy_of(tree()),
    st.fixed_dictionaries({"plugin": st.just("kubejobs"), "plugin_info": JSON}),
    st.dictionaries(st.sampled_from(["plugin", "plugin_info", "x"]), JSON),
)


@given(PAYLOADS)
def test_any_payload_is_a_specification_or_a_list_of_faults(document: dict[str, Any]) -> None:
    try:
        translation = translate(document)
    except InvalidSubmission as error:
        assert 1 <= len(error.faults) <= 2 * MAX_FAULTS
        json.dumps([[fault.field, fault.problem] for fault in error.faults]).encode("utf-8")
    else:
        spec = translation.spec
        assert SubmissionSpec.model_validate_json(spec.model_dump_json()) == spec
        assert spec.queue == "dedicated"


@given(st.data())
def test_one_wrong_field_of_a_right_payload_is_named_or_harmless(data: st.DataObject) -> None:
    document = copy.deepcopy(KNOWN)
    path = data.draw(st.sampled_from([old for old, _ in FIELDS]))
    *holders, name = path.split(".")
    place = document
    for holder in holders:
        place = place.setdefault(holder, {})
    place[name] = data.draw(JSON)
    assert is_compatible(document)
    try:
        translate(document)
    except InvalidSubmission as error:
        # A wrong bound may show at the other bound, a strategy at the gains it needs: always beside the wrong field.
        near = path.rpartition(".")[0]
        assert all(fault.field.startswith((path, near, "plugin_info.init_size")) for fault in error.faults), error


@given(st.dictionaries(st.text(min_size=1, max_size=12), JSON, max_size=5))
def test_unknown_fields_are_all_named(extra: dict[str, Any]) -> None:
    document = copy.deepcopy(KNOWN)
    unknown = {name: value for name, value in extra.items() if name not in document["plugin_info"]}
    known = {old.split(".")[1] for old, _ in FIELDS} | {"cluster_name", "enable_detailed_report", "control_plugin"}
    unknown = {name: value for name, value in unknown.items() if name not in known and value is not None}
    before = len(translate(document).warnings)
    document["plugin_info"].update(unknown)
    assert len(translate(document).warnings) == before + len(unknown)
