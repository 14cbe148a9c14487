from __future__ import annotations

import json
from typing import Any

import pytest
from asperathos_worker.queue.api import ServiceQueue, WorkerQueue
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

from common.domain.cluster import PodView, SubmissionView
from common.domain.errors import BadRequest, Fault, NotFound, Unavailable
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Counts, Decision, Observation, Replicas
from common.domain.states import Intent, State
from manager.archiving import archive_page
from tests.support.manager_door import NATIVE, Door, payload

STREAM: dict[str, Any] = {"run": "cat {item}", "target": {"latency": 5}}
UNKNOWN = "kj-fffffff"


@pytest.fixture
def door() -> Door:
    return Door()


def filled(door: Door, id: str, *payloads: str) -> Any:
    """The submission's queue with these items, and its record as if the loop had put them there."""
    queue: Any = door.queues.at(door.record(id).queue)
    queue.open(QueueConfig(retries=0))
    queue.put([NewItem(payload, str(place)) for place, payload in enumerate(payloads)])
    queue.close()
    door.change(id, state=State.ONGOING, loaded=len(payloads), generation=1, started_at=door.clock.now())
    return queue


def finish(queue: WorkerQueue, results: dict[str, str], failures: dict[str, str] | None = None) -> None:
    for lease in queue.take("worker-0", 0, 1000).leases:
        if lease.id in results:
            queue.finish_and_take("worker-0", 0, [Ack(lease.id, lease.attempt, results[lease.id])], 0)
        elif lease.id in (failures or {}):
            queue.fail("worker-0", lease, (failures or {})[lease.id])


# Taking submissions in.


def test_a_submission_is_recorded_and_the_loop_is_woken(door: Door) -> None:
    answer = door.client.post("/submissions", json=NATIVE)
    assert answer.status_code == 202
    id = answer.get_json()["job_id"]
    assert len(id) == 10
    assert answer.get_json()["warnings"] == []
    assert answer.headers["Location"] == f"/submissions/{id}"
    record = door.record(id)
    assert (record.state, record.intent, record.form) == (State.CREATED, Intent.NONE, "native")
    assert record.created_at == door.clock.now()
    assert door.wakeups.sent == [("manager", id)]
    assert [event.message for event in door.journal.read(EVENTS, id, Event)] == ["created"]


def test_yaml_is_understood(door: Door) -> None:
    body = "run: cat {item}\nworkload: [a, b]\nreplicas: {max: 3}\n"
    answer = door.client.post("/submissions", data=body, content_type="application/yaml")
    assert answer.status_code == 202
    assert door.record(answer.get_json()["job_id"]).spec.replicas.max == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_originals_payloads_are_accepted(door: Door, number: int, tmp_path: Any) -> None:
    (tmp_path / "items").write_text("a\nb\n")
    answer = door.client.post("/submissions", json=payload(number, f"file://{tmp_path}/items"))
    assert answer.status_code == 202
    assert any("max_size: means nothing" in warning for warning in answer.get_json()["warnings"])
    id = answer.get_json()["job_id"]
    assert door.record(id).form == "compatible"
    told = door.client.get(f"/submissions/{id}?spec=true")
    assert "grafana123123" not in told.text
    assert door.laws.asked[-1].law == "threshold"


def test_the_laws_faults_are_told(door: Door) -> None:
    door.laws.answer = BadRequest("no", [Fault("control.law", "unknown law")])
    answer = door.client.post("/submissions", json={**NATIVE, "control": {"law": "magic"}})
    assert answer.status_code == 400
    assert answer.get_json()["details"] == [{"field": "control.law", "problem": "unknown law"}]
    assert door.is_untouched()


def test_the_laws_faults_are_told_in_old_words(door: Door, tmp_path: Any) -> None:
    (tmp_path / "items").write_text("a\n")
    door.laws.answer = BadRequest("no", [Fault("control.settings.trigger_up", "too low")])
    answer = door.client.post("/submissions", json=payload(1, f"file://{tmp_path}/items"))
    assert [fault["field"] for fault in answer.get_json()["details"]] == ["plugin_info.control_parameters.trigger_up"]


@pytest.mark.parametrize("away", [Unavailable("it does not answer"), NotFound("no such route")])
def test_without_the_controller_there_is_a_warning(door: Door, away: Any) -> None:
    door.laws.answer = away
    answer = door.client.post("/submissions", json=NATIVE)
    assert answer.status_code == 202
    assert any(warning.startswith("control: ") for warning in answer.get_json()["warnings"])


def test_a_dry_run_tells_the_plan_and_never_runs(door: Door) -> None:
    door.foreseer.expected = {"p10": 50.0, "p90": 80.0, "replica_seconds": 7200.0}
    answer = door.client.post("/submissions?dry_run=true", json=NATIVE)
    assert answer.status_code == 200
    told = answer.get_json()
    assert (told["dry_run"], told["items"], told["deadline"], told["warnings"]) == (True, 2, 600.0, [])
    plan = told["forecast"]
    assert plan["finish"] == {"p5": None, "p10": 50.0, "p50": 60.0, "p90": 80.0, "p95": None}
    assert plan["finish_at"]["p90"] == door.clock.now() + 80
    assert (plan["chance"], plan["margin"], plan["feasible"]) == (0.95, 540.0, True)
    unpriced = {"replica_seconds": 7200.0, "replica_hours": 2.0, "money": None}
    nothing = {"replica_seconds": 0.0, "replica_hours": 0.0, "money": None}
    assert plan["cost"] == {**unpriced, "price": None, "so_far": nothing, "projected": unpriced}
    assert (plan["made_at"], plan["age"]) == (door.clock.now(), 0.0)
    assert (plan["replicas"]["wanted"], plan["replicas"]["reason"]) == (2, "as told")
    assert door.is_untouched()
    running = door.client.get(f"/submissions/{door.submit()}").get_json()["forecast"]
    assert running.keys() <= plan.keys(), "the same as while it runs"


@pytest.mark.parametrize(
    ("given", "price"),
    [
        ({"monitoring": {"prices": {"replica": 0.12}}}, 0.12),
        ({"monitoring": {"prices": {"cpu": 0.04, "memory": 0.01}}, "resources": {"cpu": "500m", "memory": "2G"}}, 0.04),
        ({"control": {"law": "cost", "settings": {"budget": 2, "price": 0.5}}}, 0.5),
        ({"monitoring": {"prices": {"url": "http://prices.example/"}}}, None),
        ({}, None),
    ],
)
def test_a_dry_run_goes_by_the_price_that_is_known(door: Door, given: dict[str, Any], price: float | None) -> None:
    assert door.client.post("/submissions?dry_run=1", json={**NATIVE, **given}).status_code == 200
    assert door.foreseer.asked[-1].price == (None if price is None else pytest.approx(price))


def test_a_dry_run_names_every_fault_and_what_is_wrong_with_the_plan(door: Door) -> None:
    answer = door.client.post("/submissions?dry_run=true", json={"run": "x", "deadline": "soon", "retires": 1})
    assert answer.status_code == 400
    assert {fault["field"] for fault in answer.get_json()["details"]} >= {"deadline", "retires"}
    assert door.client.post("/submissions?dry_run=perhaps", json=NATIVE).status_code == 400
    door.foreseer.expected = {"feasible": False, "late_by": 90.0}
    door.foreseer.foreseen = {"endangered": ("kj-0000001",), "fits": False}
    warnings = door.client.post("/submissions?dry_run=1", json=NATIVE).get_json()["warnings"]
    assert [warning.split(":")[0] for warning in warnings] == ["deadline", "cluster"]
    assert "1m 30s" in warnings[0] and "kj-0000001" in warnings[1]
    door.foreseer.failure = Unavailable("the controller is away")
    assert door.client.post("/submissions?dry_run=1", json=NATIVE).status_code == 503
    assert door.is_untouched()


@pytest.mark.parametrize("store", ["records", "claims"])
def test_without_redis_nothing_is_created(door: Door, store: str) -> None:
    getattr(door, store).down = True
    answer = door.client.post("/submissions", json=NATIVE, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    getattr(door, store).down = False
    assert door.client.get("/submissions").get_json() == {}
    assert door.wakeups.sent == []
    assert door.client.post("/submissions", json=NATIVE, headers={"Idempotency-Key": "k"}).status_code == 202


@pytest.mark.parametrize("key", ["a b", "x" * 256, "ä"])
def test_a_bad_idempotency_key_is_refused(door: Door, key: str) -> None:
    answer = door.client.post("/submissions", json=NATIVE, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert door.is_untouched()


# Asking how things stand.


def test_listing_is_by_id_and_filtered(door: Door) -> None:
    ids = [door.submit({**NATIVE, "name": name}) for name in ("one", "two", "two")]
    door.end(ids[0])
    door.change(ids[1], state=State.ONGOING)

    def listed(query: str = "") -> list[str]:
        answer = door.client.get(f"/submissions{query}")
        assert answer.status_code == 200
        return list(answer.get_json())

    assert listed() == ids
    assert listed("?state=ongoing,created") == ids[1:]
    assert listed("?state=completed") == ids[:1]
    assert listed("?name=two") == ids[1:]
    assert listed("?limit=1") == ids[2:]
    assert listed("?limit=0") == []
    assert listed("?name=two&state=created&limit=5") == ids[2:]


@pytest.mark.parametrize("query", ["state=asleep", "limit=-1", "limit=x", "limit=9999999999999999999"])
def test_a_bad_filter_is_refused(door: Door, query: str) -> None:
    answer = door.client.get(f"/submissions?{query}")
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] == query.split("=")[0]


def test_looking_changes_nothing_and_never_asks_the_cluster(door: Door) -> None:
    id = door.submit()
    writes, sent = door.records.writes, list(door.wakeups.sent)
    door.cluster.calls.clear()
    for path in ("", f"/{id}", f"/{id}/forecast", f"/{id}/results", f"/{id}/items", f"/{id}/report", f"/{id}/errors"):
        assert door.client.get(f"/submissions{path}").status_code == 200
    assert door.records.writes == writes
    assert door.wakeups.sent == sent
    assert door.cluster.calls == []


def test_a_status_shows_what_was_measured_and_decided(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a", "b")
    seen = Observation(
        submission=id,
        at=door.clock.now(),
        elapsed=1.0,
        deadline=600.0,
        counts=Counts(total=2, ready=1, done=1),
        progress=0.5,
        throughput=0.5,
        replicas=Replicas(desired=2, requested=2, observed=1),
    )
    door.observations.put(id, seen)
    told = door.client.get(f"/submissions/{id}").get_json()
    assert (told["progress"], told["replicas"]["observed"], told["eta"]) == (0.5, 1, 2.0)
    decision = Decision(
        at=door.clock.now(), law="deadline", wanted=3, granted=2, previous=1, reason="late", feasible=False, eta=9.0
    )
    door.journal.append(DECISIONS, id, decision)
    told = door.client.get(f"/submissions/{id}").get_json()
    assert (told["eta"], told["feasible"]) == (9.0, False)
    assert door.client.get(f"/submissions/{id}/forecast").get_json()["replicas"]["reason"] == "late"


GETS = ("", "/log", "/report", "/errors", "/results", "/items", "/events", "/visualizer", "/forecast")


@pytest.mark.parametrize("id", [UNKNOWN, "clusters", "..", "kj-0", "KJ-0000000", "kj-00000000", "%00", "a" * 500])
def test_an_unknown_submission_is_not_found(door: Door, id: str) -> None:
    for path in GETS:
        answer = door.client.get(f"/submissions/{id}{path}")
        assert answer.status_code == 404, path
        assert answer.get_json()["error_code"] == 404
    for method, path in (("PUT", "/stop"), ("PUT", "/terminate"), ("DELETE", ""), ("POST", "/retry")):
        assert door.client.open(f"/submissions/{id}{path}", method=method).status_code == 404, path
    assert door.client.post(f"/submissions/{id}/items", json=["a"]).status_code == 404


def test_every_route_answers_with_json_appended(door: Door) -> None:
    id = door.submit()
    for path in GETS:
        assert door.client.get(f"/submissions/{id}{path}.json").status_code == 200, path
    assert door.client.get("/submissions.json").status_code == 200
    assert door.client.put(f"/submissions/{id}/stop.json").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("PATCH", "/submissions", 405),
        ("PUT", "/submissions", 405),
        ("PUT", "/submissions/cluster", 405),
        ("PUT", "/submissions/cluster/activate", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_what_is_not_there_is_told_in_json(door: Door, method: str, path: str, code: int) -> None:
    answer = door.client.open(path, method=method)
    assert answer.status_code == code
    assert answer.get_json()["error_code"] == code


# Ending.


@pytest.mark.parametrize("body", [None, {}, {"enable_auth": False}, {"username": "u", "password": "hush"}])
def test_stop_records_the_intent(door: Door, body: Any) -> None:
    id = door.submit()
    for _ in range(2):
        answer = door.client.put(f"/submissions/{id}/stop", **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.data) == (204, b"")
    assert door.record(id).intent is Intent.STOP
    assert door.record(id).state is State.CREATED
    assert ("manager", id) in door.wakeups.sent[1:]
    assert "hush" not in door.record(id).model_dump_json()


def test_terminate_overrides_stop_and_not_the_reverse(door: Door) -> None:
    id = door.submit()
    door.client.put(f"/submissions/{id}/stop")
    door.client.put(f"/submissions/{id}/terminate")
    assert door.record(id).intent is Intent.TERMINATE
    door.client.put(f"/submissions/{id}/stop")
    assert door.record(id).intent is Intent.TERMINATE


@pytest.mark.parametrize("state", [state for state in State if state.terminal])
def test_ending_what_has_ended_changes_nothing(door: Door, state: State) -> None:
    id = door.submit()
    door.end(id, state)
    for how in ("stop", "terminate"):
        assert door.client.put(f"/submissions/{id}/{how}").status_code == 204
    assert (door.record(id).state, door.record(id).intent) == (state, Intent.NONE)


@pytest.mark.parametrize(("body", "kind", "code"), [(b"[1]", "application/json", 400), (b"x", "text/plain", 415)])
def test_an_absurd_body_is_refused(door: Door, body: bytes, kind: str, code: int) -> None:
    id = door.submit()
    for method, path in (("PUT", f"/{id}/stop"), ("DELETE", f"/{id}"), ("DELETE", "")):
        answer = door.client.open(f"/submissions{path}", method=method, data=body, content_type=kind)
        assert answer.status_code == code
    assert door.record(id).intent is Intent.NONE


# Deleting.


def test_a_running_submission_is_not_deleted(door: Door) -> None:
    id = door.submit()
    assert door.client.delete(f"/submissions/{id}").status_code == 409
    assert door.client.get(f"/submissions/{id}").status_code == 200


def test_a_deleted_submission_is_gone_for_its_user(door: Door) -> None:
    id = door.submit()
    door.end(id)
    assert door.client.delete(f"/submissions/{id}").status_code == 204
    assert door.client.get(f"/submissions/{id}").status_code == 404
    assert door.client.delete(f"/submissions/{id}").status_code == 404
    assert door.client.get("/submissions").get_json() == {}
    assert door.record(id).delete_requested
    assert door.wakeups.sent[-1] == ("manager", id)


def test_all_that_ended_are_deleted(door: Door) -> None:
    ids = [door.submit() for _ in range(3)]
    door.end(ids[0])
    door.end(ids[2], State.ERROR)
    assert door.client.delete("/submissions").status_code == 204
    assert list(door.client.get("/submissions").get_json()) == [ids[1]]
    assert door.client.delete("/submissions").status_code == 204


# Reading what it leaves.


def test_the_report_is_the_monitors(door: Door) -> None:
    id = door.submit()
    assert door.client.get(f"/submissions/{id}/report").get_json() == {"message": "Job is running yet!"}
    door.detailed.series[id] = {"2": {"job_progress": 0.5, "time_progress": 0.1, "replicas": 1, "error": 0.4}}
    door.end(id)
    assert door.client.get(f"/submissions/{id}/report").get_json() == door.detailed.series[id]


def test_the_report_of_what_was_never_measured_is_empty(door: Door) -> None:
    id = door.submit()
    door.end(id, State.ERROR)
    assert door.client.get(f"/submissions/{id}/report").get_json() == {}


def test_results_are_paged(door: Door) -> None:
    id = door.submit()
    queue = filled(door, id, "a", "b", "c")
    finish(queue, {"0": "A", "1": "B", "2": "C"})
    first = door.client.get(f"/submissions/{id}/results?count=2").get_json()
    assert [(result["id"], result["result"]) for result in first["results"]] == [("0", "A"), ("1", "B")]
    assert first["more"] is True
    rest = door.client.get(f"/submissions/{id}/results?cursor={first['cursor']}").get_json()
    assert [result["result"] for result in rest["results"]] == ["C"]
    assert rest["more"] is False


def test_results_as_lines(door: Door) -> None:
    id = door.submit()
    count = 2500
    queue = filled(door, id, *(str(number) for number in range(count)))
    for _ in range(3):
        finish(queue, {str(number): f"ä{number}" for number in range(count)})
    answer = door.client.get(f"/submissions/{id}/results?format=jsonl")
    assert answer.is_streamed
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(line["result"] for line in lines) == sorted(f"ä{number}" for number in range(count))


@pytest.mark.parametrize("query", ["cursor=-1", "cursor=x", "count=0", "count=10001", "format=xml", "cursor=٣"])
def test_bad_paging_is_refused(door: Door, query: str) -> None:
    answer = door.client.get(f"/submissions/{door.submit()}/results?{query}")
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] == query.split("=")[0]


def test_results_not_kept_any_more_are_not_found(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a").purge()
    assert door.client.get(f"/submissions/{id}/results").status_code == 404
    assert door.client.get(f"/submissions/{id}/results?format=jsonl").status_code == 404


def test_a_queue_that_is_away_is_unavailable(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.queues.down = True
    for path in ("results", "items?ids=0", "errors"):
        answer = door.client.get(f"/submissions/{id}/{path}")
        assert answer.status_code == 503, path
        assert answer.headers["Retry-After"]


def test_errors_are_lines(door: Door) -> None:
    id = door.submit()
    queue = filled(door, id, "a", "b")
    finish(queue, {"0": "A"}, {"1": "exit code 9: spoiled"})
    door.journal.append(EVENTS, id, Event(at=1.0, kind="pod", message="pod x: out of memory", warning=True))
    door.end(id, State.FAILED, reason="1 item is dead")
    assert door.client.get(f"/submissions/{id}/errors").get_json() == [
        "1 item is dead",
        "item 1 is dead: exit code 9: spoiled",
        "pod x: out of memory",
    ]


def test_a_dedicated_queues_results_are_told_the_same_after_they_are_archived(door: Door) -> None:
    id = door.submit({**NATIVE, "run": None, "command": ["x"], "queue": "dedicated"})
    assert door.client.get(f"/submissions/{id}/results").get_json()["results"] == []
    lists: Any = MemoryQueue(door.clock.now)
    lists.open(QueueConfig(retries=0))
    lists.put([NewItem("a", "0"), NewItem("b", "1"), NewItem("c", "2")])
    lists.close()
    finish(lists, {"0": "A", "1": "B"}, {"2": "exit code 3"})
    archive: Any = MemoryQueue(door.clock.now)
    while not archive_page(lists, archive):
        pass
    door.end(id, archived=True, loaded=2)
    door.queues.made["shared", id] = archive
    page = door.client.get(f"/submissions/{id}/results").get_json()
    assert [(result["id"], result["result"], result["worker"]) for result in page["results"]] == [
        ("0", "A", ""),
        ("1", "B", ""),
    ]
    assert door.client.get(f"/submissions/{id}/errors").get_json() == ["exit code 3"]
    assert door.client.post(f"/submissions/{id}/retry").status_code == 409


def test_items_are_found_by_id_or_counted(door: Door) -> None:
    id = door.submit()
    queue = filled(door, id, "a", "b")
    finish(queue, {"0": "A"})
    found = door.client.get(f"/submissions/{id}/items?ids=0,7&id=1").get_json()["items"]
    assert [(item["id"], item["place"], item["payload"]) for item in found] == [
        ("0", "done", "a"),
        ("1", "leased", "b"),
    ]
    assert "ready" in door.client.get(f"/submissions/{id}/items").get_json()["counts"]
    assert door.client.get(f"/submissions/{id}/items?ids={','.join('0' * 1001)}").status_code == 400


def pod(door: Door, id: str, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view = PodView(name, "default", id, 1, 0, "worker", "Running", door.clock.now())
    monkeypatch.setattr(door.cluster, "view", lambda namespace, submission: SubmissionView(pods=(view,)))
    monkeypatch.setattr(door.cluster, "pod_log", lambda namespace, pod, limit=0: text)


def test_logs_are_merged_from_kept_and_live_pods(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.texts.put(id, "pod-a", "ended\n")
    door.texts.put(id, "pod-b", "older\n")
    pod(door, id, "pod-b", "older\nnewer\n", monkeypatch)
    told = door.client.get(f"/submissions/{id}/log").get_json()
    assert told["pods"] == {"pod-a": "ended\n", "pod-b": "older\nnewer\n"}
    assert told["stdout"] == "==> pod-a <==\nended\n==> pod-b <==\nolder\nnewer"
    assert told["stderr"] == ""
    assert told["execution"].endswith("state: created")
    assert door.client.get(f"/submissions/{id}/log?pod=pod-a").get_json()["stdout"] == "==> pod-a <==\nended"
    assert door.client.get(f"/submissions/{id}/log?pod=pod-z").status_code == 404


def test_the_last_lines_may_be_asked_for(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.texts.put(id, "pod-a", "one\ntwo\nthree\n")
    assert door.client.get(f"/submissions/{id}/log?tail=2").get_json()["pods"] == {"pod-a": "two\nthree\n"}
    assert door.client.get(f"/submissions/{id}/log?tail=0").get_json()["pods"] == {"pod-a": ""}


@pytest.mark.parametrize("query", ["tail=-1", "tail=x", "tail=1e3", "follow=perhaps"])
def test_a_wrong_parameter_of_the_log_is_named(door: Door, query: str) -> None:
    answer = door.client.get(f"/submissions/{door.submit()}/log?{query}")
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] == query.split("=")[0]


def test_a_followed_log_is_plain_text_and_ends_with_the_submission(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.texts.put(id, "pod-a", "one\ntwo\n")
    door.end(id)
    answer = door.client.get(f"/submissions/{id}/log?follow=true&tail=1")
    assert answer.mimetype == "text/plain"
    assert answer.text == "pod-a | two\n"
    assert door.client.get("/submissions/kj-9999999/log?follow=true").status_code == 404


def test_kept_logs_are_read_without_the_cluster(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.texts.put(id, "pod-a", "ended\n")
    door.cluster.down = True
    assert door.client.get(f"/submissions/{id}/log").get_json()["pods"] == {"pod-a": "ended\n"}
    assert door.client.get(f"/submissions/{id}/events").status_code == 200


def test_events_tell_what_kubernetes_tells_too(door: Door) -> None:
    id = door.submit()
    filled(door, id, "a")
    door.clock.advance(5)
    door.cluster.tell("default", id, "FailedScheduling", "no node is free")
    door.clock.advance(5)
    door.journal.append(EVENTS, id, Event(at=door.clock.now(), kind="scaling", message="2 -> 3"))
    events = door.client.get(f"/submissions/{id}/events").get_json()["events"]
    assert [event["kind"] for event in events] == ["state", "pod", "scaling"]
    assert events[1]["warning"] is True
    assert "FailedScheduling: no node is free" in events[1]["message"]
    assert len(door.client.get(f"/submissions/{id}/events?count=1").get_json()["events"]) == 1


def test_the_visualizers_address(door: Door) -> None:
    id = door.submit()
    assert door.client.get(f"/submissions/{id}/visualizer").get_json() == {"visualizer_url": ""}
    door.change(id, visualizer_url="http://x/")
    assert door.client.get(f"/submissions/{id}/visualizer").get_json() == {"visualizer_url": "http://x/"}


# Streams and retries.


def streaming(door: Door) -> str:
    id = door.submit(STREAM)
    queue: ServiceQueue = door.queues.at(door.record(id).queue)
    queue.open(QueueConfig(stream=True))
    door.change(id, state=State.ONGOING)
    return id


def test_a_stream_takes_items(door: Door) -> None:
    id = streaming(door)
    answer = door.client.post(f"/submissions/{id}/items", json={"items": ["a", {"payload": "b", "id": "mine"}]})
    assert (answer.status_code, answer.get_json()) == (202, {"added": 2})
    again = door.client.post(f"/submissions/{id}/items", json=[{"payload": "b", "id": "mine"}])
    assert again.get_json() == {"added": 0}
    assert door.client.post(f"/submissions/{id}/items", json=[]).get_json() == {"added": 0}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("a", "items"),
        ({}, "items"),
        ({"items": "a"}, "items"),
        ({"items": [], "more": 1}, "more"),
        ([5], "items.0"),
        (["a", {"id": "x"}], "items.1.payload"),
        ([{"payload": "a", "ids": "x"}], "items.0.ids"),
        ([{"payload": "a", "id": ""}], "items.0.id"),
        ([{"payload": "a", "id": 5}], "items.0.id"),
        ([{"payload": "a", "id": "a\nb"}], "items.0.id"),
        (["a\0"], "items.0.payload"),
        (["x" * 1001], "items.0.payload"),
        (["ü" * 501], "items.0.payload"),
    ],
)
def test_wrong_items_are_refused_by_name(door: Door, body: Any, field: str) -> None:
    id = streaming(door)
    answer = door.client.post(f"/submissions/{id}/items", json=body)
    assert answer.status_code == 400
    assert field in [fault["field"] for fault in answer.get_json()["details"]]
    assert door.queues.at(door.record(id).queue).stats().put == 0


def test_who_takes_no_items_says_so(door: Door) -> None:
    batch = door.submit()
    assert door.client.post(f"/submissions/{batch}/items", json=["a"]).status_code == 409
    id = door.submit(STREAM)
    early = door.client.post(f"/submissions/{id}/items", json=["a"])
    assert (early.status_code, "Retry-After" in early.headers) == (503, True)
    closed = streaming(door)
    door.queues.at(door.record(closed).queue).close()
    assert door.client.post(f"/submissions/{closed}/items", json=["a"]).status_code == 409
    stopping = streaming(door)
    door.client.put(f"/submissions/{stopping}/stop")
    assert door.client.post(f"/submissions/{stopping}/items", json=["a"]).status_code == 409


def test_dead_items_are_tried_again_as_a_new_submission(door: Door) -> None:
    id = door.submit({**NATIVE, "workload": ["a", "b", "c"], "name": "mine"})
    queue = filled(door, id, "a", "b", "c")
    finish(queue, {"1": "B"}, {"0": "no", "2": "no"})
    assert door.client.post(f"/submissions/{id}/retry").status_code == 409
    door.end(id, State.FAILED)
    answer = door.client.post(f"/submissions/{id}/retry")
    assert answer.status_code == 202
    again = door.record(answer.get_json()["job_id"])
    assert again.id != id
    assert again.spec.workload is not None
    assert again.spec.workload.items == ("a", "c")
    assert (again.spec.name, again.spec.run, again.state) == ("mine", "cat {item}", State.CREATED)
    assert id in again.warnings[0]


def test_without_dead_items_there_is_nothing_to_try_again(door: Door) -> None:
    id = door.submit()
    finish(filled(door, id, "a"), {"0": "A"})
    door.end(id)
    assert door.client.post(f"/submissions/{id}/retry").status_code == 409
    door.queues.at(door.record(id).queue).purge()
    assert door.client.post(f"/submissions/{id}/retry").status_code == 409


# The installation.


def test_nodes_and_plugins(door: Door) -> None:
    assert door.client.get("/nodes").get_json()["nodes"][0]["name"] == "fake"
    door.cluster.down = True
    assert door.client.get("/nodes").status_code == 503
    assert {"plugins"} == door.client.get("/plugins").get_json().keys()
    assert door.client.get("/healthz").get_json() == "OK"


def test_other_origins_may_call_only_when_allowed(door: Door) -> None:
    assert "Access-Control-Allow-Origin" not in door.client.get("/submissions").headers
    opened = Door(cors_origin="https://pages.example").client
    assert opened.get("/submissions").headers["Access-Control-Allow-Origin"] == "https://pages.example"
    preflight = opened.options("/submissions")
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert opened.get("/nothing").headers["Access-Control-Allow-Origin"] == "https://pages.example"
