"""A submission file as it is sent: parsed only as far as its relative paths need it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


class BadDocument(Exception):
    """The file cannot be read or is neither JSON nor YAML."""


def load_document(text: str, origin: Path | None) -> Any:
    """The document in ``text``, YAML or JSON. Relative paths in it count from ``origin`` (the file's directory).

    Raises BadDocument.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadDocument(f"not YAML or JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadDocument("the document must be a mapping with fields such as run and workload")
    return document if origin is None or "plugin_info" in document else resolve_paths(document, origin.resolve())


def resolve_paths(document: dict[str, Any], origin: Path) -> dict[str, Any]:
    """Make ``working_dir``, ``workload.glob`` and path-like ``workload.url`` absolute."""
    resolved = dict(document)
    if isinstance(resolved.get("working_dir"), str):
        resolved["working_dir"] = str((origin / resolved["working_dir"]).resolve())
    workload = resolved.get("workload")
    if isinstance(workload, str):
        resolved["workload"] = _resolve_url(workload, origin)
    elif isinstance(workload, dict):
        workload = dict(workload)
        if isinstance(workload.get("url"), str):
            workload["url"] = _resolve_url(workload["url"], origin)
        if isinstance(workload.get("glob"), str) and "://" not in workload["glob"]:
            workload["glob"] = str(origin / workload["glob"])
        resolved["workload"] = workload
    return resolved


def _resolve_url(url: str, origin: Path) -> str:
    return url if "://" in url else (origin / url).resolve().as_uri()


def encode(document: Any) -> bytes:
    """The document as the JSON body to POST. Raises BadDocument for what JSON cannot say (dates, NaN)."""
    try:
        return json.dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BadDocument(f"holds a value JSON cannot carry ({error}); put it in quotes") from error
