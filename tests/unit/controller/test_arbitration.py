"""Several submissions on one cluster: what their decisions come to, and where a cluster's capacity is known from."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from common.domain.capacity import Capacity
from common.domain.errors import ClusterError, Unavailable
from common.domain.progress import Decision, Observation
from controller.arbiter import SHARED, Demand
from controller.arbitration import Arbitration
from controller.capacity import LOOK, Capacities, CapacityRules, CapacitySteps, Limits, Offer, Rule
from controller.deciding import Asked, Outcome, ask
from controller.record import Scaling, begin
from controller.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters
from tests.fakes.records import MemoryBoard, MemoryRecords
from tests.unit.controller.builders import observed
from tests.unit.controller.plant import BUILT_IN, request_for


@dataclass
class Office:
    """Two controllers' worth of arbitration on shared stores."""

    rules: dict[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.board: MemoryBoard[Demand] = MemoryBoard(self.clock)
        self.offers: MemoryRecords[Offer] = MemoryRecords(clock=self.clock)
        self.desks = [self._desk(), self._desk()]
        self.records: dict[str, Scaling] = {}
        self.seen: dict[str, Observation] = {}

    def _desk(self) -> tuple[Capacities, Arbitration]:
        capacities = Capacities(CapacityRules(self.rules), self.offers, FakeClusters(self.cluster), self.clock)
        return capacities, Arbitration(self.board, capacities)

    def submit(self, id: str, wanted: int, deadline: float | None = None, **given: object) -> None:
        request = request_for("scripted", {"steps": [[0, wanted]]}, maximum=100, created_with=0, interval=5.0)
        self.records[id] = begin(request.model_copy(update=given), self.clock.now())
        self.seen[id] = self._observation(deadline)

    def _observation(self, deadline: float | None) -> Observation:
        return observed(at=self.clock.now(), elapsed=0.0, deadline=deadline, ready=500, total=600)

    def decide(self, id: str, desk: int = 0) -> Decision:
        record = self.records[id]
        law, settings = BUILT_IN.law("scripted"), BUILT_IN.settings("scripted", record.request.control.settings)
        seen = self.seen[id].model_copy(update={"at": self.clock.now()})
        asked = ask(record, seen, law, settings, None, self.clock.now())
        assert isinstance(asked, Asked)
        outcome: Outcome = self.desks[desk][1].settle(id, asked, self.clock.now())
        self.records[id] = outcome.record
        assert outcome.decision is not None
        return outcome.decision

    def patched(self, id: str) -> None:
        """The Job has the size that was decided."""
        self.records[id] = self.records[id].model_copy(update={"requested": self.records[id].desired})


def test_two_controllers_divide_what_there_is() -> None:
    office = Office({"default": 40})
    office.submit("sooner", 30, deadline=100)
    office.submit("later", 30, deadline=1000)
    assert office.decide("later", desk=0).granted == 30
    office.patched("later")
    first = office.decide("sooner", desk=1)
    assert (first.wanted, first.asked, first.granted) == (30, 30, 10)
    assert "others still hold what is due to it" in first.reason
    later = office.decide("later", desk=0)
    assert later.granted == 10
    assert "arbiter: 10 of 30 asked, the cluster has 40 replicas; sooner goes first" in later.reason
    assert office.decide("sooner", desk=1).granted == 30, "what the other decided to do without is on its way out"


def test_who_ends_or_falls_silent_is_not_counted_with() -> None:
    office = Office({"*": 40})
    office.submit("a", 40, deadline=100)
    office.submit("b", 40, deadline=1000)
    office.decide("a")
    office.patched("a")
    assert office.decide("b").granted == 0
    office.desks[1][1].withdraw("a", "")
    assert office.decide("b").granted == 40
    office.submit("c", 40, deadline=90)
    office.clock.advance(1000)
    assert office.decide("c").granted == 40, "b has not decided for long"
    office.clock.advance(1000)
    office.decide("c")
    assert set(office.board.entries("default")) - {SHARED} == {"c"}, "and is swept away"


def test_clusters_are_divided_apart_and_an_unlimited_one_not_at_all() -> None:
    office = Office({"default": 40, "big": "unlimited"})
    office.submit("a", 40, deadline=100)
    office.submit("b", 40, deadline=100, cluster="big")
    office.submit("c", 40, deadline=100, cluster="big")
    assert [office.decide(id).granted for id in "abc"] == [40, 40, 40]


def test_waiting_is_remembered_in_the_record() -> None:
    office = Office({"default": 10})
    office.submit("first", 10, deadline=1000)
    office.submit("second", 10, deadline=2000)
    office.decide("first")
    office.decide("second")
    since = office.records["second"].waiting_since
    assert since == office.clock.now()
    office.clock.advance(5)
    office.decide("second")
    assert office.records["second"].waiting_since == since


# Where capacities are known from.


def test_nodes_tell_and_are_asked_again_now_and_then() -> None:
    office = Office()
    capacities, _ = office.desks[0]
    steps = CapacitySteps(_Nothing(), capacities)
    assert list(steps.active_ids()) == ["kj-0000001"]
    assert capacities.of("") is None, "nobody has looked yet, and no decision waits"
    assert list(steps.active_ids()) == ["kj-0000001", "@default"]
    assert steps.step("@default") == LOOK
    assert capacities.of("") == capacities.of("default") == office.cluster.offered
    assert office.desks[1][0].of("default") == office.cluster.offered, "the other controller knows it too"
    office.cluster.offered = Capacity(replicas=7)
    office.clock.advance(10)
    assert office.desks[1][0].look("default") == LOOK - 10, "somebody has just looked"
    assert office.cluster.calls.count("offer") == 1
    office.clock.advance(20)
    steps.step("@default")
    assert capacities.of("") == Capacity(replicas=7)
    office.clock.advance(3600)
    assert capacities.of("") is None, "too old to go by"
    assert steps.step("kj-0000001") == 1.5


def test_a_cluster_that_is_away_is_tried_again_and_one_that_does_not_tell_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office()
    capacities, _ = office.desks[0]
    office.cluster.down = True
    with pytest.raises(Unavailable):
        capacities.look("default")
    office.cluster.down = False

    def refuse() -> Capacity:
        raise ClusterError("nodes is forbidden", "Forbidden")

    monkeypatch.setattr(office.cluster, "offer", refuse)
    assert capacities.look("default") == LOOK
    assert capacities.of("default") is None


def test_capacity_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    given = '{"default": 40, "farm": {"cpu": "64", "memory": "1Gi", "gpus": 4}, "old": "unlimited", "*": "nodes"}'
    monkeypatch.setenv("ASPERATHOS_CAPACITY", given)
    rules = Settings().capacity
    assert rules == {"default": 40, "farm": Limits(cpu=64, memory=2.0**30, gpus=4), "old": "unlimited", "*": "nodes"}
    office = Office(rules)
    assert office.desks[0][0].of("farm") == Capacity(cpu=64, memory=2.0**30, gpus=4)
    for wrong in ('{"a": "some"}', '{"a": -1}', '{"a": {"cores": 3}}', '{"a": {"cpu": "many"}}'):
        monkeypatch.setenv("ASPERATHOS_CAPACITY", wrong)
        with pytest.raises(ValueError, match="capacity"):
            Settings()


class _Nothing:
    """Implements loop.Steps."""

    def active_ids(self) -> list[str]:
        return ["kj-0000001"]

    def step(self, id: str) -> float:
        assert id == "kj-0000001"
        return 1.5
