"""The loop against a cluster, a queue and records in memory: what is done, when, and what survives a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig, Taken, Verdict

from common.domain.errors import ClusterError, Conflict, Unavailable
from common.domain.events import DECISIONS, EVENTS, Event
from common.domain.progress import Decision, Observation
from common.domain.queues import QueueAddress
from controller.arbiter import Demand
from controller.arbitration import Arbitration
from controller.capacity import Capacities, CapacityRules, Offer, Rule
from controller.loop import ScalingLoop, World
from controller.record import Cap, Scaling, begin
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters
from tests.fakes.queues import MemoryQueues
from tests.fakes.records import MemoryBoard, MemoryJournal, MemoryRecords, MemoryTexts
from tests.unit.controller.builders import observed
from tests.unit.controller.plant import BUILT_IN, request_for

ID = "kj-0000001"
JOB = "kj-0000001-g1"


def manifest(name: str, replicas: int) -> dict[str, Any]:
    labels = {"asperathos.io/submission": ID, "asperathos.io/generation": "1", "asperathos.io/role": "worker"}
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": replicas,
            "parallelism": replicas,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker"}]}},
        },
    }


@dataclass
class Stage:
    """Everything around the loop. ``want`` sets what the law will say from now on."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(self.clock)
        self.clusters = FakeClusters(self.cluster)
        self.queue = MemoryQueue(self.clock.now, QueueConfig(lease=600))
        self.queues = MemoryQueues(lambda _: self.queue)
        self.records: MemoryRecords[Scaling] = MemoryRecords(lambda record: record.active, self.clock)
        self.caps: MemoryRecords[Cap] = MemoryRecords(clock=self.clock)
        self.observations: MemoryRecords[Observation] = MemoryRecords(clock=self.clock)
        self.journal = MemoryJournal(clock=self.clock)
        self.texts = MemoryTexts(clock=self.clock)
        self.capacity: dict[str, Rule] = {"*": "unlimited"}
        self.demands: MemoryBoard[Demand] = MemoryBoard(self.clock)
        self.offers: MemoryRecords[Offer] = MemoryRecords(clock=self.clock)
        self.capacities = Capacities(CapacityRules(self.capacity), self.offers, self.clusters, self.clock)
        self.arbitration = Arbitration(self.demands, self.capacities)
        self.world = World(
            self.records,
            self.caps,
            self.observations,
            self.journal,
            self.queues,
            self.clusters,
            self.texts,
            self.clock,
            BUILT_IN,
            self.arbitration,
        )
        self.loop = ScalingLoop(self.world)

    def begin(self, replicas: int = 2, items: int = 100, **given: Any) -> None:
        self.queue.put([NewItem("x", str(i)) for i in range(items)])
        self.queue.close()
        self.cluster.create_job(manifest(JOB, replicas))
        request = request_for("scripted", {"steps": [[0, replicas]]}, created_with=replicas, interval=5.0, **given)
        self.records.create(ID, begin(request, self.clock.now()))
        self.observe()

    def want(self, replicas: int) -> None:
        kept = self.records.get(ID)
        assert kept is not None
        control = kept.value.request.control.model_copy(update={"settings": {"steps": [[0, replicas]]}})
        request = kept.value.request.model_copy(update={"control": control})
        self.records.update(ID, kept.value.model_copy(update={"request": request}), kept.version)

    def observe(self, **given: Any) -> None:
        job = self.cluster.jobs.get(("default", JOB))
        stats = self.queue.stats()
        pods = self.cluster.running(ID)
        requested = 0 if job is None or job.suspended else job.parallelism
        seen = observed(
            **{
                "at": self.clock.now(),
                "total": stats.total,
                "ready": stats.ready,
                "leased": stats.leased,
                "done": stats.done,
                "requested": requested,
                "observed": len(pods),
                "pending": 0,
                **given,
            }
        )
        self.observations.put(ID, seen)

    def take(self, index: int, n: int = 1) -> Taken:
        return self.queue.take(f"worker-{index}", index, n)

    def finish(self, index: int, taken: Taken) -> None:
        acks = [Ack(lease.id, lease.attempt) for lease in taken.leases]
        self.queue.finish_and_take(f"worker-{index}", index, acks, 0)

    def step(self) -> float:
        return self.loop.step(ID)

    def next_decision(self, **given: Any) -> float:
        self.clock.advance(5.0)
        self.observe(**given)
        return self.step()

    @property
    def record(self) -> Scaling:
        kept = self.records.get(ID)
        assert kept is not None
        return kept.value

    @property
    def parallelism(self) -> int:
        job = self.cluster.jobs["default", JOB]
        return 0 if job.suspended else job.parallelism

    def events(self) -> list[str]:
        return [event.message for event in self.journal.read(EVENTS, ID, Event)]

    def decisions(self) -> list[Decision]:
        return self.journal.read(DECISIONS, ID, Decision)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_up_is_patched_at_once_and_told(stage: Stage) -> None:
    stage.begin(2)
    stage.want(5)
    assert stage.step() == pytest.approx(2.0)
    assert stage.parallelism == 5
    assert stage.record.requested == 5
    assert stage.record.peak == 5
    assert [message.split(":")[0] for message in stage.events()] == ["2 -> 5"]
    assert [(d.previous, d.granted) for d in stage.decisions()] == [(2, 5)]


def test_nothing_happens_before_the_first_observation(stage: Stage) -> None:
    stage.begin(2)
    stage.observations.delete(ID)
    stage.want(5)
    assert stage.step() <= 0.5
    assert stage.parallelism == 2
    assert stage.decisions() == []


def test_down_waits_for_busy_workers_and_tells_them_to_drain(stage: Stage) -> None:
    stage.begin(4)
    held = stage.take(3)
    stage.want(1)
    assert stage.step() == pytest.approx(0.5)
    assert stage.parallelism == 4
    assert stage.take(2).verdict is Verdict.DRAIN
    assert stage.take(0).verdict is Verdict.ITEMS
    stage.clock.advance(0.5)
    stage.step()
    assert stage.parallelism == 4
    stage.finish(3, held)
    stage.clock.advance(0.5)
    stage.step()
    assert stage.parallelism == 1
    assert stage.record.drain_since is None
    assert stage.take(3).verdict is Verdict.DRAIN, "a worker on its way out takes nothing more"
    assert [message.split(":")[0] for message in stage.events()] == ["4 -> 1"]


def test_idle_replicas_above_the_highest_busy_one_go_first(stage: Stage) -> None:
    stage.begin(8)
    held = stage.take(4)
    stage.want(2)
    stage.step()
    assert stage.parallelism == 5
    assert stage.record.drain_since is not None
    stage.finish(4, held)
    stage.clock.advance(0.5)
    stage.step()
    assert stage.parallelism == 2
    assert [message.split(":")[0] for message in stage.events()] == ["8 -> 2"]
    assert stage.record.scalings == 1


def test_a_drain_that_takes_too_long_is_cut_short(stage: Stage) -> None:
    stage.begin(4, drain_timeout=30)
    stage.take(3)
    stage.want(1)
    stage.step()
    for _ in range(5):
        stage.next_decision()
    assert stage.parallelism == 4
    stage.next_decision()
    assert stage.parallelism == 1


def test_the_last_items_are_never_cut_off(stage: Stage) -> None:
    stage.begin(4, items=1, drain_timeout=30)
    held = stage.take(3)
    stage.observe()
    stage.want(1)
    stage.step()
    for _ in range(20):
        stage.next_decision()
    assert stage.parallelism == 4
    stage.finish(3, held)
    stage.next_decision()
    assert stage.parallelism == 4, "a finished queue is never scaled"


def test_on_the_originals_lists_nobody_is_removed_while_the_last_items_are_in_work(stage: Stage) -> None:
    stage.begin(4, items=1)
    kept = stage.records.get(ID)
    assert kept is not None
    lists = QueueAddress(submission=ID, kind="dedicated", host="127.0.0.1", port=6379)
    request = kept.value.request.model_copy(update={"queue": lists})
    stage.records.update(ID, kept.value.model_copy(update={"request": request}), kept.version)
    stage.take(3)
    stage.want(1)
    # The lists do not tell who is busy.
    stage.queue.busy_from = lambda index: 0  # type: ignore[method-assign]
    stage.observe()
    stage.step()
    assert stage.parallelism == 4


def test_the_logs_of_pods_that_go_are_kept_before_they_go(stage: Stage) -> None:
    stage.begin(4)
    stage.step()
    for pod in stage.cluster.running(ID):
        pod.log = f"index {pod.index} says goodbye\n"
    stage.want(2)
    stage.next_decision()
    assert len(stage.cluster.running(ID)) == 2
    assert sorted(stage.texts.get(ID).values()) == ["index 2 says goodbye\n", "index 3 says goodbye\n"]


def test_a_log_that_cannot_be_kept_does_not_hold_up_the_scaling(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(namespace: str, pod: str, limit: int = 65536) -> str:
        raise Unavailable("it does not answer: the test says so")

    monkeypatch.setattr(stage.cluster, "pod_log", away)
    stage.begin(4)
    stage.step()
    stage.want(2)
    stage.next_decision()
    assert len(stage.cluster.running(ID)) == 2


def test_an_upward_decision_cancels_the_drain(stage: Stage) -> None:
    stage.begin(4)
    stage.take(3)
    stage.want(1)
    stage.step()
    stage.want(4)
    stage.next_decision()
    assert stage.parallelism == 4
    assert stage.record.drain_since is None
    assert stage.take(3).verdict is Verdict.ITEMS
    assert stage.events() == []


def test_zero_suspends_and_more_resumes(stage: Stage) -> None:
    stage.begin(2, minimum=0)
    stage.want(0)
    stage.step()
    assert stage.cluster.jobs["default", JOB].suspended
    stage.want(3)
    stage.next_decision()
    assert not stage.cluster.jobs["default", JOB].suspended
    assert stage.parallelism == 3
    assert stage.take(2).verdict is Verdict.ITEMS


def test_the_limit_is_told_again_after_a_restart(stage: Stage) -> None:
    stage.begin(4)
    stage.want(2)
    stage.step()
    assert stage.parallelism == 2
    stage.queue.set_limit(None)
    again = ScalingLoop(stage.world)
    stage.clock.advance(5.0)
    stage.observe()
    again.step(ID)
    assert stage.take(3).verdict is Verdict.DRAIN


def test_a_crash_between_patch_and_record_does_no_harm(stage: Stage) -> None:
    stage.begin(2)
    stage.want(5)
    stage.step()
    patched = stage.record
    kept = stage.records.get(ID)
    assert kept is not None
    # The process dies after the patch and before its second write: what it wrote before is all there is.
    stage.records.update(ID, patched.model_copy(update={"requested": 2, "announced": 2, "peak": 2}), kept.version)
    stage.next_decision()
    assert stage.parallelism == 5
    assert stage.record.requested == 5


def test_a_job_that_ended_is_not_patched_until_the_next_generation(stage: Stage) -> None:
    stage.begin(2)
    stage.cluster.delete_job("default", JOB)
    stage.want(5)
    stage.step()
    assert stage.record.job_ended
    calls = stage.cluster.calls.count("scale_job")
    for _ in range(3):
        stage.next_decision()
    assert stage.cluster.calls.count("scale_job") == calls


def test_indexes_in_back_off_are_made_up_for_and_removed_later(stage: Stage) -> None:
    stage.begin(3)
    stage.want(3)
    stage.step()
    stage.clock.advance(10.0)
    stage.cluster.finish(stage.cluster.running(ID)[1], exit_code=1)
    for _ in range(3):
        stage.next_decision(requested=3, observed=2)
    assert stage.parallelism == 4
    assert stage.record.desired == 3
    assert "more indexes" in stage.events()[-1]
    stage.clock.advance(10.0)
    assert len(stage.cluster.running(ID)) == 4
    for _ in range(6):
        stage.next_decision(requested=stage.parallelism)
    assert stage.parallelism == 3


def test_a_job_scaled_by_somebody_else_is_brought_back(stage: Stage) -> None:
    stage.begin(4)
    stage.want(4)
    stage.step()
    stage.clock.advance(10.0)
    stage.cluster.scale_job("default", JOB, 7)
    stage.next_decision()
    stage.next_decision()
    assert stage.parallelism == 4


def test_a_refusing_cluster_is_told_once_and_asked_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(2)
    stage.want(5)

    def refuse(*_: object) -> None:
        raise ClusterError("exceeded quota: pods", "Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(stage.cluster, "scale_job", refuse)
        stage.step()
        stage.next_decision()
    assert stage.record.problem == "exceeded quota: pods"
    assert len(stage.events()) == 1
    stage.next_decision()
    assert stage.record.problem == ""
    assert stage.parallelism == 5


def test_an_outage_raises_for_the_loop_to_retry_and_loses_no_decision(stage: Stage) -> None:
    stage.begin(2)
    stage.want(5)
    stage.cluster.down = True
    with pytest.raises(Unavailable):
        stage.step()
    assert stage.record.desired == 5
    assert len(stage.decisions()) == 1
    stage.cluster.down = False
    stage.step()
    assert stage.parallelism == 5
    assert len(stage.decisions()) == 1


def test_a_post_meanwhile_wins(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(2)
    stage.want(5)
    scale = stage.cluster.scale_job

    def scale_while_posting(*args: Any) -> Any:
        kept = stage.records.get(ID)
        assert kept is not None
        stage.records.update(ID, kept.value.model_copy(update={"active": False}), kept.version)
        return scale(*args)

    monkeypatch.setattr(stage.cluster, "scale_job", scale_while_posting)
    with pytest.raises(Conflict):
        stage.step()
    assert not stage.record.active


def test_a_cap_is_obeyed_from_the_next_decision_on(stage: Stage) -> None:
    stage.begin(2)
    stage.want(9)
    stage.caps.put(ID, Cap(replicas=4))
    stage.step()
    assert stage.parallelism == 4
    assert "above the most, 4" in stage.decisions()[-1].reason


def test_a_purged_queue_stops_nobody(stage: Stage) -> None:
    stage.begin(4)
    stage.want(2)
    stage.queue.purge()
    stage.step()
    assert stage.parallelism == 2


def test_a_stopped_record_is_left_alone(stage: Stage) -> None:
    stage.begin(2)
    stage.want(5)
    kept = stage.records.get(ID)
    assert kept is not None
    stage.records.update(ID, kept.value.model_copy(update={"active": False}), kept.version)
    stage.step()
    assert stage.parallelism == 2
    assert list(stage.loop.active_ids()) == []


def test_a_law_that_vanished_holds_and_says_so(stage: Stage) -> None:
    stage.begin(2)
    kept = stage.records.get(ID)
    assert kept is not None
    request = kept.value.request.model_copy(update={"law": "mine"})
    stage.records.update(ID, kept.value.model_copy(update={"request": request}), kept.version)
    stage.step()
    assert stage.parallelism == 2
    assert "mine" in stage.record.reason


def test_the_address_of_the_queue_is_the_requests(stage: Stage) -> None:
    stage.begin(2)
    stage.want(1)
    stage.step()
    assert list(stage.queues.made) == [(QueueAddress(submission=ID).kind, ID)]


def test_the_job_is_scaled_in_the_cluster_of_its_request(stage: Stage) -> None:
    east = FakeCluster(stage.clock)
    stage.clusters.others["east"] = east
    east.create_job(manifest(JOB, 2))
    stage.begin()
    kept = stage.records.get(ID)
    assert kept is not None
    request = kept.value.request.model_copy(update={"cluster": "east"})
    stage.records.update(ID, kept.value.model_copy(update={"request": request}), kept.version)
    stage.want(5)
    stage.next_decision()
    assert east.jobs["default", JOB].parallelism == 5
    assert stage.cluster.jobs["default", JOB].parallelism == 2


def _begin_in_the_east(stage: Stage, replicas: int) -> FakeCluster:
    east = FakeCluster(stage.clock)
    stage.clusters.others["east"] = east
    stage.begin(replicas)
    stage.cluster.delete_job("default", JOB, 0)
    east.create_job(manifest(JOB, replicas))
    kept = stage.records.get(ID)
    assert kept is not None
    request = kept.value.request.model_copy(update={"cluster": "east"})
    stage.records.update(ID, kept.value.model_copy(update={"request": request}), kept.version)
    return east


def test_kept_logs_are_of_the_pods_in_the_cluster_of_the_request(stage: Stage) -> None:
    east = _begin_in_the_east(stage, 4)
    stage.observe(requested=4, observed=4)
    for pod in east.running(ID):
        pod.log = f"index {pod.index} says goodbye\n"
    stage.want(2)
    stage.clock.advance(5.0)
    stage.observe(requested=4, observed=4)
    stage.step()
    assert east.jobs["default", JOB].parallelism == 2
    assert sorted(stage.texts.get(ID).values()) == ["index 2 says goodbye\n", "index 3 says goodbye\n"]


# The arbiter.


def test_no_more_is_asked_of_the_cluster_than_the_arbiter_grants(stage: Stage) -> None:
    stage.capacity["default"] = 4
    stage.begin(2)
    stage.want(9)
    stage.step()
    assert stage.parallelism == 4
    (decision,) = stage.decisions()
    assert (decision.wanted, decision.asked, decision.granted) == (9, 9, 4)
    assert "arbiter: 4 of 9 asked, the cluster has 4 replicas" in decision.reason
    assert (decision.outstanding, decision.pending, decision.observed) == (100, 0, 2)
    assert stage.demands.entries("default")[ID].holding == 4
    stage.capacity["default"] = 0
    stage.next_decision()
    stage.clock.advance(1.0)
    stage.step()
    assert stage.parallelism == 0, "suspended"
    assert stage.record.waiting_since is not None


def test_who_is_done_asks_for_nothing_any_more(stage: Stage) -> None:
    stage.capacity["default"] = 4
    stage.begin(2)
    stage.step()
    assert set(stage.demands.entries("default")) == {ID}
    stage.next_decision(ready=0, leased=0, done=100)
    assert stage.demands.entries("default") == {}


def test_each_decision_keeps_its_forecast(stage: Stage) -> None:
    stage.begin(2)
    stage.observe(deadline=600.0, elapsed=100.0, mean=4.0, count=50, done=50, ready=48, leased=2)
    stage.step()
    (decision,) = stage.decisions()
    assert decision.forecast is not None and decision.forecast.p50 is not None
    assert decision.forecast.wanted == 2


def test_decisions_share_a_forecast_while_nothing_is_new(stage: Stage) -> None:
    stage.begin(2)
    known = {"deadline": 3000.0, "mean": 4.0, "count": 50, "done": 50, "ready": 480, "total": 532, "leased": 2}
    stage.observe(elapsed=100.0, **known)
    stage.step()
    stage.next_decision(elapsed=105.0, **known)
    first, second = stage.decisions()
    assert first.forecast is not None
    assert second.forecast == first.forecast == stage.record.forecast
    for elapsed in range(110, 140, 5):
        stage.next_decision(elapsed=float(elapsed), **known)
    last = stage.decisions()[-1].forecast
    assert last is not None and last.at > first.forecast.at
