"""What a terminal can show, and the keys pressed on it."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console

from cli.render import ASCII, BLOCKS, Glyphs


def is_live(console: Console, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what was shown can be drawn over: a terminal with a cursor that moves, and nobody's log."""
    return console.is_terminal and not console.is_dumb_terminal and not environment.get("CI")


def glyphs_of(console: Console) -> Glyphs:
    """What bars are made of there."""
    return BLOCKS if console.encoding.lower().replace("-", "").startswith("utf") else ASCII


class Keys:
    """The keys of a terminal; without one there are none."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def wait(self, seconds: float) -> str:
        """The next key, or '' after so many seconds."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(self._descriptor, 16).decode("utf-8", "replace")
        if not pressed:
            # The terminal has gone.
            self._descriptor = None
        return pressed[:1]


@contextmanager
def keys() -> Iterator[Keys]:
    """The keys of standard input, one by one and not shown, where it is a terminal."""
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
