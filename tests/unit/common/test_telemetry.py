from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.domain.errors import Unavailable
from common.http.telemetry import Reading, Telemetry
from tests.fakes.clock import FakeClock

READING = Reading("asperathos_things", "Things.", "kind")


class _Things:
    def __init__(self) -> None:
        self.asked = 0
        self.found: Mapping[str, float] = {"one": 1.0, "two": 2.0}
        self.error: Exception | None = None

    def __call__(self) -> Mapping[str, float]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def things() -> _Things:
    return _Things()


@pytest.fixture
def telemetry(clock: FakeClock, things: _Things) -> Telemetry:
    made = Telemetry("svc", "1")
    made.tell(READING, things, clock)
    return made


def samples(telemetry: Telemetry, name: str) -> dict[str, float]:
    families = text_string_to_metric_families(telemetry.exposition().decode())
    return {
        ",".join(value for label, value in sorted(sample.labels.items()) if label != "service"): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_a_reading_is_looked_up_when_asked_and_serves_for_a_while(
    telemetry: Telemetry, clock: FakeClock, things: _Things
) -> None:
    assert things.asked == 0
    for _ in range(3):
        assert samples(telemetry, READING.name) == {"one": 1.0, "two": 2.0}
    assert things.asked == 1
    things.found = {"one": 4.0}
    clock.advance(6.0)
    assert samples(telemetry, READING.name) == {"one": 4.0}


def test_what_cannot_be_read_is_not_told_as_nothing(telemetry: Telemetry, things: _Things) -> None:
    things.error = Unavailable("Redis is away")
    text = telemetry.exposition().decode()
    assert READING.name not in text
    assert "asperathos_build_info" in text
    things.error = None
    assert samples(telemetry, READING.name) == {"one": 1.0, "two": 2.0}


def test_lost_connections_are_counted_by_what_they_led_to(telemetry: Telemetry) -> None:
    lost = telemetry.reconnected("redis")
    telemetry.reconnected("kubernetes")()
    lost()
    lost()
    assert samples(telemetry, "asperathos_reconnects_total") == {"redis": 2.0, "kubernetes": 1.0}
