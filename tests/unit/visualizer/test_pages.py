"""The pages and their data: escaped, guarded by headers, and honest when services are away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.domain.metrics import FLOW, JOB_PROGRESS, TIME_PROGRESS, Measurement, Point
from common.http.contracts import ScalingView
from tests.fakes.records import MemoryMetrics
from tests.unit.visualizer.fake_sources import Fixture
from visualizer.series import SHOWN

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def fixture_with(**status: Any) -> Fixture:
    fixture = Fixture()
    fixture.sources.statuses["kj-1"] = {"status": "ongoing", "name": "tide-model", "created_at": 1.0, **status}
    return fixture


@pytest.mark.parametrize("path", ["/", "/submissions", "/submissions/kj-1", "/clusters", "/submit"])
def test_pages_forbid_foreign_and_inline_code(path: str) -> None:
    answer = fixture_with().http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert " on" + "click" not in answer.text


def test_a_hostile_name_is_escaped_in_the_page() -> None:
    text = fixture_with(name=HOSTILE).http.get("/submissions/kj-1").text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{7*7}}" in text


@pytest.mark.parametrize("path", ["/submissions/kj-9", "/submissions/%3Cscript%3E", "/nothing/here"])
def test_what_is_not_there_is_a_page_for_people(path: str) -> None:
    answer = Fixture().http.get(path, headers=HTML)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "<script>" not in answer.text


def test_what_is_not_there_is_json_for_programs() -> None:
    for path in ("/api/submissions/kj-9", "/nothing/here", "/static/nothing.js"):
        answer = Fixture().http.get(path)
        assert answer.status_code == 404
        assert answer.json["error_code"] == 404


def test_static_files_are_served_and_revalidated_and_nothing_else_is() -> None:
    http = Fixture().http
    answer = http.get("/static/app.css")
    assert (answer.status_code, answer.mimetype) == (200, "text/css")
    again = http.get("/static/app.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert http.get("/static/list.js").mimetype == "text/javascript"
    assert http.get("/favicon.ico").mimetype == "image/svg+xml"
    assert http.get("/static/../api.py").status_code == 404
    assert http.get("/static/%2e%2e/api.py").status_code == 404


def test_the_listing_is_spared_when_nothing_changed() -> None:
    fixture = fixture_with()
    answer = fixture.http.get("/api/submissions")
    fixture.clock.advance(5.0)
    again = fixture.http.get("/api/submissions", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    fixture.sources.statuses["kj-1"]["status"] = "completed"
    fixture.clock.advance(5.0)
    changed = fixture.http.get("/api/submissions", headers={"If-None-Match": answer.headers["ETag"]})
    assert changed.json["rows"]["kj-1"]["state"] == "completed"


def test_a_manager_that_is_away_from_the_start_is_said_and_the_page_recovers() -> None:
    fixture = fixture_with()
    fixture.sources.away = {"manager"}
    assert fixture.http.get("/submissions/kj-1").status_code == 200
    for path in ("/api/submissions", "/api/submissions/kj-1"):
        document = fixture.http.get(path).json
        assert document["known"] is False
        assert [(one["service"], one["known_at"]) for one in document["problems"]] == [("manager", None)]
    fixture.sources.away = set()
    fixture.clock.advance(2.0)
    assert fixture.http.get("/api/submissions").json["known"] is True


def test_services_that_go_away_later_leave_what_was_known() -> None:
    fixture = fixture_with()
    fixture.sources.scalings["kj-1"] = ScalingView(
        active=True, law="pid", desired=3, requested=3, reason="r", scalings=1, peak=3
    )
    before = fixture.http.get("/api/submissions/kj-1").json
    fixture.sources.away = {"manager", "controller", "monitor"}
    fixture.clock.advance(60.0)
    after = fixture.http.get("/api/submissions/kj-1").json
    assert after["row"] == before["row"]
    assert [one["service"] for one in after["problems"]] == ["manager", "controller", "monitor"]
    assert after["problems"][0]["known_at"] == pytest.approx(before["now"])


def test_series_come_as_columns_from_a_moment_on() -> None:
    fixture = fixture_with()
    fixture.metrics.write([Point(JOB_PROGRESS.name, "kj-1", at, {"value": at / 10}) for at in (1.0, 2.0, 3.0)])
    whole = fixture.http.get("/api/submissions/kj-1/series").json
    assert set(whole["series"]) == set(SHOWN)
    assert whole["series"]["progress"] == {"at": [1.0, 2.0, 3.0], "value": [0.1, 0.2, 0.3]}
    later = fixture.http.get("/api/submissions/kj-1/series?since=2.0").json
    assert later["series"]["progress"]["at"] == [3.0]


@pytest.mark.parametrize("since", ["x", "-1", "nan", "inf", "1e12", "1e308"])
def test_a_wrong_moment_is_refused(since: str) -> None:
    answer = fixture_with().http.get(f"/api/submissions/kj-1/series?since={since}")
    assert answer.status_code == 400
    assert answer.json["details"][0]["field"] == "since"


def test_a_store_that_is_away_is_said() -> None:
    fixture = fixture_with()
    fixture.metrics.down = True
    document = fixture.http.get("/api/submissions/kj-1/series").json
    assert document["series"] == {}
    assert "does not answer" in document["problem"]


def _events(answer: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    for chunk in answer.response:
        lines = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if ": " in line)
        if "event" in lines:
            told.append((lines["event"], json.loads(lines["data"])))
        if len(told) == count:
            break
    answer.close()
    return told


def test_the_live_listing_begins_with_everything() -> None:
    answer = fixture_with().http.get("/api/stream/submissions")
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    ((name, document),) = _events(answer, 1)
    assert name == "list"
    assert list(document["rows"]) == ["kj-1"]


def test_a_live_submission_begins_with_everything_and_its_points() -> None:
    fixture = fixture_with()
    fixture.metrics.write([Point(JOB_PROGRESS.name, "kj-1", 5.0, {"value": 0.5})])
    (first, second) = _events(fixture.http.get("/api/stream/submissions/kj-1?since=1"), 2)
    assert (first[0], first[1]["row"]["name"]) == ("submission", "tide-model")
    assert (second[0], second[1]["series"]["progress"]["at"]) == ("series", [5.0])


class WritesBetweenReads(MemoryMetrics):
    """A monitor writes a moment of all measurements after the first of them was read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, submission: str, measurement: Measurement, since: float = 0.0) -> list[Point]:
        found = super().read(submission, measurement, since)
        self.reads += 1
        if self.reads == 1:
            self.write([Point(one.name, submission, 7.0, {"value": 0.7}) for one in (JOB_PROGRESS, TIME_PROGRESS)])
        return found


def test_points_written_while_reading_are_not_lost() -> None:
    metrics = WritesBetweenReads()
    fixture = Fixture(metrics=metrics)
    fixture.sources.statuses["kj-1"] = {"status": "ongoing"}
    told = _events(fixture.http.get("/api/stream/submissions/kj-1"), 3)[1:]
    assert [document["series"]["progress"]["at"] for _, document in told] == [[], [7.0]]
    assert [document["series"]["time"]["at"] for _, document in told] == [[7.0], []]


def test_a_deleted_submission_ends_its_stream() -> None:
    fixture = fixture_with()
    answer = fixture.http.get("/api/stream/submissions/kj-1")
    del fixture.sources.statuses["kj-1"]
    fixture.clock.advance(5.0)
    assert _events(answer, 9) == [("gone", {})]


def test_live_connections_are_bounded_and_come_back() -> None:
    fixture = fixture_with()
    held = [fixture.http.get("/api/stream/submissions") for _ in range(2)]
    refused = fixture.http.get("/api/stream/submissions")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    held[0].close()
    again = fixture.http.get("/api/stream/submissions")
    assert again.status_code == 200
    for answer in (again, held[1]):
        answer.close()


def test_an_unknown_submission_has_no_stream_and_takes_no_place() -> None:
    fixture = Fixture(streams=1)
    assert fixture.http.get("/api/stream/submissions/kj-9").status_code == 404
    answer = fixture.http.get("/api/stream/submissions")
    assert answer.status_code == 200
    answer.close()


def test_sparklines_are_of_what_is_asked_for_and_short() -> None:
    fixture = fixture_with()
    now = fixture.clock.now()
    points = [Point(FLOW.name, "kj-1", now - 200 + at, {"throughput": float(at)}) for at in range(100)]
    fixture.metrics.write([Point(FLOW.name, "kj-1", now - 7200, {"throughput": 9e9}), *points])
    sparks = fixture.http.get("/api/sparks?ids=kj-1,kj-unknown").json["sparks"]
    assert list(sparks) == ["kj-1"]
    assert len(sparks["kj-1"]) == 24
    assert sparks["kj-1"] == sorted(sparks["kj-1"])
    assert max(sparks["kj-1"]) < 100
    assert fixture.http.get("/api/sparks?ids=" + "x," * 101).status_code == 400
    fixture.metrics.down = True
    fixture.clock.advance(60.0)
    told = fixture.http.get("/api/sparks?ids=kj-1").json
    assert (told["sparks"], "does not answer" in told["problem"]) == (sparks, True)


def test_a_log_is_asked_for_by_pod_and_length() -> None:
    fixture = fixture_with()
    assert fixture.http.get("/api/submissions/kj-1/log").json == {"pods": {"w-0": "tide-model 200"}}
    assert fixture.http.get("/api/submissions/kj-1/log?pod=w-7&tail=3").json == {"pods": {"w-7": "tide-model 3"}}
    assert fixture.http.get("/api/submissions/kj-9/log").status_code == 404
    for tail in ("-1", "x", "5001"):
        assert fixture.http.get(f"/api/submissions/kj-1/log?tail={tail}").status_code == 400
    fixture.sources.away = {"manager"}
    assert fixture.http.get("/api/submissions/kj-1/log").status_code == 503


def test_a_page_tells_the_specification() -> None:
    fixture = fixture_with()
    fixture.sources.specs["kj-1"] = {"run": "true {item}"}
    assert fixture.http.get("/api/submissions/kj-1").json["spec"] == {"run": "true {item}"}
