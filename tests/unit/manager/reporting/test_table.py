"""Items as CSV."""

from __future__ import annotations

import csv
import io

from asperathos_worker.queue.records import ItemLine
from hypothesis import given
from hypothesis import strategies as st

from manager.reporting.table import COLUMNS, csv_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1)


def table(*lines: ItemLine, accepted_at: float | None = 1000.0) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_of(lines, accepted_at)), newline="")))


def test_a_row_says_what_became_of_the_item() -> None:
    (row,) = table(ItemLine("7", "done", 2, 1, "pod-a", 1010.0, 1012.5))
    assert row == {
        "id": "7",
        "state": "done",
        "attempts": "2",
        "failures": "1",
        "worker": "pod-a",
        "began": "1970-01-01T00:16:50.000Z",
        "ended": "1970-01-01T00:16:52.500Z",
        "wait_seconds": "10.000",
        "service_seconds": "2.500",
        "error": "",
    }


def test_what_is_not_known_is_empty() -> None:
    (row,) = table(ItemLine("7", "dead", 2, 2, "pod-a", None, 1012.5, "lost"))
    assert (row["began"], row["wait_seconds"], row["service_seconds"], row["error"]) == ("", "", "", "lost")
    (row,) = table(ItemLine("7", "done", 1, 0, "", 0.0, 0.0))
    assert (row["began"], row["ended"], row["wait_seconds"]) == ("", "", ""), "the original's lists keep no times"
    (row,) = table(ItemLine("7", "done", 1, 0, "a", 1010.0, 1011.0), accepted_at=None)
    assert (row["wait_seconds"], row["service_seconds"]) == ("", "1.000"), "a stream's"


def test_the_heading_is_there_without_items() -> None:
    assert "".join(csv_of((), 0.0)) == ",".join(COLUMNS) + "\r\n"


def test_no_cell_is_a_formula() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx"):
        (row,) = table(ItemLine(text, "dead", 1, 1, text, None, 1.0, text))
        assert row["id"] == row["worker"] == row["error"] == "'" + text


@given(st.lists(TEXTS, max_size=20))
def test_texts_come_back(texts: list[str]) -> None:
    rows = table(*(ItemLine(text, "dead", 1, 1, "", None, 1.0, text) for text in texts))
    assert [row["error"].removeprefix("'") for row in rows] == [text.removeprefix("'") for text in texts]


def test_many_rows_come_in_pieces() -> None:
    pieces = list(csv_of((ItemLine(str(number), "done", 1, 0) for number in range(1200)), 0.0))
    assert [piece.count("\r\n") for piece in pieces] == [501, 500, 200]
