"""The tables of docs/metrics.md, from the code. ``python -m tests.support.metrics_page`` writes them into the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from common.domain.metrics import COSTS, MEASUREMENTS, TAGS, Measurement
from common.http.telemetry import PROSPECTS, QUEUE_ITEMS, SUBMISSIONS, Telemetry

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
READINGS = (SUBMISSIONS, QUEUE_ITEMS, PROSPECTS)
_ENDINGS = {"counter": "_total"}


def measurements() -> Iterable[str]:
    """The table of measurements."""
    yield "| measurement | fields | unit | what |"
    yield "|---|---|---|---|"
    for measurement in (*MEASUREMENTS, *COSTS):
        yield from _rows(measurement)


def _rows(measurement: Measurement) -> Iterable[str]:
    name, help = f"`{measurement.name}`", measurement.help
    for unit, fields in groupby(measurement.fields, key=lambda field: measurement.fields[field]):
        yield f"| {name} | {', '.join(f'`{field}`' for field in fields)} | {unit} | {help} |"
        name = help = ""


def tags() -> Iterable[str]:
    """The table of tags."""
    yield "| tag | what |"
    yield "|---|---|"
    for name, help in TAGS.items():
        yield f"| `{name}` | {help} |"


def told() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """What services tell Prometheus: kind, labels and meaning by name. Histograms without their endings."""
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for collector in vars(Telemetry("any", "1")).values():
        kind = getattr(collector, "_type", "")
        if kind:
            name = collector._name + _ENDINGS.get(kind, "")
            found[name] = (kind, tuple(collector._labelnames), collector._documentation)
    found["asperathos_build_info"] = ("gauge", ("service", "version"), "Version.")
    for reading in READINGS:
        found[reading.name] = ("gauge", ("service", reading.label), reading.help)
    return found


def prometheus() -> Iterable[str]:
    """The table of what services tell Prometheus."""
    yield "| metric | kind | labels | what |"
    yield "|---|---|---|---|"
    for name, (kind, labels, help) in told().items():
        yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {help} |"


def with_tables(page: str) -> str:
    """The page with its tables as the code has them. Raises ValueError when a table's place is missing."""
    for name, rows in _tables().items():
        pattern = re.compile(rf"(<!-- {name}: .*? -->\n)(?:\|.*\n)*")
        if not pattern.search(page):
            raise ValueError(f"docs/metrics.md has no place for the table of {name}")
        table = "".join(f"{row}\n" for row in rows)
        page = pattern.sub(lambda found, table=table: found[1] + table, page)  # type: ignore[misc]
    return page


def _tables() -> Mapping[str, Iterable[str]]:
    return {"measurements": measurements(), "tags": tags(), "prometheus": prometheus()}


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
