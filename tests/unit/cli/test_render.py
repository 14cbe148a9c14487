"""Status objects as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.commands.watching import exit_code
from cli.render import bar, deadline_text, progress_line

ONGOING = {
    "state": "ongoing",
    "progress": 0.5,
    "time_progress": 0.25,
    "deadline": 100.0,
    "elapsed": 25.0,
    "eta": 20.0,
    "counts": {"total": 10, "done": 4, "dead": 1},
    "replicas": {"observed": 3},
}


def test_the_line_says_what_matters() -> None:
    line = progress_line(ONGOING, 120)
    for part in ("ongoing", "50 %", "5/10 items", "3 replicas", "1m 15s left", "ready in 20s", "1 dead", "┃", "█"):
        assert part in line


@given(st.integers(1, 200), st.floats(0, 1), st.floats(-1, 5))
def test_the_line_fits(width: int, progress: float, time_progress: float) -> None:
    line = progress_line({**ONGOING, "progress": progress, "time_progress": time_progress}, width)
    assert len(line) <= width


@given(st.floats(-2, 3), st.integers(0, 100), st.one_of(st.none(), st.floats(-2, 3)))
def test_a_bar_is_as_wide_as_asked(share: float, width: int, mark: float | None) -> None:
    assert len(bar(share, width, mark)) == width


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"deadline": None}, "no deadline"),
        ({"elapsed": 130.0}, "30s over"),
        ({"state": "completed", "deadline_met": True, "deadline_margin": 12.0}, "met by 12s"),
        ({"state": "completed", "deadline_met": False, "deadline_margin": -70.0}, "missed by 1m 10s"),
        ({"state": "stopped", "deadline_met": None}, "deadline 1m 40s"),
    ],
)
def test_how_it_stands_against_its_deadline(changes: dict[str, Any], text: str) -> None:
    assert deadline_text({**ONGOING, **changes}) == text


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"state": "completed", "deadline_met": True}, 0),
        ({"state": "completed", "deadline_met": None}, 0),
        ({"state": "completed", "deadline_met": False}, 3),
        ({"state": "failed"}, 1),
        ({"state": "error"}, 1),
        ({"state": "stopped"}, 1),
        ({"state": "terminated"}, 1),
    ],
)
def test_the_exit_code_tells_how_it_ended(status: dict[str, Any], code: int) -> None:
    assert exit_code(status) == code
