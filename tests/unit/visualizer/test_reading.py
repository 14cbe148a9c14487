"""What the pages show of other services' documents, whatever these hold."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from common.domain.forecast import Forecast
from common.domain.parsing import parse_native
from common.domain.progress import Counts, Decision, Observation, Replicas
from common.domain.states import State
from common.domain.submission import Submission
from manager.status import full_status, status
from visualizer.reading import details_of, row_of, rows_of, with_decision, with_observation

SPEC = parse_native({"name": "tide-model", "run": "true {item}", "workload": ["a", "b"], "deadline": "10m"})
OBSERVATION = Observation(
    submission="kj-1",
    at=1100.0,
    elapsed=100.0,
    deadline=600.0,
    counts=Counts(total=4, ready=1, leased=1, done=2),
    progress=0.5,
    throughput=0.02,
    replicas=Replicas(desired=3, requested=3, observed=2, pending=1),
)
DECISION = Decision(at=1100.0, law="deadline", wanted=3, granted=3, previous=2, reason="why", feasible=False, eta=50.0)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    *("name", "status", "state", "kind", "reason", "created_at", "starting_time", "finished_at", "deadline", "target"),
    *("progress", "counts", "replicas", "final_replicas", "ends_at", "feasible", "deadline_met", "deadline_margin"),
    *("law", "cluster", "warnings", "execution_time", "spec", "summary", "forecast"),
)


def test_the_managers_own_status_is_understood() -> None:
    submission = Submission(id="kj-1", spec=SPEC, state=State.ONGOING, created_at=1000.0, reason="2 pods are pending")
    document = json.loads(json.dumps(status(submission, OBSERVATION, 1101.0, DECISION)))
    row = row_of("kj-1", document)
    assert (row.name, row.state, row.kind, row.reason) == ("tide-model", "ongoing", "batch", "2 pods are pending")
    assert (row.created_at, row.deadline, row.progress, row.ends_at) == (1000.0, 600.0, 0.5, 1150.0)
    assert row.counts == OBSERVATION.counts
    assert row.replicas == OBSERVATION.replicas
    assert row.feasible is False
    assert not row.terminal


def test_the_managers_status_of_an_ended_one_is_understood() -> None:
    submission = Submission(
        id="kj-1",
        spec=SPEC,
        state=State.COMPLETED,
        created_at=1000.0,
        finished_at=1090.0,
        warnings=("a warning",),
        cluster="east",
    )
    document = json.loads(json.dumps(status(submission, OBSERVATION, 2000.0)))
    row = row_of("kj-1", document)
    details = details_of(document, None, (), {"events": []}, [])
    assert row.terminal
    assert (row.finished_at, row.final_replicas) == (1090.0, 0)
    assert details.cluster == "east"
    assert (details.law, details.execution_time, details.warnings) == ("deadline", 90.0, ("a warning",))


def test_the_originals_six_keys_are_enough() -> None:
    row = row_of("kj-1", {"app_id": "kj-1", "status": "ongoing", "starting_time": "1970-01-01T00:01:00Z"})
    assert (row.state, row.created_at, row.progress, row.replicas) == ("ongoing", 60.0, None, None)


@given(st.dictionaries(st.sampled_from(KEYS), anything))
def test_no_document_breaks_the_page(document: dict[str, object]) -> None:
    row = row_of("kj-1", document)
    assert row.progress is None or 0.0 <= row.progress <= 1.0
    assert json.loads(row.model_dump_json())["id"] == "kj-1"
    details_of(document, None, (), document, document.get("warnings"), document.get("spec"))


@given(anything)
def test_no_listing_breaks_the_page(listing: object) -> None:
    assert all(row.id == id for id, row in rows_of(listing).items())


def test_the_latest_decision_tells_the_end_while_it_runs() -> None:
    row = with_decision(row_of("kj-1", {"status": "ongoing"}), DECISION)
    assert (row.ends_at, row.feasible) == (1150.0, False)
    ended = with_decision(row_of("kj-1", {"status": "completed"}), DECISION)
    assert (ended.ends_at, ended.feasible) == (None, None)
    foreseen = DECISION.model_copy(update={"forecast": Forecast(at=1100.0, p50=300.4, chance=0.876)})
    row = with_decision(row_of("kj-1", {"status": "ongoing", "created_at": 1000.0}), foreseen)
    assert (row.ends_at, row.chance) == (1300.4, 0.88)


def test_the_monitor_fills_in_what_the_manager_does_not_say() -> None:
    row = with_observation(row_of("kj-1", {"status": "ongoing", "progress": 0.25}), OBSERVATION)
    assert (row.progress, row.counts, row.deadline) == (0.25, OBSERVATION.counts, 600.0)


def test_an_odd_event_does_not_hide_the_others() -> None:
    events = {"events": [{"at": "soon"}, {"at": 1.0, "kind": "new-kind", "message": "told", "warning": True}, 7]}
    (event,) = details_of({}, None, (), events, []).events
    assert (event.kind, event.message, event.warning) == ("new-kind", "told", True)


def test_errors_are_bounded() -> None:
    details = details_of({}, None, (), None, [f"{number} " + "x" * 5000 for number in range(200)])
    assert len(details.troubles) == 50
    assert max(len(trouble.text) for trouble in details.troubles) <= 2000


def test_a_specification_is_cut_for_people() -> None:
    spec = {"workload": {"items": [str(number) for number in range(1000)]}, "run": "x" * 9000, "retries": 3}
    shown = details_of({}, None, (), None, None, spec).spec
    assert shown["workload"]["items"][-1] == "... and 980 more"
    assert (len(shown["run"]), shown["retries"]) == (2003, 3)


def test_the_outlook_is_taken_from_the_managers_forecast() -> None:
    submission = Submission(id="kj-1", spec=SPEC, state=State.ONGOING, created_at=1000.0)
    foreseen = Forecast(at=1100.0, p10=200.0, p50=300.4, p90=400.0, replica_seconds=60.0)
    decision = DECISION.model_copy(update={"forecast": foreseen})
    document = json.loads(json.dumps(full_status(submission, OBSERVATION, decision, 1101.0)))
    outlook = details_of(document, None, (), None, None).outlook
    assert (outlook.p10, outlook.p50, outlook.p90) == (1200.0, 1300.0, 1400.0)
