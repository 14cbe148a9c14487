"""Where a document goes: standard output, or a file that is there whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


def save(pieces: Iterable[bytes], target: Path | None) -> None:
    """Write the pieces as they come. None and ``-`` are standard output. Raises OSError, and what the pieces raise."""
    if target is None or str(target) == "-":
        stream = sys.stdout.buffer
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        return
    draft = target.with_name(f"{target.name}.part")
    try:
        with draft.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
