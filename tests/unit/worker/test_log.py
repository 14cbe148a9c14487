from __future__ import annotations

import os

import pytest
from asperathos_worker.log import StreamLog, field_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain-1.2", "plain-1.2"),
        ("two words", '"two words"'),
        ("a\nb", '"a\\nb"'),
        ("", '""'),
        (1.25, "1.250"),
        (7, "7"),
    ],
)
def test_field_text(value: object, text: str) -> None:
    assert field_text(value) == text


def test_a_line_is_event_and_fields() -> None:
    reader, writer = os.pipe()
    try:
        StreamLog(writer).warning("item_failed", item="3", error="bad thing: x=1")
        line = os.read(reader, 1000).decode()
    finally:
        os.close(reader)
        os.close(writer)
    stamp, _, rest = line.partition(" ")
    assert stamp.endswith("Z")
    assert rest == 'warning item_failed item=3 error="bad thing: x=1"\n'


def test_a_log_that_cannot_be_written_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    StreamLog(writer).error("lost")
