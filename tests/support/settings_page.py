"""What docs/settings.md has to say. ``python -m tests.support.settings_page > docs/settings.md`` writes it anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from common.settings import CommonSettings

SERVICES = ("manager", "controller", "monitor", "visualizer")
PLACES = {"runner_archive": "share/asperathos/runner.pyz of the environment"}
"""Defaults that depend on where the suite is installed."""
INTRODUCTION = """\
# Settings

Every setting of the four services is an environment variable; `python -m manager --settings` (or another service)
lists them too. JSON where a value is a list or an object; durations in seconds. A wrong value is told by name, and the
service does not start (exit code 64). A test holds this page against the code.

The settings of the [local cluster](localcluster.md) begin with `ASPERATHOS_LOCALCLUSTER_`; what workers find in their
environment is in [items over HTTP](http-protocol.md). `asperathos` itself knows `ASPERATHOS_MANAGER_URL` (which manager
to ask), `ASPERATHOS_TOKEN` (what to show it), `ASPERATHOS_CA` (whose certificate to trust) and `ASPERATHOS_HOME` (where
`asperathos up` keeps its state).
"""


def sections() -> dict[str, Mapping[str, FieldInfo]]:
    """The settings of each part of the page, by its heading."""
    common = CommonSettings.model_fields
    found: dict[str, Mapping[str, FieldInfo]] = {"All services": common}
    for service in SERVICES:
        fields = import_module(f"{service}.settings").Settings.model_fields
        found[service.capitalize()] = {name: field for name, field in fields.items() if name not in common}
    return found


def rows(fields: Mapping[str, FieldInfo]) -> list[str]:
    """A table's rows."""
    return [_row(name, field) for name, field in fields.items()]


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for heading, fields in sections().items():
        table = ["| variable | default | meaning |", "|---|---|---|", *rows(fields)] if fields else ["None of its own."]
        parts.append("\n".join([f"## {heading}", *table, ""]))
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    default = PLACES.get(name) or _shown(field.get_default(call_default_factory=True))
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `ASPERATHOS_{name.upper()}` | {default} | {meaning} |"


def _shown(value: Any) -> str:
    """As one would write it in the environment; none for what is empty."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    value = to_jsonable_python(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if text not in ("", "null", "[]", "{}") else "none"


if __name__ == "__main__":
    sys.stdout.write(render())
