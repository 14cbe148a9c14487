from __future__ import annotations

from common.domain.progress import Counts
from monitor.census import Census
from monitor.record import Monitoring
from tests.unit.monitor.builders import monitoring_request, observation
from tests.unit.monitor.conftest import Bench


def test_what_is_measured_is_added_up_and_what_has_ended_is_not(bench: Bench) -> None:
    kept = Monitoring(request=monitoring_request())
    for id, changes in {
        "kj-ahead": {"progress": 0.9, "counts": Counts(ready=3, leased=1, done=5)},
        "kj-late": {"counts": Counts(ready=4, delayed=2, dead=1)},
        "kj-free": {"deadline": None, "counts": Counts(ready=1)},
        "kj-over": {"counts": Counts(ready=100)},
    }.items():
        bench.observations.put(id, observation(1000.0, **changes))
        bench.records.create(id, kept.model_copy(update={"ended": id == "kj-over"}))
    bench.records.create("kj-new", kept)
    census = Census(bench.records, bench.observations)
    assert census.items_by_place() == {"ready": 8, "delayed": 2, "leased": 1, "done": 5, "dead": 1}
    assert census.by_prospect() == {"ahead": 1, "late": 1, "no deadline": 1}
