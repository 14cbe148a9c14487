"""What must hold of every division of a cluster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.domain.capacity import Capacity, Requests
from common.domain.submission import Priority
from controller.arbiter import PATIENCE, TURN, Demand, aged, allocate, endangered, share

NOW = 1_700_000_000.0
moments = st.none() | st.floats(NOW - 5000, NOW + 5000)
requests = st.builds(
    Requests,
    cpu=st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.7]),
    memory=st.sampled_from([0.0, 1e8, 2.0**30]),
    gpus=st.integers(0, 2),
)
capacities = st.builds(
    Capacity,
    replicas=st.none() | st.integers(0, 60),
    cpu=st.none() | st.floats(0, 40),
    memory=st.none() | st.floats(0, 40e9),
    gpus=st.none() | st.integers(0, 8),
)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    wanted = draw(st.integers(0, 50))
    return Demand(
        wanted=wanted,
        minimum=draw(st.integers(0, 10)),
        most=wanted + draw(st.integers(0, 20)),
        holding=draw(st.integers(0, 50)),
        early=draw(st.integers(0, 20)),
        requests=draw(requests),
        priority=draw(st.sampled_from(list(Priority))),
        deadline_at=draw(moments),
        work=draw(st.none() | st.floats(0, 1e5)),
        urgent=draw(st.booleans()),
        waiting_since=draw(moments),
        turn_until=draw(moments),
        until=draw(st.sampled_from([None, NOW - 1, NOW + 1])),
    )


crowds = st.lists(demands(), max_size=12).map(lambda found: {f"s{place}": one for place, one in enumerate(found)})


def used(crowd: dict[str, Demand], counts: dict[str, int]) -> dict[str, float]:
    return {
        "replicas": sum(counts.values()),
        "cpu": sum(crowd[id].requests.cpu * count for id, count in counts.items()),
        "memory": sum(crowd[id].requests.memory * count for id, count in counts.items()),
        "gpus": sum(crowd[id].requests.gpus * count for id, count in counts.items()),
    }


@given(crowds, capacities)
def test_the_shares_fit_and_nobody_gets_more_than_it_wants(crowd: dict[str, Demand], capacity: Capacity) -> None:
    shares = allocate(crowd, capacity, NOW)
    assert shares.keys() == crowd.keys()
    assert all(0 <= shares[id].replicas <= crowd[id].wanted for id in crowd)
    limits = capacity.model_dump()
    for name, amount in used(crowd, {id: one.replicas for id, one in shares.items()}).items():
        assert limits[name] is None or amount <= limits[name] * (1 + 1e-6) + 1e-6, name
    assert all(bool(shares[id].reason) == (shares[id].replicas < crowd[id].wanted) for id in crowd)


@given(crowds, capacities)
def test_being_early_takes_nothing_from_anybody(crowd: dict[str, Demand], capacity: Capacity) -> None:
    shares, eager = allocate(crowd, capacity, NOW), allocate(crowd, capacity, NOW, eager=True)
    assert all(eager[id].replicas >= shares[id].replicas for id in crowd)
    assert all(eager[id].replicas <= crowd[id].wanted + crowd[id].early for id in crowd)
    limits = capacity.model_dump()
    for name, amount in used(crowd, {id: one.replicas for id, one in eager.items()}).items():
        assert limits[name] is None or amount <= limits[name] * (1 + 1e-6) + 1e-6, name


@given(crowds, capacities, st.randoms())
def test_everybody_computes_the_same_shares(crowd: dict[str, Demand], capacity: Capacity, chance: object) -> None:
    shuffled = list(crowd.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(dict(shuffled), capacity, NOW) == allocate(crowd, capacity, NOW)


@given(crowds, capacities)
def test_nothing_is_left_idle_that_somebody_wants_and_that_fits(crowd: dict[str, Demand], capacity: Capacity) -> None:
    shares = allocate(crowd, capacity, NOW)
    counts = {id: one.replicas for id, one in shares.items()}
    limits = capacity.model_dump()
    for id, one in crowd.items():
        if counts[id] < one.wanted:
            more = used(crowd, {**counts, id: counts[id] + 1})
            assert any(limits[name] is not None and amount > limits[name] - 1e-3 for name, amount in more.items()), id


@given(crowds.filter(bool), capacities)
def test_a_share_taken_never_exceeds_what_is_there_or_was_had(crowd: dict[str, Demand], capacity: Capacity) -> None:
    granted = share("s0", crowd, capacity, NOW).replicas
    assert 0 <= granted <= crowd["s0"].wanted + crowd["s0"].early
    others = {id: one.holding for id, one in crowd.items() if id != "s0" and one.stands(NOW)}
    if granted > crowd["s0"].holding and capacity.replicas is not None:
        assert granted + sum(others.values()) <= capacity.replicas


@given(crowds.filter(bool), capacities)
def test_a_newcomer_harms_nobody_of_a_higher_priority(crowd: dict[str, Demand], capacity: Capacity) -> None:
    newcomer = crowd["s0"]
    order = [Priority.HIGH, Priority.NORMAL, Priority.LOW]
    for id in endangered(crowd, "s0", capacity, NOW):
        assert order.index(crowd[id].priority) >= order.index(newcomer.priority)


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 5))
def test_nobody_starves_for_ever(submissions: int, replicas: int, minimum: int) -> None:
    """However many want all there is, with however near deadlines: each has its least count now and then."""
    minimum = min(minimum, replicas)
    crowd = {
        f"s{place:02}": Demand(wanted=10, minimum=minimum, most=10, priority=list(Priority)[place % 3])
        for place in range(submissions)
    }
    served: set[str] = set()
    now = NOW
    for _ in range(int((2 * PATIENCE + (submissions + 1) * 2 * (TURN + 5)) / 5)):
        now += 5.0
        crowd = {
            id: one.model_copy(update={"deadline_at": now + 10.0 + int(id[1:]), "work": 1.0})
            for id, one in crowd.items()
        }
        shares = allocate(crowd, Capacity(replicas=replicas), now)
        served |= {id for id, one in shares.items() if one.replicas >= crowd[id].least}
        crowd = {id: aged(one, shares[id].replicas, now) for id, one in crowd.items()}
    assert served == crowd.keys()
