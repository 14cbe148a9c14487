"""What went wrong, told once: the manager's error lines grouped by what they say. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

Sort = Literal["dead", "attempt", "pod", "other"]
_DEAD = re.compile(r"item (?P<item>.+?) is dead: (?P<text>.*)", re.DOTALL)
_ATTEMPT = re.compile(r"item (?P<item>.+?), attempt \d+ on \S*: (?P<text>.*)", re.DOTALL)
_POD = re.compile(r"(?P<item>[a-z0-9-]+-g\d+-\d+-[a-z0-9]+): (?P<text>.*)", re.DOTALL)
_ORDER: dict[Sort, int] = {"dead": 0, "attempt": 1, "other": 2, "pod": 3}
_MOST = 50
_MOST_ITEMS = 5


class Trouble(BaseModel):
    """``count`` errors that say ``text``: of items that are ``dead``, of an ``attempt`` that failed, of a ``pod``, or
    ``other`` ones. ``items`` names some of the items, or pods."""

    model_config = ConfigDict(frozen=True)

    sort: Sort
    text: str
    count: int
    items: tuple[str, ...] = ()


@dataclass
class _Group:
    count: int = 0
    items: list[str] = field(default_factory=list)


def troubles_of(lines: Sequence[str]) -> tuple[Trouble, ...]:
    """The lines by what they say: dead items first, then attempts, what concerns the whole, and pods; of each the most
    frequent first, at most 50 in all."""
    groups: dict[tuple[Sort, str], _Group] = {}
    for line in lines:
        sort, item, text = _read(line)
        group = groups.setdefault((sort, text), _Group())
        group.count += 1
        if item and item not in group.items and len(group.items) < _MOST_ITEMS:
            group.items.append(item)
    ordered = sorted(groups.items(), key=lambda pair: (_ORDER[pair[0][0]], -pair[1].count))
    return tuple(
        Trouble(sort=sort, text=text, count=group.count, items=tuple(group.items))
        for (sort, text), group in ordered[:_MOST]
    )


def _read(line: str) -> tuple[Sort, str, str]:
    if found := _DEAD.fullmatch(line):
        return "dead", found["item"], found["text"]
    if found := _ATTEMPT.fullmatch(line):
        return "attempt", found["item"], found["text"]
    if found := _POD.fullmatch(line):
        return "pod", found["item"], found["text"]
    return "other", "", line
