"""GET /submissions/:id/report in its forms."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

from common.domain.errors import Unavailable
from common.domain.events import DECISIONS
from common.domain.progress import Counts, Decision, Observation, ServiceTimes
from common.domain.states import State
from common.domain.submission import Summary
from tests.support.manager_door import NATIVE, Door

SERIES = {"0": {"job_progress": 0.0, "replicas": 1.0}, "4": {"job_progress": 1.0, "replicas": 1.0}}


@pytest.fixture
def door() -> Door:
    return Door()


def ended(door: Door, document: Any = None) -> str:
    """Four items: two done, one dead, one left."""
    id = door.submit(document)
    queue: Any = door.queues.at(door.record(id).queue)
    queue.open(QueueConfig(retries=0, stream="target" in (document or {})))
    queue.put([NewItem(payload, str(place)) for place, payload in enumerate("abcd")])
    queue.close()
    door.clock.advance(2)
    leases = queue.take("pod-a", 0, 3).leases
    door.clock.advance(3)
    queue.finish_and_take("pod-a", 0, [Ack(lease.id, lease.attempt, "r") for lease in leases[:2]], 0)
    queue.fail("pod-a", leases[2], "=lost <cause>")
    counts = Counts(total=4, ready=1, done=2, dead=1)
    seen = Observation(
        submission=id,
        at=door.clock.now(),
        elapsed=5.0,
        counts=counts,
        service=ServiceTimes(count=2, mean=1.5, longest=1.6, buckets={33: 2}),
        waits={10: 4},
        failures=1,
    )
    door.observations.put(id, seen)
    door.journal.append(DECISIONS, id, Decision(at=1.0, law="deadline", wanted=2, granted=2, previous=1, reason="late"))
    door.detailed.series[id] = SERIES
    summary = Summary(counts=counts, execution_time=5.0, replica_seconds=4.0, deadline_met=True, deadline_margin=595.0)
    door.end(id, State.STOPPED, loaded=4, summary=summary)
    return id


def rows(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_without_a_form_the_answer_is_the_originals(door: Door) -> None:
    id = ended(door)
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "image/png"}):
        assert door.client.get(f"/submissions/{id}/report", headers=headers).get_json() == SERIES


@pytest.mark.parametrize(
    ("form", "kind"), [("json", "application/json"), ("html", "text/html"), ("text", "text/plain"), ("csv", "text/csv")]
)
def test_each_form_has_its_type(door: Door, form: str, kind: str) -> None:
    id = ended(door)
    asked = [door.client.get(f"/submissions/{id}/report?format={form}")]
    if form != "json":
        asked.append(door.client.get(f"/submissions/{id}/report", headers={"Accept": f"{kind}, */*;q=0.1"}))
    for answer in asked:
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert answer.headers["Vary"] == "Accept"
    assert asked[0].data.replace(b"", b"") and all(len(answer.data) == len(asked[0].data) for answer in asked)


def test_a_browser_gets_the_page(door: Door) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = door.client.get(f"/submissions/{ended(door)}/report", headers={"Accept": accept})
    assert answer.text.startswith("<!doctype html>")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_json_is_simple_or_detailed(door: Door) -> None:
    id = ended(door)
    simple = door.client.get(f"/submissions/{id}/report?format=json").get_json()
    assert simple.items() >= {"app_id": id, "status": "stopped", "complete": True, "deadline_met": True}.items()
    assert simple["kept_until"] == door.record(id).finished_at + door.record(id).spec.keep
    assert simple["service_time"]["count"] == 2 and simple["service_time"]["mean"] == 1.5
    assert simple["queue_wait"]["p50"] == pytest.approx(2.0)
    assert (simple["failures"]["dead_total"], simple["failures"]["dead"][0]["error"]) == (1, "=lost <cause>")
    assert "series" not in simple
    detailed = door.client.get(f"/submissions/{id}/report?format=json&detailed=true&rows=50").get_json()
    assert detailed["series"] == SERIES
    assert detailed["decisions"][0]["reason"] == "late"
    assert detailed["spec"]["run"] == NATIVE["run"]
    assert door.detailed.asked[-1] == (id, True, 50)


@pytest.mark.parametrize("form", ["json", "html", "text", "csv"])
def test_what_has_ended_and_is_measured_still_has_its_report(door: Door, form: str) -> None:
    id = ended(door)
    door.detailed.measured.add(id)
    assert door.client.get(f"/submissions/{id}/report?format={form}").status_code == 200


def test_the_table_has_every_item(door: Door) -> None:
    answer = door.client.get(f"/submissions/{(id := ended(door))}/report?format=csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{id}.csv"'
    told = rows(answer)
    assert [(row["id"], row["state"]) for row in told] == [("0", "done"), ("1", "done"), ("2", "dead"), ("3", "ready")]
    assert (told[0]["wait_seconds"], told[0]["service_seconds"], told[0]["worker"]) == ("2.000", "3.000", "pod-a")
    assert told[2]["error"] == "'=lost <cause>"


def test_a_streams_items_have_no_wait_of_their_own(door: Door) -> None:
    id = ended(door, {"run": "cat {item}", "target": {"latency": 5}})
    assert {row["wait_seconds"] for row in rows(door.client.get(f"/submissions/{id}/report?format=csv"))} == {""}
    told = door.client.get(f"/submissions/{id}/report?format=json").get_json()
    assert told["queue_wait"]["count"] == 4, "from the queue's histogram"


@pytest.mark.parametrize("form", ["json", "html", "text", "csv"])
def test_of_one_that_runs_there_is_what_there_is_when_asked(door: Door, form: str) -> None:
    id = door.submit()
    refused = door.client.get(f"/submissions/{id}/report?format={form}")
    assert (refused.status_code, refused.get_json()["error_name"]) == (409, "CONFLICT")
    assert "partial=true" in refused.get_json()["error_message"]
    answer = door.client.get(f"/submissions/{id}/report?format={form}&partial=true")
    assert answer.status_code == 200
    if form == "json":
        assert (answer.get_json()["complete"], answer.get_json()["kept_until"]) == (False, None)


@pytest.mark.parametrize("form", ["json", "html", "text"])
def test_without_its_items_the_rest_is_told(door: Door, form: str) -> None:
    id = ended(door)
    door.queues.at(door.record(id).queue).purge()
    assert door.client.get(f"/submissions/{id}/report?format={form}").status_code == 200
    assert door.client.get(f"/submissions/{id}/report?format=csv").status_code == 404


def test_of_what_never_had_items_the_table_is_empty(door: Door) -> None:
    id = door.submit()
    door.end(id, State.ERROR)
    assert rows(door.client.get(f"/submissions/{id}/report?format=csv")) == []
    assert door.client.get(f"/submissions/{id}/report?format=text").status_code == 200


def test_a_monitor_that_is_away_is_told(door: Door) -> None:
    id = ended(door)

    def away(*_: object) -> Any:
        raise Unavailable("the monitor is away")

    door.detailed.detailed = away  # type: ignore[method-assign]
    assert door.client.get(f"/submissions/{id}/report?format=html").status_code == 503
    assert door.client.get(f"/submissions/{id}/report?format=csv").status_code == 200


@pytest.mark.parametrize("query", ["format=pdf", "format=", "format=json&partial=maybe", "format=json&rows=1"])
def test_a_bad_question_is_refused(door: Door, query: str) -> None:
    answer = door.client.get(f"/submissions/{ended(door)}/report?{query}")
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] in query


def test_a_report_of_nobody_is_not_found(door: Door) -> None:
    for form in ("json", "html", "text", "csv"):
        assert door.client.get(f"/submissions/kj-fffffff/report?format={form}").status_code == 404


def test_a_listing_may_have_forecasts(door: Door) -> None:
    id = door.submit()
    plain = door.client.get("/submissions").get_json()[id]
    foreseen = door.client.get("/submissions?forecast=true").get_json()[id]
    assert "forecast" not in plain
    assert foreseen["forecast"]["state"] == "created"
    assert door.client.get("/submissions?forecast=x").status_code == 400
