"""Dashboards against the JSON Schemas made from Grafana's own types (tests/data/grafana)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

_SCHEMAS = Path(__file__).resolve().parent.parent / "data" / "grafana"
_OF_THE_DATASOURCE = ("query", "textColumn", "tagsColumn", "titleColumn", "timeEndColumn", "target")
"""Fields of an annotation that belong to InfluxDB's part of Grafana; the schema knows those of Grafana's own only."""


def faults(dashboard: dict[str, Any]) -> list[str]:
    """What is wrong with it: unknown fields, wrong types, unknown values; also in the panels' own options."""
    annotations = [
        {name: value for name, value in one.items() if name not in _OF_THE_DATASOURCE}
        for one in dashboard["annotations"]["list"]
    ]
    found = _against("dashboard", {**dashboard, "annotations": {"list": annotations}})
    for panel in dashboard["panels"]:
        for schema, part in (("options", panel["options"]), ("custom", panel["fieldConfig"]["defaults"].get("custom"))):
            name = f"{panel['type']}-{schema}"
            if part is not None:
                found += [f"panel {panel['title']}: {fault}" for fault in _against(name, part)]
    return found


def _against(name: str, part: object) -> list[str]:
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in _validator(name)(part)]


@functools.cache
def _validator(name: str) -> Any:
    schema = json.loads((_SCHEMAS / f"{name}.json").read_text())
    return jsonschema.Draft7Validator(schema).iter_errors
