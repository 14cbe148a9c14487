"""The items of a submission as CSV, one row each. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from asperathos_worker.queue.records import ItemLine

COLUMNS = (
    "id",
    "state",
    "attempts",
    "failures",
    "worker",
    "began",
    "ended",
    "wait_seconds",
    "service_seconds",
    "error",
)
_ROWS_A_CHUNK = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(lines: Iterable[ItemLine], accepted_at: float | None) -> Iterator[str]:
    """The table in chunks of text, its heading first. What is not known is empty.

    ``accepted_at`` (Unix s) is when the items of a batch began to wait; None: not told (a stream). A text that a
    spreadsheet would take for a formula gets an apostrophe before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for number, line in enumerate(lines, 1):
        writer.writerow(_cells(line, accepted_at))
        if number % _ROWS_A_CHUNK == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cells(line: ItemLine, accepted_at: float | None) -> tuple[object, ...]:
    began, ended = line.started or None, line.ended or None
    waited = None if began is None or accepted_at is None else max(0.0, began - accepted_at)
    took = None if began is None or ended is None else max(0.0, ended - began)
    return (
        _text(line.id),
        line.place,
        line.attempt,
        line.failures,
        _text(line.worker),
        _moment(began),
        _moment(ended),
        _seconds(waited),
        _seconds(took),
        _text(line.error),
    )


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _moment(at: float | None) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
