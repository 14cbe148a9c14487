"""Many error lines, told once each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from visualizer.troubles import troubles_of

WHY = "exit code 1: no such column\n  in row 17"


def test_equal_errors_are_one_with_their_items_and_dead_items_come_first() -> None:
    attempts = [f"item {number}, attempt 1 on w-3: {WHY}" for number in range(30)]
    first, second, third = troubles_of(
        [*attempts, "the workload ended early", *[f"item {n} is dead: {WHY}" for n in "ab"]]
    )
    assert (first.sort, first.text, first.count, first.items) == ("other", "the workload ended early", 1, ())
    assert (second.sort, second.text, second.count, second.items) == ("dead", WHY, 2, ("a", "b"))
    assert (third.sort, third.text, third.count) == ("attempt", WHY, 30)
    assert third.items == ("0", "1", "2", "3", "4")


def test_an_item_that_failed_twice_is_named_once() -> None:
    (trouble,) = troubles_of([f"item a b, attempt {number} on : {WHY}" for number in (1, 2)])
    assert (trouble.count, trouble.items) == (2, ("a b",))


@given(st.lists(st.text(max_size=30) | st.sampled_from(["item x is dead: y", "item x, attempt 2 on w: y"])))
def test_no_line_is_lost_while_there_is_room(lines: list[str]) -> None:
    found = troubles_of(lines)
    assert len(found) <= 50
    if len(found) < 50:
        assert sum(trouble.count for trouble in found) == len(lines)
