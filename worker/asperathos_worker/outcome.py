"""What became of one attempt, and how a handler's return value becomes the text that is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Union

ERROR_LIMIT = 4000
"""Longest error kept, in characters."""


@dataclass(frozen=True)
class Done:
    """The attempt succeeded; ``result`` is kept."""

    result: str


@dataclass(frozen=True)
class Failed:
    """The attempt failed. ``permanent``: another attempt is pointless."""

    error: str
    permanent: bool = False


@dataclass(frozen=True)
class Unfinished:
    """The attempt was cut short through no fault of the item: it goes back unharmed."""


Outcome = Union[Done, Failed, Unfinished]


def tail(text: str, limit: int = ERROR_LIMIT) -> str:
    """The last ``limit`` characters, marked when something was cut off."""
    return text if len(text) <= limit else "..." + text[3 - limit :]


def too_large(size: int, limit: int, at_least: bool = False) -> Failed:
    """The verdict on a result over the limit; ``at_least``: more would have come."""
    return Failed(
        f"result of {size} bytes{' or more' if at_least else ''} is over the limit of {limit}: store it elsewhere "
        "(a file, an object store) and return its address, or raise ASPERATHOS_RESULT_LIMIT",
        permanent=True,
    )


def outcome_of(value: object, limit: int) -> Outcome:
    """Turn what a handler returned into an outcome.

    Text is kept as it is, None as the empty text, anything else as JSON. What cannot be kept is a permanent
    failure, since the same handler would return it again.
    """
    if value is None:
        return Done("")
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            problem = f"{type(value).__name__} result cannot be kept: {error}"
            return Failed(tail(f"{problem}; return text, None or what JSON can hold"), permanent=True)
    if len(text) * 4 > limit or not text.isascii():
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            return Failed(f"result is not valid Unicode text: {error.reason} at {error.start}", permanent=True)
        if size > limit:
            return too_large(size, limit)
    return Done(text)
