"""Whatever a worker sends over HTTP: an answer of its own making, and never an item in two hands."""

from __future__ import annotations

import json
from typing import Any

from asperathos_worker.queue.records import QueueConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.documents import JSON
from tests.support.item_door import ItemDoor

KNOWN = {200, 400, 401, 403, 404, 405, 409, 413, 415, 503}
VERBS = st.sampled_from(["claim", "complete", "fail", "release", "extend"])
HELD = st.fixed_dictionaries(
    {"id": st.sampled_from(["0", "1", "2", "", "\ud800"]), "attempt": st.integers(-1, 3)},
    optional={"result": st.text(max_size=5), "error": st.text(max_size=5), "permanent": st.booleans()},
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "worker": st.one_of(JSON, st.just("pod-1")),
        "index": st.one_of(JSON, st.integers(-1, 2)),
        "count": st.one_of(JSON, st.integers(0, 101)),
        "wait": st.one_of(JSON, st.floats(0, 2)),
        "items": st.one_of(JSON, st.lists(HELD, max_size=3)),
    },
)
BODIES = st.one_of(
    st.binary(max_size=100), st.one_of(JSON, SHAPED).map(lambda value: json.dumps(value, skipkeys=True).encode())
)
KINDS = st.sampled_from(["application/json", "application/yaml", "text/plain", "", "application/x-www-form-urlencoded"])
ACCEPTS = st.sampled_from(["", "*/*", "text/plain", "application/json", "text/plain;q=0", "nonsense"])
QUERIES = st.dictionaries(
    st.sampled_from(["worker", "index", "wait", "id", "attempt", "permanent", "count", "x"]),
    st.one_of(st.text(max_size=8), st.sampled_from(["0", "1", "2", "9" * 30, "true", "nan", "inf", "1e300", "\0"])),
    max_size=4,
)
LATIN = st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20)


@given(VERBS, BODIES, KINDS, ACCEPTS, QUERIES, st.booleans())
def test_any_request_has_an_answer(
    what: str, body: bytes, kind: str, accept: str, query: dict[str, str], is_held: bool
) -> None:
    door = ItemDoor("a", "b")
    if is_held:
        door.post("claim", {"count": 2})
    answer = door.client.post(
        f"/submissions/{door.id}/items/{what}",
        data=body,
        content_type=kind,
        query_string=query,
        headers={**door.credentials, "Accept": accept},
    )
    assert answer.status_code in KNOWN
    if answer.status_code >= 400:
        assert answer.get_json()["error_code"] == answer.status_code
        assert [door.place(id) for id in ("0", "1")] == ["leased" if is_held else "ready"] * 2


@given(VERBS, LATIN, BODIES)
def test_no_other_credentials_open(what: str, authorization: str, body: bytes) -> None:
    door = ItemDoor("a")
    answer = door.client.post(
        f"/submissions/{door.id}/items/{what}",
        data=body,
        content_type="application/json",
        headers={"Authorization": authorization},
    )
    assert answer.status_code in (401, 403)
    assert door.place("0") == "ready"


STEPS = st.lists(
    st.tuples(VERBS, st.sampled_from(["0", "1"]), st.integers(1, 4), st.sampled_from([0.0, 4.0, 31.0])), max_size=25
)


@given(STEPS)
@settings(max_examples=40)
def test_an_item_has_one_accepted_result_and_its_holder_gave_it(steps: list[tuple[str, str, int, float]]) -> None:
    door = ItemDoor("a", "b", config=QueueConfig(lease=30.0, retries=1000, backoff_base=0.0))
    latest: dict[str, int] = {}
    accepted: dict[str, int] = {}
    for what, id, attempt, later in steps:
        if what == "claim":
            for item in door.post("claim").get_json()["items"]:
                assert item["id"] not in accepted
                assert item["attempt"] > latest.get(item["id"], 0)
                latest[item["id"]] = item["attempt"]
        else:
            body: dict[str, Any] = {"items": [{"id": id, "attempt": attempt}]}
            (told,) = door.post(what, body).get_json()["items"]
            if told["accepted"]:
                assert attempt == latest[id]
                if what == "complete":
                    assert accepted.setdefault(id, attempt) == attempt
        door.clock.advance(later)
    results, _ = door.queue.results()
    assert {result.id: result.attempt for result in results} == accepted
