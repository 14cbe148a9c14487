"""Files that a simulation is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.document import read_document, read_numbers

NAMES = ("run_s", "seconds")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1\n2.5\n\n3\n", (1.0, 2.5, 3.0)),
        ("seconds\n1\n2\n", (1.0, 2.0)),
        ("user,run_s,seconds\na,1,9\nb,2,9\n", (1.0, 2.0)),
        ("\ufeffRun_S , x\n4,5\n", (4.0,)),
        ("how long\n7\n", (7.0,)),
    ],
)
def test_numbers(tmp_path: Path, text: str, wanted: tuple[float, ...]) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(text, encoding="utf-8")
    assert read_numbers(path, NAMES) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("seconds\n", "no numbers"),
        ("1\nx\n", "row 2"),
        ("seconds\n1\n-2\n", "row 3"),
        ("a,b\n1,2\n", "run_s or seconds"),
        ("seconds\nnan\n", "row 2"),
    ],
)
def test_refused_numbers(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        read_numbers(path, NAMES)


def test_items_are_counted_where_that_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text("a\n\nb\n  \nc")
    for name in ("x.png", "y.png", "z.txt"):
        (tmp_path / name).touch()

    def count(workload: str) -> int | None:
        return read_document(f"{{run: 'x {{item}}', workload: {workload}, deadline: 5m}}", tmp_path).items

    assert count("[a, b]") == 2
    assert count("items.txt") == 3
    assert count("{url: items.txt}") == 3
    assert count("{glob: '*.png'}") == 2
    assert count(f"{{glob: '{tmp_path}/*.png'}}") == 2
    assert count("https://host/items.txt") is None
    assert count("not-there.txt") is None
