"""What submissions of one name and image taught."""

from __future__ import annotations

import pytest

from common.domain.errors import NotFound
from common.domain.progress import Observation, ServiceTimes
from common.domain.states import Intent, State
from common.domain.submission import SubmissionSpec
from common.http.contracts import ScalingRequest
from manager.histories import Histories, PastRuns, history_id
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords
from tests.support.manager_door import Door
from tests.support.manager_stage import ID, Stage


class Archive:
    def __init__(self, most: int = 100) -> None:
        self.clock = FakeClock()
        self.records: MemoryRecords[PastRuns] = MemoryRecords(clock=self.clock)
        self.observations: MemoryRecords[Observation] = MemoryRecords(clock=self.clock)
        self.histories = Histories(self.records, self.observations, self.clock, keep=1000.0, most=most)

    def run(self, spec: SubmissionSpec, count: int, mean: float) -> None:
        service = ServiceTimes(count=count, mean=mean, longest=2 * mean)
        self.observations.put(ID, Observation(submission=ID, at=1.0, elapsed=1.0, service=service))
        self.histories.learn(ID, spec)


def spec(name: str = "words", image: str | None = "words:3") -> SubmissionSpec:
    return SubmissionSpec.model_validate({"name": name, "image": image, "run": "count {item}", "workload": ["a"]})


def test_name_and_image_together_make_a_history() -> None:
    archive = Archive()
    archive.run(spec(), 10, 2.0)
    archive.run(spec(), 10, 4.0)
    archive.run(spec(image="words:4"), 10, 9.0)
    archive.run(spec(image=None), 10, 1.0)
    known = archive.histories.of(spec())
    assert known is not None
    assert (known.submissions, known.service.count, known.service.mean) == (2, 20, 3.0)
    assert archive.histories.of(spec("other")) is None
    assert len(archive.histories.listing()) == 3


def test_nothing_finished_teaches_nothing() -> None:
    archive = Archive()
    archive.run(spec(), 0, 0.0)
    archive.observations.delete(ID)
    archive.histories.learn(ID, spec())
    assert archive.histories.listing() == {}


def test_it_is_kept_for_a_while_after_the_last_one_and_there_are_not_endless_many() -> None:
    archive = Archive(most=2)
    for name in ("a", "b", "c"):
        archive.run(spec(name), 5, 1.0)
        archive.clock.advance(10)
    assert [runs.name for runs in archive.histories.listing().values()] == ["b", "c"]
    archive.clock.advance(975)
    archive.run(spec("c"), 5, 1.0)
    archive.clock.advance(50)
    assert [runs.name for runs in archive.histories.listing().values()] == ["c"]


def test_it_can_be_forgotten() -> None:
    archive = Archive()
    archive.run(spec("a"), 5, 1.0)
    archive.run(spec("b"), 5, 1.0)
    key = history_id(spec("a"))
    assert archive.histories.get(key).name == "a"
    archive.histories.forget(key)
    assert archive.histories.of(spec("a")) is None
    for forgotten in (archive.histories.forget, archive.histories.get):
        with pytest.raises(NotFound):
            forgotten(key)
    assert archive.histories.forget_all() == 1
    assert archive.histories.listing() == {}


def test_what_another_version_wrote_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive()
    archive.run(spec(), 5, 1.0)

    def misread(_: str) -> PastRuns:
        return PastRuns.model_validate({"from": "the future"})

    monkeypatch.setattr(archive.records, "get", misread)
    assert archive.histories.of(spec()) is None
    assert archive.records.ids() == []


def test_redis_away_at_the_end_of_a_submission_is_no_harm() -> None:
    archive = Archive()
    archive.records.down = True
    archive.run(spec(), 5, 1.0)


def test_a_submission_teaches_when_it_ends_and_the_next_one_is_told() -> None:
    stage = Stage()
    stage.submit()
    stage.run(3)
    (_, first) = stage.controller.posted[0]
    assert isinstance(first, ScalingRequest) and first.history is None
    seen = Observation(submission=ID, at=1.0, elapsed=1.0, service=ServiceTimes(count=3, mean=2.5))
    stage.observations.put(ID, seen)
    stage.work()
    stage.run(20)
    assert stage.now.state is State.COMPLETED
    known = stage.histories.of(stage.now.spec)
    assert known is not None and (known.submissions, known.service.mean) == (1, 2.5)
    stage.run(60)
    known = stage.histories.of(stage.now.spec)
    assert known is not None and known.submissions == 1, "once"
    stage.records.delete(ID)
    stage.controller.forget()
    stage.restart()
    stage.submit()
    stage.run(3)
    (_, second) = stage.controller.posted[0]
    assert isinstance(second, ScalingRequest) and second.history == known


def test_routes() -> None:
    door = Door()
    seen = Observation(submission=ID, at=1.0, elapsed=1.0, service=ServiceTimes(count=3, mean=2.5, longest=4.0))
    door.observations.put(ID, seen)
    door.histories.learn(ID, spec())
    (key,) = door.client.get("/history").get_json()
    told = door.client.get(f"/history/{key}").get_json()
    assert (told["name"], told["image"], told["items"], told["mean"]) == ("words", "words:3", 3, 2.5)
    assert door.client.delete(f"/history/{key}").status_code == 204
    assert door.client.delete(f"/history/{key}").status_code == 404
    assert door.client.get(f"/history/{key}").status_code == 404
    door.histories.learn(ID, spec())
    assert door.client.delete("/history").get_json() == {"forgotten": 1}
    assert door.client.get("/history").get_json() == {}


def test_stopping_early_teaches_too() -> None:
    stage = Stage()
    stage.submit()
    stage.run(3)
    stage.observations.put(ID, Observation(submission=ID, at=1.0, elapsed=1.0, service=ServiceTimes(count=1, mean=2.5)))
    stage.intend(Intent.TERMINATE)
    stage.run(20)
    assert stage.histories.of(stage.now.spec) is not None
