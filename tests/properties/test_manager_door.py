"""Whatever is sent to the manager: an answer of its own making, never a crash; refused means nothing happened."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from common.domain.submission import SubmissionSpec
from tests.support.documents import JSON, model_shaped
from tests.support.manager_door import NATIVE, Door

KNOWN = {200, 202, 204, 400, 404, 405, 409, 413, 415, 503}
BODIES = st.one_of(
    st.binary(max_size=200),
    st.one_of(JSON, model_shaped(SubmissionSpec)).map(lambda value: json.dumps(value, skipkeys=True).encode()),
)
KINDS = st.sampled_from(["application/json", "application/yaml", "text/plain", "", "application/json; charset=latin-1"])
WORDS = st.one_of(st.text(max_size=12), st.sampled_from(["0", "-1", "1", "9" * 30, "true", "ongoing", "jsonl", "\0"]))
QUERIES = st.dictionaries(
    st.sampled_from(["state", "name", "limit", "cursor", "count", "format", "ids", "id", "pod", "spec"]),
    WORDS,
    max_size=3,
)
PATHS = st.sampled_from(
    ["", "/log", "/report", "/errors", "/results", "/items", "/events", "/visualizer", "/forecast", "/stop", "/retry"]
)


@given(BODIES, KINDS, st.one_of(st.none(), st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n"))))
def test_any_post_is_accepted_or_refused_without_a_trace(body: bytes, kind: str, key: str | None) -> None:
    door = Door()
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = door.client.post("/submissions", data=body, content_type=kind, headers=headers)
    if answer.status_code == 202:
        assert answer.get_json()["job_id"] in door.records.ids()
    else:
        assert answer.status_code in KNOWN
        assert answer.get_json()["error_code"] == answer.status_code
        assert door.is_untouched()


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]), st.booleans(), WORDS, PATHS, QUERIES, BODIES, KINDS)
def test_any_request_has_an_answer(
    method: str, known: bool, word: str, path: str, query: dict[str, str], body: bytes, kind: str
) -> None:
    door = Door()
    id = door.submit(NATIVE) if known else quote(word, safe="")
    sent: dict[str, Any] = {} if method == "GET" else {"data": body, "content_type": kind}
    answer = door.client.open(f"/submissions/{id}{path}", method=method, query_string=query, **sent)
    assert answer.status_code in KNOWN | {308}
    if answer.status_code >= 400:
        assert answer.get_json()["error_code"] == answer.status_code
