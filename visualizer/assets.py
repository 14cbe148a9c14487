"""The pages' own files, read once at start: no path of a request ever touches the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """A file's content, its content type, and the ETag that spares sending it again."""

    content: bytes
    mimetype: str
    etag: str


def load_assets(directory: Path) -> dict[str, Asset]:
    """All files of a directory by name."""
    return {path.name: _asset(path) for path in sorted(directory.iterdir()) if path.suffix in _TYPES}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:32])
