"""Sets of completion indexes in Kubernetes' notation ("0-2,4"). Pure."""

from __future__ import annotations

from collections.abc import Iterable


def format_indexes(indexes: Iterable[int]) -> str:
    """The compressed notation: "1,3-5,7"; two neighbours are written "3,4", as the real controller does."""
    parts: list[str] = []
    ordered = sorted(set(indexes))
    position = 0
    while position < len(ordered):
        first = last = ordered[position]
        while position + 1 < len(ordered) and ordered[position + 1] == last + 1:
            position += 1
            last = ordered[position]
        if first == last:
            parts.append(str(first))
        elif last == first + 1:
            parts.append(f"{first},{last}")
        else:
            parts.append(f"{first}-{last}")
        position += 1
    return ",".join(parts)


def parse_indexes(text: str, limit: int) -> frozenset[int]:
    """The indexes below ``limit`` that the notation names; like the real controller, skips malformed parts."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            continue
        found.update(range(max(low, 0), min(high, limit - 1) + 1))
    return frozenset(found)
