"""What may be changed while a submission runs."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain.errors import BadRequest, Fault, InvalidSubmission, Unavailable
from common.domain.states import Intent, State
from common.domain.submission import SubmissionSpec
from common.http.contracts import MonitoringRequest, ScalingRequest
from manager.changing import CHANGEABLE, changed
from tests.support.manager_door import NATIVE, Door
from tests.support.manager_stage import ID, Stage

FULL: dict[str, Any] = {
    "run": "x {item}",
    "workload": ["a"],
    "deadline": "10m",
    "replicas": {"min": 1, "max": 10, "initial": 8},
    "control": {"settings": {"confidence": 0.9}},
    "env": {"A": 1, "T": {"secret": "a", "key": "b"}},
    "volumes": [{"path": "/d", "empty_dir": {}}],
    "dashboard": False,
}


def spec(**given: Any) -> SubmissionSpec:
    return SubmissionSpec.model_validate({**FULL, **given})


def differences(patch: Any, **given: Any) -> list[str]:
    return [str(each) for each in changed(spec(**given), patch)[1]]


def faults(patch: Any, **given: Any) -> dict[str, str]:
    with pytest.raises(InvalidSubmission) as caught:
        changed(spec(**given), patch)
    return {fault.field: fault.problem for fault in caught.value.faults}


def test_what_is_not_named_stays() -> None:
    after, told = changed(spec(), {"deadline": "20m", "replicas": {"max": 5}})
    assert [str(each) for each in told] == ["deadline 600 -> 1200", "replicas.max 10 -> 5"]
    expected = spec(deadline="20m", replicas={"min": 1, "max": 5})
    assert after == expected
    assert changed(spec(), {}) == (spec(), ())
    assert changed(spec(), {"deadline": "10m", "priority": "normal"})[1] == ()


def test_null_takes_back_to_the_default() -> None:
    assert differences({"deadline": None}) == ["deadline 600 -> none"]
    assert differences({"control": None}) == ["control.settings.confidence 0.9 -> none"]
    assert differences({"expected_item_time": None}, expected_item_time="3s") == ["expected_item_time 3 -> none"]


def test_settings_are_merged_while_the_law_stays_and_begin_anew_with_another() -> None:
    assert changed(spec(), {"control": {"settings": {"slack": 0.1}}})[0].control.settings == {
        "confidence": 0.9,
        "slack": 0.1,
    }
    other = changed(spec(), {"control": {"law": "pid"}})[0].control
    assert (other.law, other.settings) == ("pid", {})
    tuned = changed(spec(), {"control": {"law": "pid", "settings": {"proportional_gain": 3}}})[0].control
    assert tuned.settings == {"proportional_gain": 3}


def test_every_fault_is_named() -> None:
    found = faults(
        {
            "replicas": {"min": 20, "initial": 3},
            "deadlin": 3,
            "image": "other",
            "target": {"latency": 3},
            "priority": "urgent",
            "expected_item_time": -1,
        }
    )
    assert found.keys() == {
        *("replicas.initial", "replicas.min", "deadlin", "image", "target", "priority", "expected_item_time")
    }
    assert found["deadlin"] == "unknown field; did you mean deadline?"
    assert found["image"].startswith("cannot be changed while it runs")
    assert faults({"replicas": {"min": 20}}) == {"replicas.min": "must not exceed max"}
    assert faults({"replicas": 3}) == {"replicas": "must be an object"}
    assert faults({"control": {"laws": "pid"}})["control.laws"] == "unknown field; did you mean law?"
    assert faults({"deadline": float("inf")}) == {"deadline": "must be a finite number"}
    assert faults([]).keys() == {"body"}


def test_batch_and_stream_stay_what_they_are() -> None:
    stream = {"workload": None, "deadline": None, "target": {"latency": 5}}
    assert differences({"target": {"latency": "2s"}}, **stream) == ["target.latency 5 -> 2"]
    assert faults({"deadline": 5}, **stream).keys() == {"deadline"}
    assert faults({"target": None}, **stream).keys() == {"target"}


def test_the_changeable_fields_are_some_of_the_specification() -> None:
    assert set(CHANGEABLE) < set(SubmissionSpec.model_fields)


# At the door.


def test_a_change_is_recorded_and_told_once() -> None:
    door = Door()
    id = door.submit()
    patch = {"deadline": "20m", "replicas": {"max": 3}}
    answer = door.client.patch(f"/submissions/{id}", json=patch)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "job_id": id,
        "changed": {"deadline": {"old": 600.0, "new": 1200.0}, "replicas.max": {"old": 10, "new": 3}},
    }
    assert door.record(id).revision == 1
    assert door.client.get(f"/submissions/{id}").get_json()["deadline"] == 1200.0
    again = door.client.patch(f"/submissions/{id}", json=patch)
    assert (again.status_code, again.get_json()["changed"]) == (200, {})
    assert door.record(id).revision == 1
    events = [event["message"] for event in door.client.get(f"/submissions/{id}/events").get_json()["events"]]
    assert [line for line in events if line.startswith("changed")] == [
        "changed: deadline 600 -> 1200; replicas.max 10 -> 3"
    ]


def test_what_has_ended_or_is_ending_changes_no_more() -> None:
    door = Door()
    id = door.submit()
    door.change(id, intent=Intent.STOP)
    assert door.client.patch(f"/submissions/{id}", json={"deadline": 5}).status_code == 409
    door.end(id, State.STOPPED)
    assert door.client.patch(f"/submissions/{id}", json={"deadline": 5}).status_code == 409
    assert door.client.patch("/submissions/kj-fffffff", json={"deadline": 5}).status_code == 404


def test_a_law_is_checked_before_anything_changes() -> None:
    door = Door()
    id = door.submit()
    door.laws.answer = BadRequest("no", [Fault("control.law", "unknown law 'pod'; did you mean pid?")])
    answer = door.client.patch(f"/submissions/{id}", json={"control": {"law": "pod"}})
    assert answer.status_code == 400
    assert answer.get_json()["details"] == [{"field": "control.law", "problem": "unknown law 'pod'; did you mean pid?"}]
    door.laws.answer = Unavailable("the controller is away")
    assert door.client.patch(f"/submissions/{id}", json={"control": {"law": "pid"}}).status_code == 503
    assert door.client.patch(f"/submissions/{id}", json={"deadline": "1h"}).status_code == 200
    assert door.record(id).spec.law == "deadline"
    assert door.client.patch(f"/submissions/{id}", json={**NATIVE, "deadline": "2h"}).status_code == 400


# Through the loop.


def posted(stage: Stage) -> tuple[list[ScalingRequest], list[MonitoringRequest]]:
    scaling = [body for _, body in stage.controller.posted if isinstance(body, ScalingRequest)]
    return scaling, [body for _, body in stage.monitor.posted if isinstance(body, MonitoringRequest)]


def test_controller_and_monitor_are_told_of_a_change() -> None:
    stage = Stage()
    stage.submit(deadline="10m")
    stage.run(3)
    kept = stage.records.get(ID)
    assert kept is not None
    after, _ = changed(kept.value.spec, {"deadline": "20m", "replicas": {"max": 3}, "priority": "high"})
    stage.records.update(ID, kept.value.model_copy(update={"spec": after, "revision": 1}), kept.version)
    stage.run(3)
    scaling, monitoring = posted(stage)
    assert [(body.revision, body.replicas.max, body.priority.value) for body in scaling] == [
        (0, 10, "normal"),
        (1, 3, "high"),
    ]
    assert [(body.plugin_info.revision, body.plugin_info.deadline) for body in monitoring] == [(0, 600.0), (1, 1200.0)]
    stage.run(60)
    assert len(posted(stage)[0]) == 2, "once"
