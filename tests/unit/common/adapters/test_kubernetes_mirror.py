"""A mirror knows one version of the truth and never goes back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapters.kubernetes_mirror import Mirror, version_of
from common.adapters.kubernetes_views import job_view
from common.domain.cluster import JobView
from common.domain.errors import ClusterError


def job(name: str, version: int, parallelism: int = 1, submission: str = "kj-1") -> dict[str, Any]:
    labels = {"asperathos.io/submission": submission, "asperathos.io/generation": "1"}
    return {
        "metadata": {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": labels},
        "spec": {"parallelism": parallelism},
    }


def listed(version: int, *jobs: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(jobs)}


def sizes(mirror: Mirror[JobView]) -> dict[str, int]:
    return {view.name: view.parallelism for id in mirror.submissions() for view in mirror.of(id)}


def test_events_change_what_was_listed() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5, job("a", 3), job("b", 4)))
    mirror.apply("MODIFIED", job("a", 6, 9))
    mirror.apply("ADDED", job("c", 7))
    mirror.apply("DELETED", job("b", 8))
    mirror.apply("BOOKMARK", {"metadata": {"resourceVersion": "20"}})
    assert sizes(mirror) == {"a": 9, "c": 1}
    assert mirror.version == 20


def test_a_submission_without_objects_is_forgotten() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5, job("a", 3)))
    mirror.apply("DELETED", job("a", 6))
    assert list(mirror.submissions()) == []
    mirror.apply("DELETED", job("never", 7))
    assert list(mirror.submissions()) == []


def test_what_is_older_than_a_list_changes_nothing() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5, job("a", 3)))
    mirror.replace(listed(9, job("a", 8, 4)))
    mirror.apply("DELETED", job("a", 7))
    mirror.replace(listed(6))
    assert sizes(mirror) == {"a": 4}
    mirror.replace(listed(2), anew=True)
    assert (sizes(mirror), mirror.version) == ({}, 2)


def test_a_list_of_one_submission_counts_until_the_watch_has_come_as_far() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5, job("a", 3), job("b", 4, submission="kj-2")))
    mirror.learn("kj-1", listed(9))
    assert mirror.of("kj-1") == []
    assert list(mirror.submissions()) == ["kj-2"]
    assert (mirror.version, mirror.version_of("kj-1"), mirror.version_of("kj-2")) == (5, 9, 5)
    # The watch is on its way to where the list was: what it tells is older.
    mirror.apply("MODIFIED", job("a", 7, 3))
    assert mirror.of("kj-1") == []
    mirror.apply("DELETED", job("a", 8))
    mirror.apply("ADDED", job("a2", 12))
    assert [view.name for view in mirror.of("kj-1")] == ["a2"]
    mirror.learn("kj-1", listed(6, job("a", 3)))
    assert [view.name for view in mirror.of("kj-1")] == ["a2"], "an older list changes nothing"


def test_a_server_that_began_anew_is_believed_about_each_submission() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5))
    mirror.learn("kj-1", listed(9, job("a", 8)))
    mirror.replace(listed(2), anew=True)
    assert (mirror.of("kj-1"), mirror.version_of("kj-1")) == ([], 2)


def test_an_object_is_found_by_its_name() -> None:
    mirror = Mirror(job_view)
    mirror.replace(listed(5, job("a", 3), job("b", 4, submission="kj-2")))
    assert (mirror.owner("b"), mirror.owner("c")) == ("kj-2", "")


@pytest.mark.parametrize("document", [{}, {"metadata": {}}, {"metadata": {"resourceVersion": "x7"}}])
def test_no_version_is_an_error(document: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match="resourceVersion"):
        version_of(document)


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete"])), max_size=25)


@given(CHANGES, st.data())
def test_lists_and_a_late_watch_end_in_the_truth(changes: list[tuple[str, str]], data: st.DataObject) -> None:
    """A watch delivers everything in order, but late; lists show the truth of their moment in between."""
    truth: dict[str, dict[str, Any]] = {}
    states = [dict(truth)]
    events: list[tuple[str, dict[str, Any]]] = []
    for number, (name, what) in enumerate(changes, start=1):
        if what == "put":
            kind = "MODIFIED" if name in truth else "ADDED"
            truth[name] = job(name, number, number)
            events.append((kind, truth[name]))
        else:
            gone = truth.pop(name, None)
            events.append(("DELETED", job(name, number)) if gone else ("BOOKMARK", listed(number)))
        states.append(dict(truth))
    mirror = Mirror(job_view)
    mirror.replace(listed(0))
    sent = 0
    while sent < len(events):
        if data.draw(st.booleans()):
            now = data.draw(st.integers(sent, len(events)))
            mirror.replace(listed(now, *states[now].values()))
        if data.draw(st.booleans()):
            now = data.draw(st.integers(sent, len(events)))
            mirror.learn("kj-1", listed(now, *states[now].values()))
            known = mirror.version_of("kj-1")
            seen = {view.name: view.parallelism for view in mirror.of("kj-1")}
            assert seen == {name: obj["spec"]["parallelism"] for name, obj in states[known].items()}
        mirror.apply(*events[sent])
        sent += 1
    assert sizes(mirror) == {name: obj["spec"]["parallelism"] for name, obj in truth.items()}
