"""Many error lines, told once each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from visualizer.troubles import troubles_of

WHY = "exit code 1: no such column\n  in row 17"


def test_equal_errors_are_one_with_their_items_and_dead_items_come_first() -> None:
    attempts = [f"item {number}, attempt 1 on w-3: {WHY}" for number in range(30)]
    dead = [f"item {name} is dead: {WHY}" for name in "ab"]
    pods = [f"kj-1a2b3c4-g1-{index}-x7k2p: BackOff: image not found" for index in range(3)]
    first, second, third, fourth = troubles_of([*pods, *attempts, "the workload ended early", *dead])
    assert (first.sort, first.text, first.count, first.items) == ("dead", WHY, 2, ("a", "b"))
    assert (second.sort, second.text, second.count) == ("attempt", WHY, 30)
    assert second.items == ("0", "1", "2", "3", "4")
    assert (third.sort, third.text, third.count, third.items) == ("other", "the workload ended early", 1, ())
    assert (fourth.sort, fourth.text, fourth.count) == ("pod", "BackOff: image not found", 3)


def test_an_item_that_failed_twice_is_named_once() -> None:
    (trouble,) = troubles_of([f"item a b, attempt {number} on : {WHY}" for number in (1, 2)])
    assert (trouble.count, trouble.items) == (2, ("a b",))


@given(st.lists(st.text(max_size=30) | st.sampled_from(["item x is dead: y", "item x, attempt 2 on w: y"])))
def test_no_line_is_lost_while_there_is_room(lines: list[str]) -> None:
    found = troubles_of(lines)
    assert len(found) <= 50
    if len(found) < 50:
        assert sum(trouble.count for trouble in found) == len(lines)
