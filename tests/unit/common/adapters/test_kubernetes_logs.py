"""Logs with timestamps as API servers write them."""

from __future__ import annotations

from common.adapters.kubernetes_logs import log_lines, rfc3339
from common.domain.cluster import LogLine

SECOND = 1_700_000_000


def test_times_of_all_precisions_and_zones_are_nanoseconds() -> None:
    body = (
        b"2023-11-14T22:13:20.123456789Z nine\n"
        b"2023-11-14T22:13:20.123456Z six\n"
        b"2023-11-14T22:13:20Z none\n"
        b"2023-11-15T00:13:20.5+02:00 elsewhere\n"
    )
    assert log_lines(body) == [
        LogLine(SECOND * 10**9 + 123_456_789, "nine"),
        LogLine(SECOND * 10**9 + 123_456_000, "six"),
        LogLine(SECOND * 10**9, "none"),
        LogLine(SECOND * 10**9 + 500_000_000, "elsewhere"),
    ]


def test_an_unfinished_last_line_is_marked_and_an_empty_log_has_none() -> None:
    assert log_lines(b"2023-11-14T22:13:20Z 50 %") == [LogLine(SECOND * 10**9, "50 %", complete=False)]
    assert log_lines(b"") == []


def test_empty_lines_and_lines_without_a_time_are_kept() -> None:
    lines = log_lines(b"2023-11-14T22:13:20Z \n2023-11-14T22:13:20Z\nunable to read\n9999-99-99T99:99:99Z x\n\xff\n")
    assert [line.text for line in lines] == ["", "", "unable to read", "9999-99-99T99:99:99Z x", "\ufffd"]
    assert {line.at for line in lines} == {SECOND * 10**9}


def test_since_is_written_as_the_server_reads_it() -> None:
    assert rfc3339(SECOND) == "2023-11-14T22:13:20Z"
