"""Command templates: ``measure.py --fast {item}`` becomes an argument list, without a shell.

The template is split into arguments as a POSIX shell would split it (quotes and backslashes; no variables, globs,
pipes or redirections). Then, inside each argument, ``{item}``, ``{id}`` and ``{attempt}`` are replaced verbatim, and
``{{`` and ``}}`` stand for braces. Whatever the item holds, it never becomes more than the part of the argument
where it was asked for.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from .errors import BadTemplate

NAMES = ("item", "id", "attempt")

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_]*)\}|[{}]")

Piece = Tuple[str, bool]
"""Text, and whether it is the name of a placeholder."""


@dataclass(frozen=True)
class Template:
    """A parsed template: each argument as a sequence of pieces."""

    arguments: Tuple[Tuple[Piece, ...], ...]

    def fill(self, values: Mapping[str, str]) -> Tuple[str, ...]:
        """The argument list for one item; ``values`` has an entry for each of NAMES."""
        return tuple(
            "".join(values[text] if is_name else text for text, is_name in argument) for argument in self.arguments
        )

    def uses(self, name: str) -> bool:
        """Whether the placeholder occurs."""
        return any(piece == (name, True) for argument in self.arguments for piece in argument)

    def mentions(self, text: str) -> bool:
        """Whether the text occurs literally in an argument, such as a variable in a script for ``sh -c``."""
        return any(text in piece for argument in self.arguments for piece, is_name in argument if not is_name)

    @property
    def command(self) -> Optional[str]:
        """The program to be run; None when that depends on the item."""
        first = self.arguments[0]
        return None if any(is_name for _, is_name in first) else "".join(text for text, _ in first)


def parse_template(text: str) -> Template:
    """Parse a template. Raises BadTemplate saying what is wrong and how to write it instead."""
    if "\0" in text:
        raise BadTemplate("the command holds a NUL character")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadTemplate(f"the command cannot be split into arguments: {error}") from error
    if not words or not words[0]:
        raise BadTemplate("the command is empty")
    return Template(tuple(_pieces(word) for word in words))


def _pieces(word: str) -> Tuple[Piece, ...]:
    pieces = []
    literal = ""
    end = 0
    for match in _TOKEN.finditer(word):
        literal += word[end : match.start()]
        end = match.end()
        token = match.group()
        if token in ("{{", "}}"):
            literal += token[0]
        elif match.group(1) in NAMES:
            if literal:
                pieces.append((literal, False))
                literal = ""
            pieces.append((match.group(1), True))
        else:
            known = ", ".join("{" + name + "}" for name in NAMES)
            written = "".join(char * 2 if char in "{}" else char for char in token)
            raise BadTemplate(f"{token!r} in {word!r} is none of {known}; write {written} for the text {token}")
    literal += word[end:]
    if literal or not pieces:
        pieces.append((literal, False))
    return tuple(pieces)
