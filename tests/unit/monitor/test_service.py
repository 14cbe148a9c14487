from __future__ import annotations

from typing import Any

import pytest

from common.domain.errors import BadRequest, Conflict, NotFound, Unavailable
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringRequest
from monitor.record import Monitoring
from tests.fakes.records import MemoryRecords
from tests.unit.monitor.builders import ID, monitoring_request
from tests.unit.monitor.conftest import Bench


def test_start_records_and_nudges(bench: Bench) -> None:
    bench.service.start(ID, monitoring_request())
    assert bench.service.view(ID).active
    assert bench.wakeups.sent == [("monitor", ID)]


def test_start_again_changes_nothing(bench: Bench) -> None:
    bench.service.start(ID, monitoring_request())
    bench.service.start(ID, monitoring_request())
    assert bench.records.writes == 1


def test_another_request_replaces_the_first_and_keeps_what_was_measured(bench: Bench) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request())
    bench.tick()
    bench.service.start(ID, monitoring_request(deadline=500.0))
    bench.tick()
    observation = bench.service.view(ID).observation
    assert observation is not None and observation.deadline == 500.0
    assert bench.kept.tally.measurements == 2


def test_a_request_of_an_earlier_revision_is_out_of_date(bench: Bench) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request(revision=2, deadline=500.0))
    bench.service.start(ID, monitoring_request(revision=1, deadline=100.0))
    bench.tick()
    observation = bench.service.view(ID).observation
    assert observation is not None and observation.deadline == 500.0


@pytest.mark.parametrize("ended", [False, True])
def test_what_was_stopped_is_not_started_anew(bench: Bench, ended: bool) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request())
    bench.service.stop(ID)
    if ended:
        bench.tick()
    bench.service.start(ID, monitoring_request())
    with pytest.raises(Conflict):
        bench.service.start(ID, monitoring_request(deadline=500.0))
    assert bench.kept.stop_at is not None


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (monitoring_request(plugin="itmes"), "plugin"),
        (monitoring_request(settings={"x": 1}), "plugin_info.settings.x"),
        (monitoring_request(queue=QueueAddress(submission="kj-other")), "plugin_info.queue.submission"),
        (monitoring_request(queue=QueueAddress(submission=ID, kind="dedicated")), "plugin_info.queue"),
    ],
)
def test_bad_requests_name_the_field_and_record_nothing(bench: Bench, request_: MonitoringRequest, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bench.service.start(ID, request_)
    assert [fault.field for fault in caught.value.faults] == [field]
    assert bench.records.ids() == []
    assert bench.wakeups.sent == []


def test_stop_is_idempotent_and_nudges_once(bench: Bench) -> None:
    bench.service.start(ID, monitoring_request())
    bench.service.stop(ID)
    bench.clock.advance(5)
    bench.service.stop(ID)
    assert bench.kept.stop_at == 1000.0
    assert len(bench.wakeups.sent) == 2


@pytest.mark.parametrize("method", ["stop", "view", "report"])
def test_unknown_ids_are_not_found_and_the_nearest_is_named(bench: Bench, method: str) -> None:
    bench.service.start(ID, monitoring_request())
    with pytest.raises(NotFound, match=f"did you mean {ID}"):
        getattr(bench.service, method)("kj-0000002")


class _ContendedRecords(MemoryRecords[Monitoring]):
    """Somebody else writes just before each of the first ``contention`` updates."""

    contention = 0

    def update(self, id: str, value: Monitoring, version: int, ttl: float | None = None) -> int:
        if self.contention:
            self.contention -= 1
            kept = self.get(id)
            assert kept is not None
            super().update(id, kept.value, kept.version)
        return super().update(id, value, version, ttl)


@pytest.mark.parametrize("change", ["stop", "start"])
@pytest.mark.parametrize(("contention", "gets_through"), [(3, True), (1000, False)])
def test_changes_hold_against_other_writers(change: str, contention: int, gets_through: bool) -> None:
    bench = Bench()
    records = _ContendedRecords(lambda kept: kept.active, bench.clock)
    bench.service._records = records
    bench.service.start(ID, monitoring_request())
    records.contention = contention
    calls: dict[str, Any] = {
        "stop": lambda: bench.service.stop(ID),
        "start": lambda: bench.service.start(ID, monitoring_request(deadline=500.0)),
    }
    if not gets_through:
        with pytest.raises(Conflict):
            calls[change]()
        return
    calls[change]()
    kept = records.get(ID)
    assert kept is not None
    assert kept.value.stop_at is not None or kept.value.request.plugin_info.deadline == 500.0


def test_reports_are_withheld_while_measuring(bench: Bench) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request())
    bench.tick()
    assert bench.service.report(ID) is None
    assert bench.service.detailed_report(ID, partial=False) is None
    partial = bench.service.detailed_report(ID, partial=True)
    assert partial is not None and list(partial) == ["12"]


def test_delete_waits_for_the_end_and_forgets_all(bench: Bench) -> None:
    bench.load()
    bench.service.start(ID, monitoring_request())
    with pytest.raises(Conflict):
        bench.service.delete(ID)
    bench.service.stop(ID)
    bench.tick()
    bench.service.delete(ID)
    bench.service.delete(ID)
    assert bench.records.ids() == bench.observations.ids() == []
    assert bench.metrics.ttls[ID] == 0.0


def test_an_outage_is_told(bench: Bench) -> None:
    bench.records.down = True
    with pytest.raises(Unavailable):
        bench.service.start(ID, monitoring_request())
    with pytest.raises(Unavailable):
        bench.service.stop(ID)
