"""A ledger says what the arbiter says, however it came to know the demands."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.capacity import Capacity
from controller.arbiter import Demand, Share, endangered, share
from controller.ledger import DIVIDED_EVERY, GOOD_FOR, LARGE, Ledger
from tests.properties.test_arbiter import NOW, capacities, crowds


@given(crowds, crowds, capacities, st.booleans())
def test_it_shares_as_the_arbiter_does(
    before: dict[str, Demand], crowd: dict[str, Demand], capacity: Capacity, eager: bool
) -> None:
    ledger = Ledger(before, capacity, NOW)
    for id in before:
        ledger.drop(id)
    for id, demand in crowd.items():
        ledger.put(id, demand)
    # A demand that is put stands: it was told in this moment.
    everybody = {id: demand.model_copy(update={"until": None}) for id, demand in crowd.items()}
    for id in crowd:
        assert ledger.share(id, NOW, eager) == share(id, everybody, capacity, NOW, eager)


@given(crowds, capacities, st.integers(0, 5), st.booleans())
def test_who_asks_for_something_else_is_divided_anew(
    crowd: dict[str, Demand], capacity: Capacity, wanted: int, eager: bool
) -> None:
    ledger = Ledger({}, capacity, NOW)
    known = {id: demand.model_copy(update={"until": None}) for id, demand in crowd.items()}
    for id, demand in known.items():
        ledger.put(id, demand)
    for number, id in enumerate(known):
        now = NOW + number
        ledger.share(id, now, eager)
        known[id] = known[id].model_copy(update={"wanted": wanted, "most": max(wanted, known[id].most)})
        ledger.put(id, known[id])
        soon = ledger.share(id, now + 0.5 * DIVIDED_EVERY, eager).replicas
        assert soon <= max(known[id].holding, wanted + known[id].early)
        if crowd[id].wanted != wanted:
            later = now + 2 * DIVIDED_EVERY
            assert ledger.share(id, later, eager) == share(id, known, capacity, later, eager)


@given(crowds, capacities)
def test_the_short_way_to_who_is_endangered_is_right(crowd: dict[str, Demand], capacity: Capacity) -> None:
    for id in crowd:
        short = endangered(crowd, id, capacity, NOW)
        with patch("controller.arbiter._is_easy", return_value=False):
            assert set(short) == set(endangered(crowd, id, capacity, NOW))


@given(crowds, st.floats(0.0, 0.99 * GOOD_FOR))
def test_where_there_is_room_for_all_nothing_is_divided(crowd: dict[str, Demand], later: float) -> None:
    roomy = Capacity(replicas=10_000, cpu=100_000.0)
    # An eager division needs more than one deadline.
    over = Demand(wanted=0, most=0, deadline_at=NOW)
    crowd = {**crowd, "over": over, "too": over}
    crowd = {id: demand.model_copy(update={"until": None}) for id, demand in crowd.items()}
    ledger = Ledger(crowd, roomy, NOW)
    for id in crowd:
        assert ledger.share(id, NOW + later, eager=True) == share(id, crowd, roomy, NOW + later, eager=True)


def test_there_is_a_short_way_where_there_is_room() -> None:
    one = Demand(wanted=1, most=4, early=3, deadline_at=NOW + 100, work=50.0)
    crowd = {"a": one, "b": one.model_copy(update={"deadline_at": NOW - 1}), "c": Demand(wanted=2, most=4)}
    told = "arbiter: 4, 1 asked: others share the cluster, and it has room now"
    shares = {"a": Share(4, told), "b": Share(1), "c": Share(2)}
    ledger = Ledger(crowd, Capacity(replicas=10), NOW)
    with patch("controller.ledger.allocate", side_effect=AssertionError("the long way")):
        assert {id: ledger.share(id, NOW, eager=True) for id in crowd} == shares
        ledger.put("d", one.model_copy(update={"work": 390.0}))
        for crowded in (Ledger(crowd, Capacity(replicas=9), NOW), ledger):
            with pytest.raises(AssertionError, match="the long way"):
                crowded.share("a", NOW, eager=True)
        ledger.drop("d")
        assert ledger.share("a", NOW, eager=True) == shares["a"]
        with pytest.raises(AssertionError, match="the long way"):
            ledger.share("a", NOW + GOOD_FOR, eager=True)


def test_only_a_large_board_is_gone_by_and_not_for_long() -> None:
    capacity, one = Capacity(replicas=1000), Demand(wanted=1, most=1)
    large = Ledger({f"s{number}": one for number in range(LARGE)}, capacity, NOW)
    small = Ledger({f"s{number}": one for number in range(LARGE - 1)}, capacity, NOW)
    assert large.is_good(capacity, NOW + 0.9 * GOOD_FOR)
    assert not large.is_good(capacity, NOW + GOOD_FOR)
    assert not large.is_good(capacity, NOW - 1), "the clock was set back"
    assert not large.is_good(Capacity(replicas=999), NOW)
    assert not small.is_good(capacity, NOW)
