"""Pod logs with timestamps, as the API server writes them, in; lines out. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from common.domain.cluster import LogLine

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)(?: |$)")


def rfc3339(seconds: int) -> str:
    """A Unix time in whole seconds, as ``sinceTime`` wants it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log_lines(body: bytes) -> list[LogLine]:
    """The lines of a log read with ``timestamps=true``. One that has no time of its own has that of the line before."""
    *whole, rest = body.decode("utf-8", "replace").split("\n")
    lines: list[LogLine] = []
    for text, complete in [*((text, True) for text in whole), *([(rest, False)] if rest else [])]:
        at, said = _split(text)
        if at is None:
            at = lines[-1].at if lines else 0
        lines.append(LogLine(at, said, complete))
    return lines


def _split(text: str) -> tuple[int | None, str]:
    stamp = _STAMP.match(text)
    if stamp is None:
        return None, text
    try:
        second = int(datetime.fromisoformat(stamp[1] + stamp[3]).timestamp())
    except ValueError:
        return None, text
    return second * 10**9 + int((stamp[2] or "").ljust(9, "0")), text[stamp.end() :]
