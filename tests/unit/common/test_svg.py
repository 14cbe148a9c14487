"""Charts are well-formed, and draw what they are given where it belongs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from common.svg import Chart, Series, draw

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e6, 1e6)


def test_a_step_goes_across_before_it_goes_up() -> None:
    chart = Chart("steps", [Series("a", [(0, 0), (10, 5)], "step")], x_range=(0, 10), y_range=(0, 5))
    line = ElementTree.fromstring(draw(chart)).find(f"{SVG}polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (left, bottom), corner, (right, top) = points
    assert corner == (right, bottom)
    assert left < right and top < bottom


def test_a_mark_outside_is_not_drawn() -> None:
    chart = Chart("marks", [Series("a", [(0, 0), (10, 5)])], marks=[(5, "in"), (50, "out")], x_range=(0, 10))
    text = draw(chart)
    assert ">in<" in text and ">out<" not in text


def test_time_is_told_in_round_durations() -> None:
    chart = Chart("time", [Series("a", [(0, 0), (1500, 5)])], x_is_time=True)
    labels = [label.text for label in ElementTree.fromstring(draw(chart)).iter(f"{SVG}text")]
    assert {"0", "5m", "10m", "25m"} <= set(labels)


@given(
    title=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")),
    points=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8),
    shape=st.sampled_from(["line", "step", "points", "band"]),
    is_time=st.booleans(),
)
def test_whatever_is_drawn_is_well_formed(
    title: str, points: list[tuple[float, float]], shape: str, is_time: bool
) -> None:
    high = [value + 1.0 for _, value in points]
    series = Series(title, points, shape, high=high, labels=[title] * len(points))  # type: ignore[arg-type]
    chart = Chart(title, [series, series], title, marks=[(1.0, title)], x_is_time=is_time, y_is_time=is_time)
    assert ElementTree.fromstring(draw(chart, style=True)).tag == f"{SVG}svg"
