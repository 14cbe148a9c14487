"""The runner as one file (``make runner``), which every pod of a ``run:`` submission finds in a ConfigMap."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 1 << 20
"""Bytes a ConfigMap may hold."""


class NoArchive(Exception):
    """There is no archive that could be used; the message says why."""


@dataclass(frozen=True)
class RunnerArchive:
    """The archive's bytes."""

    content: bytes = field(repr=False)


def read_archive(path: Path) -> RunnerArchive:
    """The archive in that file. Raises NoArchive when it is not there, no zip archive, or too large for a ConfigMap."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NoArchive(f"{path} cannot be read ({error.strerror or error}): make runner builds it") from error
    if len(content) > LARGEST:
        raise NoArchive(f"{path} has {len(content)} bytes, and a ConfigMap holds {LARGEST}")
    if not zipfile.is_zipfile(path):
        raise NoArchive(f"{path} is no zip archive: make runner builds it")
    return RunnerArchive(content)
