"""docs/metrics.md and the code say the same."""

from __future__ import annotations

import re

import pytest

from common.domain.metrics import COSTS, MEASUREMENTS
from common.http.telemetry import Telemetry
from tests.fakes.clock import FakeClock
from tests.support.metrics_page import PAGE, READINGS, told, with_tables


def test_the_tables_are_what_the_code_says() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "python -m tests.support.metrics_page"


def test_every_measurement_and_field_is_in_the_page() -> None:
    page = PAGE.read_text()
    assert all(f"`{one.name}`" in page for one in (*MEASUREMENTS, *COSTS))
    assert all(f"`{field}`" in page for one in (*MEASUREMENTS, *COSTS) for field in one.fields)


def test_a_page_without_its_tables_is_noticed() -> None:
    with pytest.raises(ValueError, match="measurements"):
        with_tables("# Metrics\n")


def test_everything_that_is_told_is_in_the_table() -> None:
    telemetry = Telemetry("svc", "1")
    for reading in READINGS:
        telemetry.tell(reading, lambda: {"x": 1.0}, FakeClock())
    families = re.findall(r"^# TYPE (\S+) (\S+)$", telemetry.exposition().decode(), re.M)
    assert {(name, kind) for name, kind in families if not name.endswith("_created")} == {
        (name, kind) for name, (kind, _, _) in told().items()
    }
