"""One decision from the record, an observation, a law and the guard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from common.domain.progress import Counts
from common.domain.submission import Control
from controller.arbiter import Demand, Share
from controller.deciding import Asked, ask, decide, demand_of, is_due, settle
from controller.laws import Law, LawSettings, Memory, Proposal, Situation
from controller.laws.deadline import DeadlineSettings
from controller.laws.fixed import Nop
from controller.laws.threshold import Threshold, ThresholdSettings
from controller.record import begin, renew
from tests.unit.controller.builders import START, observed
from tests.unit.controller.plant import BUILT_IN, request_for

NOW = START + 100.0


class Saying(Law[LawSettings]):
    """Says what it is told to, or raises it."""

    def __init__(self, wanted: Any = 5, memory: Any = None, raises: Exception | None = None) -> None:
        self.wanted, self.memory, self.raises = wanted, memory, raises
        self.asked: list[Situation] = []

    def decide(self, situation: Situation, settings: LawSettings, memory: Memory) -> Proposal:
        self.asked.append(situation)
        if self.raises is not None:
            raise self.raises
        kept: Mapping[str, Any] = {"n": memory.get("n", 0) + 1} if self.memory is None else self.memory
        return Proposal(self.wanted, "says so", memory=kept)


def record(**given: Any):
    return begin(request_for("nop", **given), NOW - 60.0)


def decided(law: Law[Any], kept=None, seen=None, cap=None, now=NOW):
    return decide(kept or record(), seen or observed(), law, LawSettings(), cap, now)


def test_the_decision_says_everything() -> None:
    outcome = decided(Saying(7), seen=observed(deadline=200.0, progress=0.4, observed=1))
    decision = outcome.decision
    assert decision is not None
    assert (decision.wanted, decision.granted, decision.previous, decision.observed) == (7, 7, 1, 1)
    assert decision.error == pytest.approx(-0.1)
    assert outcome.record.desired == 7
    assert outcome.record.scalings == 1
    assert outcome.record.memory == {"n": 1}


def test_memory_is_kept_across_decisions() -> None:
    law, kept = Saying(3), record()
    for _ in range(3):
        kept = decided(law, kept).record
    assert kept.memory == {"n": 3}
    assert kept.scalings == 1


def test_bounds_and_cap_reach_law_and_guard() -> None:
    law = Saying(50)
    outcome = decided(law, record(minimum=2, maximum=8), cap=5)
    assert outcome.record.desired == 5
    assert (law.asked[0].minimum, law.asked[0].maximum) == (2, 5)
    assert decided(Saying(50), record(minimum=2, maximum=8), cap=0).record.desired == 0


@pytest.mark.parametrize(
    "law",
    [
        Saying(raises=ZeroDivisionError("division by zero")),
        Saying(raises=KeyError("x")),
        Saying(5, memory={"x": math.nan}),
        Saying(5, memory={"x": object()}),
    ],
)
def test_a_broken_law_holds_and_keeps_its_memory(law: Saying) -> None:
    kept = record().model_copy(update={"memory": {"n": 4}, "desired": 3})
    outcome = decided(law, kept)
    assert outcome.record.desired == 3
    assert outcome.record.memory == {"n": 4}
    assert outcome.decision is not None
    assert "failed" in outcome.decision.reason


@pytest.mark.parametrize("wanted", [math.nan, None, "many", math.inf])
def test_a_law_that_proposes_garbage_holds(wanted: object) -> None:
    outcome = decided(Saying(wanted), record().model_copy(update={"desired": 3}))
    assert outcome.record.desired == 3


def test_a_huge_memory_is_not_kept() -> None:
    outcome = decided(Saying(4, memory={"x": "y" * 300_000}))
    assert outcome.record.memory == {}
    assert outcome.record.desired == 4


def test_an_observation_that_never_renews_is_stale_and_holds() -> None:
    law, seen = Saying(9), observed()
    kept = decided(law, record(interval=5.0), seen, now=NOW).record
    assert kept.desired == 9
    kept = kept.model_copy(update={"desired": 2})
    late = decided(law, kept, seen, now=NOW + 16.0)
    assert late.record.desired == 2
    assert late.decision is not None
    assert "old" in late.decision.reason
    fresh = decided(law, late.record, observed(at=seen.at + 1.0), now=NOW + 21.0)
    assert fresh.record.desired == 9


def test_staleness_does_not_depend_on_the_clocks_of_others() -> None:
    assert decided(Saying(9), seen=observed(at=NOW - 7200.0)).record.desired == 9
    assert decided(Saying(9), seen=observed(at=NOW + 7200.0)).record.desired == 9


def test_an_unavailable_cluster_holds() -> None:
    outcome = decided(Saying(9), seen=observed(cluster_available=False))
    assert outcome.record.desired == 1
    assert "does not answer" in outcome.record.reason


def test_a_finished_batch_is_never_scaled() -> None:
    done = observed().model_copy(update={"counts": Counts(total=3, done=2, dead=1)})
    outcome = decided(Saying(9), seen=done)
    assert outcome.decision is None
    assert outcome.record.desired == 1


def test_one_decision_an_interval() -> None:
    kept = decided(Nop(), record(interval=5.0), now=NOW).record
    assert not is_due(kept, NOW + 4.0)
    assert is_due(kept, NOW + 5.0)
    assert is_due(kept, NOW - 3600.0), "a clock that stepped back does not stop deciding"


def test_the_laws_own_settings_reach_it() -> None:
    kept = record(maximum=10).model_copy(update={"desired": 4})
    seen = observed(deadline=100.0, elapsed=100.0, progress=0.5)
    outcome = decide(kept, seen, Threshold(), ThresholdSettings(trigger_up=0.2, actuation_size=3), None, NOW)
    assert outcome.record.desired == 7


def test_the_same_post_changes_nothing_and_a_new_generation_keeps_the_memory() -> None:
    first = request_for("deadline", created_with=2)
    kept = begin(first, NOW).model_copy(update={"memory": {"busy": 5.0}, "desired": 6, "requested": 6, "scalings": 3})
    assert renew(kept, first, NOW + 1) is kept
    second = first.model_copy(update={"job": "kj-0000001-g2", "initial": 3})
    renewed = renew(kept.model_copy(update={"job_ended": True}), second, NOW + 1)
    assert renewed.memory == {"busy": 5.0}
    assert (renewed.desired, renewed.requested, renewed.job_ended, renewed.scalings) == (6, 3, False, 3)


def test_another_law_starts_with_an_empty_memory() -> None:
    first = request_for("deadline")
    kept = begin(first, NOW).model_copy(update={"memory": {"busy": 5.0}})
    assert renew(kept, first.model_copy(update={"law": "pid"}), NOW).memory == {}


# Changes while it runs.


def test_a_change_is_decided_on_at_once_and_keeps_what_was_learned() -> None:
    request = request_for("pid", {"proportional_gain": 10.0})
    kept = begin(request, START).model_copy(update={"memory": {"integral": 3.0}, "decided_at": START})
    gains = request.control.model_copy(update={"settings": {"proportional_gain": 2.0}})
    changed = request.model_copy(update={"control": gains, "revision": 1})
    after = renew(kept, changed, START + 1)
    assert after.memory == {"integral": 3.0}
    assert after.request == changed
    assert is_due(after, START + 1) and not is_due(kept, START + 1)
    assert renew(after, changed, START + 2) == after


def test_another_law_begins_without_memory_at_the_present_count() -> None:
    kept = begin(request_for("pid"), START).model_copy(update={"memory": {"integral": 3.0}, "desired": 7})
    after = renew(kept, request_for("deadline").model_copy(update={"revision": 1}), START + 1)
    assert (after.memory, after.desired, after.request.law) == ({}, 7, "deadline")


def test_what_belongs_to_an_earlier_revision_is_out_of_date() -> None:
    newer = request_for("pid").model_copy(update={"revision": 2})
    kept = begin(newer, START)
    assert renew(kept, newer.model_copy(update={"revision": 1, "law": "deadline"}), START + 1) == kept


@pytest.mark.parametrize("gains", [{"proportional_gain": 40.0}, {"integral_gain": 2.0}, {"derivative_gain": 500.0}])
def test_new_gains_do_not_make_the_count_jump(gains: dict[str, object]) -> None:
    """Bumpless: whatever the gains, the next decision goes on from the present output."""
    law = BUILT_IN.law("pid")
    given: dict[str, object] = {"proportional_gain": 10.0, "integral_gain": 0.01}
    kept = begin(request_for("pid", given, maximum=50, created_with=10), START)
    for second in range(0, 100, 5):
        seen = observed(at=START + second, elapsed=100.0 + second, deadline=1000.0, progress=0.05 + second / 1200.0)
        outcome = decide(kept, seen, law, BUILT_IN.settings("pid", given), None, START + second)
        kept = outcome.record
    new = {**given, **gains}
    again = decide(kept, seen, law, BUILT_IN.settings("pid", new), None, START + 95.1)
    assert again.decision is not None
    assert abs(again.decision.granted - kept.desired) <= 1


# What the arbiter is told.


def asked_for(law: str = "deadline", **given: Any) -> Asked:
    request = request_for(law, maximum=20, expected=given.pop("expected", None))
    asked = ask(begin(request, START), observed(**given), BUILT_IN.law(law), BUILT_IN.settings(law, {}), None, START)
    assert isinstance(asked, Asked)
    return asked


def demanded(law: str = "deadline", **given: Any) -> Demand:
    return demand_of(asked_for(law, **given), START)


def test_a_demand_tells_the_work_that_is_left_by_what_items_took() -> None:
    told = demanded(deadline=600.0, elapsed=100.0, mean=10.0, count=48, ready=50, leased=2, running=(4.0, 6.0))
    assert told.work == pytest.approx(50 * 10 + 6 + 4)
    assert told.deadline_at == START + 500.0
    assert (told.most, told.urgent) == (20, False)
    assert told.until is not None and told.until > START


def test_or_by_what_they_are_said_to_take_or_by_what_the_law_expects() -> None:
    untouched: dict[str, Any] = {"deadline": 600.0, "elapsed": 1.0, "ready": 100, "leased": 0, "done": 0, "count": 0}
    assert demanded("threshold", expected=3.0, **untouched).work == pytest.approx(300.0)
    hinted = asked_for(expected=3.0, **untouched)
    assert hinted.proposal.eta is not None
    expected = min(300.0, hinted.proposal.wanted * hinted.proposal.eta)
    assert demand_of(hinted, START).work == pytest.approx(expected)
    assert demanded(**untouched).work is None


def test_a_few_items_do_not_tell_the_work_though_the_law_expects_something() -> None:
    few: dict[str, Any] = {"deadline": 100.0, "elapsed": 50.0, "ready": 70, "leased": 8, "done": 2, "count": 2}
    asked = asked_for(mean=30.0, running=(20.0,) * 8, **few)
    assert asked.proposal.eta is not None and asked.proposal.eta > 50.0, "by what it knows it will be late"
    assert demand_of(asked, START).work is None


def test_who_does_not_know_yet_may_be_early_too_but_not_when_nothing_is_heard() -> None:
    untouched: dict[str, Any] = {"deadline": 600.0, "elapsed": 1.0, "ready": 100, "leased": 0, "done": 0, "count": 0}
    asked = asked_for(**untouched)
    assert asked.proposal.eta is None
    told = demand_of(asked, START)
    assert told.early == told.most - told.wanted > 0
    deaf = ask(asked.record, asked.observation, BUILT_IN.law("deadline"), DeadlineSettings(), None, START + 600)
    assert isinstance(deaf, Asked) and deaf.situation is None
    assert demand_of(deaf, START + 600).early == 0


def test_room_that_was_lent_does_not_become_a_wish() -> None:
    """Else the law would keep it in hand for a while, and others would be denied what they need for it."""
    first = asked_for(deadline=600.0, elapsed=100.0, mean=10.0, count=48, ready=50, leased=2, running=(4.0, 6.0))
    lent = settle(first, Share(20, "arbiter: 20"), START)
    assert (lent.record.desired, lent.record.own) == (20, first.replicas)
    assert first.replicas < 10
    seen = observed(at=START + 5, deadline=600.0, elapsed=105.0, mean=10.0, count=48, ready=40, leased=12)
    then = ask(lent.record, seen, BUILT_IN.law("deadline"), DeadlineSettings(), None, START + 5)
    assert isinstance(then, Asked) and then.situation is not None
    assert then.situation.current == first.replicas
    assert then.replicas <= first.replicas
    assert settle(then, Share(then.replicas - 1, "cut"), START + 5).record.own == then.replicas - 1
    assert renew(lent.record, request_for("pid").model_copy(update={"revision": 1}), START + 6).own == 20


def test_limited_steps_down_go_on_from_what_was_asked() -> None:
    request = request_for("nop", maximum=50).model_copy(update={"control": Control(law="nop", max_step_down=1)})
    kept = begin(request, START).model_copy(update={"desired": 40, "early": 30})
    asked = ask(kept, observed(at=START), Saying(8), LawSettings(), None, START)
    assert isinstance(asked, Asked) and asked.replicas == 9


def test_few_items_can_use_few_replicas_and_ended_ones_none() -> None:
    told = demanded(deadline=600.0, mean=10.0, count=97, ready=1, leased=2, done=97)
    assert told.most == max(3, told.wanted)
