"""Points as columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.domain.metrics import QUEUE, Point
from visualizer.series import columns, reach, thinned


def points(count: int) -> list[Point]:
    return [Point("queue", "kj-1", float(at), {"ready": float(at)}) for at in range(count)]


@given(st.integers(0, 500), st.integers(2, 60))
def test_thinning_keeps_order_and_both_ends(count: int, most: int) -> None:
    given_points = points(count)
    kept = thinned(given_points, most)
    assert len(kept) == min(count, most)
    moments = [point.at for point in kept]
    assert moments == sorted(set(moments))
    if count:
        assert (kept[0], kept[-1]) == (given_points[0], given_points[-1])


def test_columns_are_equally_long_and_unknown_is_none() -> None:
    table = columns(QUEUE, points(3))
    assert table["at"] == [0.0, 1.0, 2.0]
    assert table["ready"] == [0.0, 1.0, 2.0]
    assert table["dead"] == [None, None, None]


def test_each_series_reaches_its_own_last_point() -> None:
    assert reach({"a": {"at": [1.0, 5.0]}, "b": {"at": [3.0]}, "c": {"at": []}}) == {"a": 5.0, "b": 3.0}
