"""docs/openapi: what each service says of itself at /openapi.json. ``make openapi`` writes it again."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from common.http.openapi import Table
from common.http.openapi_route import text_of

SERVICES = ("manager", "controller", "monitor", "visualizer")
DIRECTORY = Path(__file__).parents[2] / "docs" / "openapi"


def table_of(service: str) -> Table:
    """The table of a service's routes."""
    found: Table = import_module(f"{service}.routes").TABLE
    return found


def document_of(service: str) -> str:
    """A service's document as it is served."""
    return text_of(table_of(service), version("asperathos"))


if __name__ == "__main__":
    for name in SERVICES:
        (DIRECTORY / f"{name}.json").write_text(document_of(name))
