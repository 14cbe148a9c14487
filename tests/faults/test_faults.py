"""The short form: one fault of each kind, at seeded moments. ``make test-faults`` has them all, and many times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.campaign import one_run, plan, shapes_of
from tests.faults.catalogue import FAULTS
from tests.faults.shapes import BATCH, DEDICATED, RUN, SHAPES, STREAM
from tests.faults.stage import Stage

pytestmark = pytest.mark.e2e
SHORT = {
    "manager and monitor killed": (3, [BATCH, STREAM]),
    "worker killed": (13, [BATCH, RUN]),
    "workers that lie about results": (5, [BATCH]),
    "Redis loses its last second (power loss)": (11, [BATCH, STREAM]),
    "cluster API answers 500": (4, [RUN, DEDICATED]),
    "Redis replaced by an empty one": (6, [BATCH, DEDICATED]),
}
"""Seeds and what is submitted, by fault."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_done_twice_or_left_behind(stage: Stage, name: str) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    assert one_run(stage, fault, *SHORT[name]).violations == []


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert set(SHORT) <= set(names)


def test_the_parts_of_a_plan_are_together_the_whole() -> None:
    told = [[(fault.name, seed) for fault, seed in plan(60, 3, part=(number, 2))] for number in (1, 2)]
    whole = [(fault.name, seed) for fault, seed in plan(60, 3)]
    assert sorted(told[0] + told[1]) == sorted(whole)


def test_only_what_a_fault_is_for_is_submitted_in_it() -> None:
    planned = plan(200, 3, shape="dedicated")
    assert {shape for fault, seed in planned for shape in shapes_of(fault, seed, 2)} == {DEDICATED}
    assert not [fault.name for fault, _ in planned if fault.cast is not None]
    drawn = {shape.name for fault, seed in plan(200, 3) for shape in shapes_of(fault, seed, 2)}
    assert drawn == set(SHAPES)
