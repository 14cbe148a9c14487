"""Who gets how many replicas of a cluster that has not enough."""

from __future__ import annotations

from typing import Any

from common.domain.capacity import Capacity, Requests, requests_of
from common.domain.pods import Resources
from common.domain.submission import Priority
from controller.arbiter import PATIENCE, REMEMBERED, SHARED, TURN, Demand, aged, allocate, endangered, reminder, share

NOW = 1_700_000_000.0
FORTY = Capacity(replicas=40)


def demand(wanted: int, due: float | None = None, **given: Any) -> Demand:
    deadline_at = None if due is None else NOW + due
    return Demand(**{"wanted": wanted, "most": max(wanted, 40), "deadline_at": deadline_at, **given})


def counts(demands: dict[str, Demand], capacity: Capacity = FORTY, now: float = NOW) -> dict[str, int]:
    return {id: share.replicas for id, share in allocate(demands, capacity, now).items()}


def test_where_all_fit_everybody_gets_what_it_wants_without_a_word() -> None:
    shares = allocate({"a": demand(30, 100), "b": demand(10, 50)}, FORTY, NOW)
    assert {id: (one.replicas, one.reason) for id, one in shares.items()} == {"a": (30, ""), "b": (10, "")}


def test_the_nearer_deadline_goes_first_where_both_have_time() -> None:
    demands = {"later": demand(30, 400, work=3000), "sooner": demand(30, 100, work=2000)}
    assert counts(demands) == {"sooner": 30, "later": 10}


def test_who_has_no_time_to_spare_goes_before_a_nearer_deadline() -> None:
    demands = {
        "tight": demand(10, 300, work=3000, most=10),
        "loose": demand(35, 200, work=1000, most=40),
    }
    assert counts(demands) == {"tight": 10, "loose": 30}


def test_the_higher_priority_goes_before_any_deadline() -> None:
    demands = {
        "high": demand(35, 4000, work=10_000, priority=Priority.HIGH),
        "normal": demand(35, 100, work=100),
        "low": demand(35, 100, work=100, priority=Priority.LOW),
    }
    assert counts(demands) == {"high": 35, "normal": 5, "low": 0}


def test_the_greatest_number_of_deadlines_is_met_by_giving_up_the_greatest_work() -> None:
    """Together 5200 replica seconds are due within 100 s of 40 replicas: one of them has to be late."""
    demands = {
        "huge": demand(40, 90, work=3200),
        "a": demand(10, 100, work=1000),
        "b": demand(10, 100, work=1000),
    }
    shares = allocate(demands, FORTY, NOW)
    assert {id: one.replicas for id, one in shares.items()} == {"a": 10, "b": 10, "huge": 20}
    told = "arbiter: 20 of 40 asked, the cluster has 40 replicas; a, b go first"
    assert shares["huge"].reason == f"{told}; its deadline cannot be met beside theirs"


def test_a_deadline_that_is_lost_anyway_takes_nothing_from_those_that_can_be_met() -> None:
    demands = {"over": demand(40, -5, work=100), "hopeless": demand(40, 10, work=4000), "fine": demand(39, 100)}
    assert counts(demands) == {"fine": 39, "over": 1, "hopeless": 0}


def test_a_wish_made_in_ignorance_is_no_reason_to_give_a_deadline_up() -> None:
    """Who does not know its work asks for all it may have, for who knows how long: it is taken to need what deadlines
    usually need."""
    unknown, known = demand(40, 200), demand(10, 100, work=1000)
    assert counts({"unknown": unknown, "known": known}) == {"known": 10, "unknown": 30}
    other = demand(30, 300, work=7000)
    assert counts({"unknown": unknown, "other": other}) == {"unknown": 40, "other": 0}
    told = unknown.model_copy(update={"work": 8001.0})
    assert counts({"unknown": told, "other": other}) == {"other": 30, "unknown": 10}


def test_a_little_wish_made_in_ignorance_is_believed() -> None:
    small, large = demand(2, 90), demand(40, 100, work=3700)
    assert counts({"small": small, "large": large}) == {"large": 38, "small": 2}
    assert counts({"small": demand(10, 90), "large": large}) == {"small": 10, "large": 30}, "one has to be late"


def test_streams_go_before_batches_of_their_priority_and_those_without_deadline_last() -> None:
    demands = {
        "stream": demand(20, urgent=True),
        "batch": demand(15, 100, work=1000),
        "whenever": demand(15, work=10),
    }
    assert counts(demands) == {"stream": 20, "batch": 15, "whenever": 5}


def test_sizes_count_not_replicas_alone() -> None:
    capacity = Capacity(replicas=100, cpu=16.0, memory=64 * 2.0**30, gpus=2)
    demands = {
        "big": demand(10, 100, work=100, requests=Requests(cpu=4.0, memory=2.0**30)),
        "small": demand(30, 200, work=100, requests=Requests(cpu=0.1)),
        "gpu": demand(3, 300, work=100, requests=Requests(gpus=1)),
        "free": demand(10, 400, work=100),
    }
    shares = allocate(demands, capacity, NOW)
    assert {id: one.replicas for id, one in shares.items()} == {"big": 4, "small": 0, "gpu": 2, "free": 10}
    assert "the cluster has 100 replicas, 16 cores, 64.0 GiB, 2 GPUs" in shares["small"].reason


def test_what_a_cluster_does_not_have_cannot_be_granted() -> None:
    demands = {"gpu": demand(3, 300, requests=Requests(gpus=1)), "cpu": demand(4, 300)}
    assert counts(demands, Capacity(replicas=10, gpus=0)) == {"gpu": 0, "cpu": 4}


def test_a_replica_that_never_fits_is_told_by_what_it_asks_for() -> None:
    small = Capacity(replicas=10, cpu=2.0, memory=2.0**34)
    huge = demand(3, 300, requests=Requests(cpu=1e5, memory=2.0**31))
    shares = allocate({"huge": huge, "other": demand(4, 100)}, small, NOW)
    told = "arbiter: none fits, each asks for 100000 cores, 2.0 GiB; the cluster has 10 replicas, 2 cores, 16.0 GiB"
    assert shares["huge"].reason == told
    full = allocate({"any": demand(3)}, Capacity(replicas=0), NOW)
    assert full["any"].reason == "arbiter: none fits, each asks for a place; the cluster has 0 replicas"


def test_requests_are_those_of_the_specification() -> None:
    asked = requests_of(Resources(cpu="500m", memory_limit="1Gi", gpu=2))
    assert asked == Requests(cpu=0.5, memory=2.0**30, gpus=2)


# What others still hold.


def test_nothing_is_taken_before_the_others_have_handed_it_back() -> None:
    demands = {
        "old": demand(40, 1000, work=4000, holding=40),
        "new": demand(30, 60, work=1200, holding=0),
    }
    assert share("new", demands, FORTY, NOW).replicas == 0
    assert "others still hold" in share("new", demands, FORTY, NOW).reason
    assert share("old", demands, FORTY, NOW).replicas == 10
    demands["old"] = demands["old"].model_copy(update={"holding": 25})
    assert share("new", demands, FORTY, NOW).replicas == 15
    assert share("new", {**demands, "old": demand(40, until=NOW - 1, holding=40)}, FORTY, NOW).replicas == 30


# Being early.


def test_where_deadlines_compete_what_nobody_wants_lets_the_first_be_early() -> None:
    demands = {"later": demand(5, 400, work=2000, early=35), "sooner": demand(10, 100, work=900, early=20)}
    shares = allocate(demands, FORTY, NOW, eager=True)
    assert {id: one.replicas for id, one in shares.items()} == {"sooner": 30, "later": 10}
    assert shares["sooner"].reason == "arbiter: 30, 10 asked: others share the cluster, and it has room now"
    assert counts(demands) == {"sooner": 10, "later": 5}, "unless what the cluster has is not reserved for submissions"


def test_nobody_is_early_alone_unless_deadlines_met_here_lately() -> None:
    alone = {"one": demand(30, 9000, work=900, early=10), "whenever": demand(5)}
    assert allocate(alone, FORTY, NOW, eager=True)["one"].replicas == 30
    assert reminder(alone, NOW) is None
    met = reminder({**alone, "two": demand(1, 100)}, NOW)
    assert met is not None
    lately = {**alone, SHARED: met}
    assert share("one", lately, FORTY, NOW + REMEMBERED - 1).replicas == 35
    assert share("one", lately, FORTY, NOW + REMEMBERED + 1).replicas == 30
    assert reminder({**lately, "two": demand(1, 100)}, NOW + 5) is None, "not with every decision"
    assert reminder({**lately, "two": demand(1, 100)}, NOW + 0.6 * REMEMBERED) is not None
    assert reminder(lately, NOW + 0.6 * REMEMBERED) is None


def test_laws_that_are_to_be_followed_to_the_letter_are() -> None:
    demands = {"scripted": demand(10, 100, work=900), "eager": demand(10, 200, work=900, early=5)}
    assert {id: one.replicas for id, one in allocate(demands, FORTY, NOW, eager=True).items()} == {
        "scripted": 10,
        "eager": 15,
    }


# Turns.


def test_who_waits_for_long_gets_its_least_count_for_a_while() -> None:
    hungry = demand(40, 50, work=1900)
    waiting = demand(8, 5000, work=100, minimum=2)
    now = NOW
    assert counts({"hungry": hungry, "waiting": waiting}, now=now) == {"hungry": 40, "waiting": 0}
    waiting = aged(waiting, 0, now)
    assert waiting.waiting_since == now
    assert aged(waiting, 0, now + 5).waiting_since == now
    now += PATIENCE
    hungry = hungry.model_copy(update={"deadline_at": now + 50})
    assert counts({"hungry": hungry, "waiting": waiting}, now=now) == {"hungry": 38, "waiting": 2}
    waiting = aged(waiting, 2, now)
    assert (waiting.waiting_since, waiting.turn_until) == (None, now + TURN)
    now += TURN / 2
    hungry = hungry.model_copy(update={"deadline_at": now + 50})
    assert counts({"hungry": hungry, "waiting": waiting}, now=now) == {"hungry": 38, "waiting": 2}
    waiting = aged(waiting, 2, now)
    now += TURN
    hungry = hungry.model_copy(update={"deadline_at": now + 50})
    assert counts({"hungry": hungry, "waiting": waiting}, now=now) == {"hungry": 40, "waiting": 0}
    assert aged(waiting, 0, now).waiting_since == now


def test_turns_take_a_quarter_at_most_and_the_oldest_go_first() -> None:
    hungry = {"hungry": demand(40, 50, work=1900)}
    waiting = {f"w{place:02}": demand(5, 9000, minimum=1, waiting_since=NOW - PATIENCE - place) for place in range(30)}
    granted = counts({**hungry, **waiting})
    assert granted["hungry"] == 30
    assert {id for id, count in granted.items() if count} == {"hungry", *(f"w{place}" for place in range(20, 30))}


def test_even_a_least_count_greater_than_a_quarter_gets_its_turn() -> None:
    waiting = demand(30, 9000, minimum=20, waiting_since=NOW - PATIENCE)
    assert counts({"hungry": demand(40, 50, work=1900), "waiting": waiting}) == {"hungry": 20, "waiting": 20}


# Newcomers.


def test_a_newcomer_that_makes_others_late_is_told_of() -> None:
    others = {"a": demand(30, 100, work=3000)}
    small = demand(5, 100, work=500)
    assert endangered({**others, "new": small}, "new", FORTY, NOW) == ()
    assert endangered({**others, "new": demand(30, 100, work=2900)}, "new", FORTY, NOW) == ("a",)
    assert endangered({**others, "new": demand(30, 100, work=3500)}, "new", FORTY, NOW) == ("new",)
    urgent = demand(30, 100, work=3500, priority=Priority.HIGH)
    assert endangered({**others, "new": urgent}, "new", FORTY, NOW) == ("a",)
