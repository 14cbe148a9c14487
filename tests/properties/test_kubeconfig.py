"""Any text as a kubeconfig: it is taken or refused with faults, never crashes, and what is told never quotes it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.domain.clusters import CLUSTER_NAME, inlined, missing
from common.domain.errors import BadRequest
from manager.kubeconfig import parse_kubeconfig
from tests.support.kubeconfigs import kubeconfig
from tests.support.manager_door import Door

SECRET = "s3cr3tValue"
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just(SECRET) | st.just(f"a {SECRET}")
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just(SECRET), inner, max_size=3)
    ),
    max_leaves=8,
)
CLUSTER = ("server", "certificate-authority", "certificate-authority-data", "proxy-url", "insecure-skip-tls-verify")
USER = ("token", "tokenFile", "client-key", "client-key-data", "username", "password", "exec", "auth-provider")
nearly = st.builds(
    lambda cluster, user, whole: {**kubeconfig(user, **cluster), **whole},
    st.dictionaries(st.sampled_from(CLUSTER), anything, max_size=3),
    st.dictionaries(st.sampled_from(USER), anything, max_size=3),
    st.dictionaries(
        st.sampled_from(["current-context", "contexts", "clusters", "users", "kind"]), anything, max_size=1
    ),
)


def examined(text: str, programs: bool = False) -> None:
    try:
        found = parse_kubeconfig(text, programs)
    except BadRequest as error:
        assert error.faults
        assert SECRET not in error.message
        assert all(fault.field.startswith("cluster_config") for fault in error.faults)
        assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    else:
        assert found.missing == tuple(missing(found.document))
        assert all(CLUSTER_NAME.fullmatch(name) for name in found.missing)
        assert missing(inlined(found.document, dict.fromkeys(found.missing, "x"))) == []
        assert programs or not {"exec", "auth-provider"} & found.document["users"][0]["user"].keys()


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    examined(text)


@given(anything)
def test_any_document(document: Any) -> None:
    examined(json.dumps(document))


@given(nearly, st.booleans())
def test_any_content_of_a_kubeconfig(document: dict[str, Any], programs: bool) -> None:
    examined(json.dumps(document), programs)


@given(nearly | anything, st.text(max_size=8))
def test_the_routes_take_anything(document: Any, name: str) -> None:
    door = Door()
    body = {"cluster_name": name, "cluster_config": json.dumps(document)}
    answer = door.client.post("/submissions/cluster", json=body)
    assert answer.status_code in (202, 400, 409)
    listing = door.client.get("/submissions/cluster").get_json()
    for entry in listing.values():
        # What names things is no secret: the server, the context, the files that are lacking.
        for told in ("server", "context", "missing"):
            del entry[told]
    assert SECRET not in answer.text + json.dumps(listing)
    if answer.status_code == 202:
        assert CLUSTER_NAME.fullmatch(name)
