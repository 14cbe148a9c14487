"""The pictures of watch and top, at any width."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.polling import Heard
from cli.render import ASCII, BLOCKS, printable, sparkline
from cli.terminal import glyphs_of, is_live
from cli.top_view import SORTS, Board, lines
from cli.watch_view import WatchView

ONGOING: dict[str, Any] = {
    "id": "kj-0000001",
    "name": "tides",
    "state": "ongoing",
    "progress": 0.5,
    "time_progress": 0.25,
    "deadline": 100.0,
    "elapsed": 25.0,
    "eta": 20.0,
    "throughput": 1.25,
    "observed_at": 1.0,
    "created_at": 5.0,
    "counts": {"total": 10, "done": 4, "dead": 1, "leased": 3},
    "replicas": {"observed": 3, "pending": 1},
    "reason": "",
    "law": "deadline",
    "forecast": {
        "chance": 0.97,
        "finish": {"p10": 40.0, "p50": 45.0, "p90": 70.0},
        "replicas": {"wanted": 4, "reason": "5 items left"},
    },
}
BARE: dict[str, Any] = {"id": "kj-0000002", "state": "created"}
ENDED = {
    **ONGOING,
    "id": "kj-0000003",
    "state": "completed",
    "deadline_met": True,
    "deadline_margin": 12.0,
    "progress": 1,
    "eta": None,
}
LATE = {**ONGOING, "id": "kj-0000004", "elapsed": 130.0, "forecast": {**ONGOING["forecast"], "chance": 0.02}}


def watched(status: dict[str, Any], width: int, **heard: Any) -> list[str]:
    return [line.plain for line in WatchView(Heard(status, **heard), BLOCKS).lines(width)]


def test_watch_says_what_matters() -> None:
    text = "\n".join(watched(ONGOING, 80))
    for part in (
        *("ongoing  kj-0000001  tides", "50 %", "5/10, 1 dead, 3 in work", "1m 15s left, chance 97 %"),
        *("20s (15s to 45s)", "3 + 1 pending, 4 wanted", "1.25/s", "5 items left", "┃"),
    ):
        assert part in text


def test_watch_of_one_that_ended_foresees_nothing() -> None:
    text = "\n".join(watched(ENDED, 80))
    assert "met by 12s" in text
    assert "ready in" not in text and "chance" not in text and "wanted" not in text


def test_a_silence_is_on_the_picture() -> None:
    assert "no answer for 7s (ConnectionError)" in watched(ONGOING, 80, silent=7.0, cause="ConnectionError")[-1]
    board = Board(Heard({"kj-0000001": ONGOING}, 7.0, "ConnectionError"))
    assert any("no answer for 7s" in line.plain for line in lines(board, 80))


@given(st.integers(1, 250), st.sampled_from([ONGOING, BARE, ENDED, LATE]), st.floats(0, 1e4))
def test_watch_fits(width: int, status: dict[str, Any], silent: float) -> None:
    assert all(len(line) <= width for line in watched(status, width, silent=silent, cause="x" * 300))


@given(
    st.integers(1, 250),
    st.integers(1, 40),
    st.integers(0, 60),
    st.sampled_from(list(SORTS)),
    st.booleans(),
    st.floats(0, 1e4),
)
def test_top_fits(width: int, height: int, count: int, sort: str, reverse: bool, silent: float) -> None:
    kinds = (ONGOING, BARE, ENDED, LATE)
    rows = {f"kj-{number:07d}": {**kinds[number % 4], "id": f"kj-{number:07d}"} for number in range(count)}
    board = Board(Heard(rows, silent, "y" * 300), {"kj-0000000": [1.0, 2.0]}, sort, reverse)
    drawn = lines(board, width, height, "12:00:00", "q quit")
    assert len(drawn) <= height
    assert all(line.cell_len <= width for line in drawn)


def shown(board: Board, width: int) -> list[str]:
    return [line.plain for line in lines(board, width)]


def test_top_has_the_more_columns_the_wider_it_is() -> None:
    board = Board(Heard({"kj-0000001": ONGOING}), {"kj-0000001": [1.0, 2.0]})
    headings = {width: shown(board, width)[1].split() for width in (40, 80, 200)}
    assert headings[40] == ["id", "progress", "left", "repl"]
    assert headings[80] == ["id", "state", "progress", "left", "eta", "chance", "repl", "rate"]
    assert set(headings[200]) == {*headings[80], "name", "items", "dead", "trend", "law"}
    assert "trend" not in shown(replace(board, rates={}), 200)[1]
    row = shown(board, 200)[2]
    for part in (
        "kj-0000001",
        "tides",
        "ongoing",
        "50 %",
        "1m 15s",
        "20s",
        "97 %",
        "3+1",
        "1.25/s",
        "5/10",
        "deadline",
    ):
        assert part in row


def test_what_does_not_fit_is_counted() -> None:
    rows = {str(number): {**ONGOING, "id": str(number)} for number in range(10)}
    drawn = [line.plain for line in lines(Board(Heard(rows)), 80, 7)]
    assert drawn[-1] == "... and 6 more"
    assert "nothing runs" in shown(Board(Heard({})), 80)[-1]


@pytest.mark.parametrize(
    ("sort", "first"),
    [("deadline", "kj-0000004"), ("chance", "kj-0000004"), ("state", "kj-0000003"), ("eta", "kj-0000001")],
)
def test_the_most_pressing_is_first(sort: str, first: str) -> None:
    rows = {status["id"]: status for status in (BARE, ENDED, ONGOING, LATE)}
    ordered = Board(Heard(rows), {}, sort).rows()
    assert ordered[0]["id"] == first
    assert [row["id"] for row in Board(Heard(rows), {}, "deadline").rows()][-1] == "kj-0000003"
    assert len(Board(Heard(rows), {}, sort, reverse=True).rows()) == 4


def test_nothing_that_is_shown_steers_the_terminal() -> None:
    hostile = {**ONGOING, "name": "\x1b[2Jx\x07", "reason": "two\nlines\x9b31m"}
    for line in [*watched(hostile, 120), *shown(Board(Heard({"a": hostile})), 200)]:
        assert line == printable(line)


@given(st.lists(st.floats(allow_nan=True), max_size=50), st.integers(-1, 60))
def test_a_sparkline_has_one_cell_a_value(values: list[float], width: int) -> None:
    for glyphs in (BLOCKS, ASCII):
        drawn = sparkline(values, width, glyphs)
        assert len(drawn) == min(len(values), max(0, width))
        assert set(drawn) <= set(glyphs.levels)


def test_a_sparkline_goes_from_zero_to_the_highest() -> None:
    assert sparkline([0, 1, 2, 4], 9) == "▁▃▅█"
    assert sparkline([5, 0, 4], 2) == "▁█"
    assert sparkline([0, 0], 5) == "▁▁"


def console(encoding: str = "utf-8", terminal: bool = True, **environment: str) -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=stream, force_terminal=terminal, _environ={"TERM": "xterm", **environment})


@pytest.mark.parametrize(
    ("shown_on", "environment", "live"),
    [
        (console(), {}, True),
        (console(NO_COLOR="1"), {}, True),
        (console(), {"CI": "true"}, False),
        (console(TERM="dumb"), {}, False),
        (console(terminal=False), {}, False),
    ],
)
def test_only_a_terminal_is_drawn_over(shown_on: Console, environment: dict[str, str], live: bool) -> None:
    assert is_live(shown_on, environment) is live


def test_bars_are_of_what_the_terminal_knows() -> None:
    assert glyphs_of(console()) is BLOCKS
    assert glyphs_of(console("ascii")) is ASCII
    assert glyphs_of(console("latin-1")) is ASCII
