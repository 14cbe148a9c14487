"""What is asked of the controller before a submission is accepted, and what follows from its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.domain.errors import BadRequest, Unavailable, WorkloadError
from common.domain.progress import Observation, ServiceTimes
from common.domain.submission import Priority, SubmissionSpec, Workload
from common.http.contracts import ForecastAnswer, ForecastRequest, LawRequest
from manager.admission import KnownLaws
from tests.fakes.clock import FakeClock
from tests.support.manager_door import NATIVE, Door, FakeLaws

ENDANGERS = {"endangered": ("kj-0000001", "kj-0000002")}


def spec(**given: object) -> SubmissionSpec:
    return SubmissionSpec.model_validate({**NATIVE, **given})


def test_everything_that_matters_is_told() -> None:
    door = Door()
    given = spec(
        priority="high",
        resources={"cpu": "2"},
        expected_item_time="3s",
        item_timeout="1m",
        replicas={"min": 2, "max": 7},
        image="words:3",
    )
    seen = Observation(submission="kj-0000009", at=1.0, elapsed=1.0, service=ServiceTimes(count=9, mean=4.0))
    door.observations.put("kj-0000009", seen)
    door.histories.learn("kj-0000009", given)
    door.outlook.ask(given, "default", 2)
    (asked,) = door.foreseer.asked
    assert (asked.cluster, asked.law, asked.deadline, asked.items) == ("default", "deadline", 600.0, 2)
    assert (asked.initial, asked.replicas.max, asked.priority, asked.requests.cpu) == (2, 7, Priority.HIGH, 2.0)
    assert (asked.expected_item_time, asked.item_timeout) == (3.0, 60.0)
    assert asked.history is not None and asked.history.service.mean == 4.0


def test_who_endangers_others_is_accepted_with_a_warning() -> None:
    door = Door()
    door.foreseer.foreseen = ENDANGERS
    answer = door.client.post("/submissions", json=NATIVE)
    assert answer.status_code == 202
    (warning,) = answer.get_json()["warnings"]
    assert "kj-0000001, kj-0000002 would miss" in warning
    assert door.client.get(f"/submissions/{answer.get_json()['job_id']}").get_json()["warnings"] == [warning]


@pytest.mark.parametrize("danger", [ENDANGERS, {"fits": False}])
def test_or_refused_where_the_operator_says_so(danger: dict[str, object]) -> None:
    door = Door(policy="refuse")
    door.foreseer.foreseen = danger
    answer = door.client.post("/submissions", json=NATIVE)
    assert answer.status_code == 409
    assert answer.get_json()["details"][0]["field"] == "deadline"
    assert door.is_untouched()


def test_a_deadline_that_cannot_be_met_anyway_is_a_warning_under_every_policy() -> None:
    door = Door(policy="refuse")
    door.foreseer.expected = {"feasible": False, "late_by": 30.0}
    answer = door.client.post("/submissions", json=NATIVE)
    assert answer.status_code == 202
    assert "missed by 30s" in answer.get_json()["warnings"][0]


def test_nothing_is_asked_where_nobody_looks_or_too_little_is_known(tmp_path: Path) -> None:
    off = Door(policy="off")
    off.submit()
    assert off.foreseer.asked == []
    door = Door()
    items = tmp_path / "items"
    items.write_text("a\nb\n")
    door.submit({**NATIVE, "workload": items.as_uri()})
    door.submit({"run": "cat {item}", "target": {"latency": 5}})
    assert door.foreseer.asked == []


def test_a_silent_controller_keeps_nobody_out() -> None:
    for policy, warnings in (("warn", 0), ("refuse", 1)):
        door = Door(policy=policy)  # type: ignore[arg-type]
        door.foreseer.failure = Unavailable("it is away")
        answer = door.client.post("/submissions", json=NATIVE)
        assert answer.status_code == 202
        assert len(answer.get_json()["warnings"]) == warnings


def test_items_are_counted_as_far_as_time_allows(tmp_path: Path) -> None:
    door = Door()
    many = tmp_path / "many"
    many.write_text("x\n" * 10_000)
    assert door.outlook.count(Workload(url=many.as_uri())).items == 10_000
    assert door.outlook.count(None).items == 0
    door.sources = {"endless": lambda options: _slow(door, options)}
    counted = door.outlook.count(Workload(source="endless"))
    assert not counted.exact and 4096 <= counted.items < 100_000
    with pytest.raises(WorkloadError):
        door.outlook.count(Workload(url=(tmp_path / "absent").as_uri()))
    answer = door.client.post("/submissions?dry_run=1", json={**NATIVE, "workload": {"source": "endless"}})
    assert "has more than" in answer.get_json()["warnings"][0]


def _slow(door: Door, _: object):  # type: ignore[no-untyped-def]
    while True:
        door.clock.advance(0.001)
        yield "x"


def test_where_many_come_at_once_only_some_are_judged() -> None:
    door = Door()
    inside: list[tuple[str, ...]] = []
    ask = door.foreseer.forecast

    def asked_meanwhile(request: ForecastRequest) -> ForecastAnswer:
        if len(inside) < 3:
            inside.append(())
            inside.append(door.outlook.judge(spec(), "default"))
        return ask(request)

    door.foreseer.forecast = asked_meanwhile  # type: ignore[method-assign]
    assert door.outlook.judge(spec(), "default") == ()
    told = [warnings for warnings in inside if warnings]
    assert len(told) == 1 and "many submissions come at once" in told[0][0]
    door.foreseer.forecast = ask  # type: ignore[method-assign]
    assert door.outlook.judge(spec(), "default") == (), "the places are free again"


def test_a_burst_is_judged_as_far_as_there_is_time_for_it() -> None:
    door = Door()
    asked = len(door.foreseer.asked)

    def judged(count: int) -> int:
        before = len(door.foreseer.asked)
        for _ in range(count):
            door.outlook.judge(spec(), "default")
        return len(door.foreseer.asked) - before

    assert (asked, judged(100)) == (0, 20)
    assert "many submissions come at once" in door.outlook.judge(spec(), "default")[0]
    door.clock.advance(0.5)
    assert judged(100) == 5
    door.clock.advance(60)
    assert judged(100) == 20


def test_a_law_that_was_right_is_not_asked_about_again_for_a_while() -> None:
    clock, laws = FakeClock(), FakeLaws()
    known = KnownLaws(laws, clock)
    deadline, pid = LawRequest(law="deadline", settings={}), LawRequest(law="pid", settings={"kp": 1.0})
    for _ in range(3):
        known.validate(deadline)
        known.validate(pid)
    assert laws.asked == [deadline, pid]
    clock.advance(31)
    laws.answer = BadRequest("no such law")
    for _ in range(2):
        with pytest.raises(BadRequest):
            known.validate(deadline)
    assert len(laws.asked) == 4, "what is wrong is asked every time"
