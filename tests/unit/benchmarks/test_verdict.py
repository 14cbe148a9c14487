"""How a benchmark ends."""

from __future__ import annotations

import pytest

from benchmarks.verdict import verdict


@pytest.mark.parametrize(
    ("missed", "code", "told"),
    [([], 0, ""), (["too slow", "too large"], 1, "bar missed: too slow\nbar missed: too large\n")],
)
def test_each_missed_bar_is_named(missed: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(iter(missed)) == code
    assert capsys.readouterr().err == told
