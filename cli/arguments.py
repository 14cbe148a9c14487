"""Arguments that many commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def submission_id(command: F) -> F:
    """Adds ID, the id of one submission."""
    return click.argument("id", callback=lambda _context, _parameter, value: checked_id(value))(command)


def checked_id(value: str) -> str:
    """The id. Raises BadParameter for what cannot be one."""
    if not _ID.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is no submission's id; 'asperathos list' shows them")
    return value
