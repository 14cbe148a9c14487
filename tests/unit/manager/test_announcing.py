"""How often the other services are asked whether they still know a submission."""

from __future__ import annotations

from typing import Any

from common.domain.progress import Observation
from common.domain.submission import Submission, SubmissionSpec
from common.http.contracts import VisualizingView
from manager.announcing import Announcer, AnnounceRules, Others
from manager.histories import Histories, PastRuns
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords
from tests.support.manager_stage import REPORT, SCALING, FakeRemote


class _Counting(FakeRemote):
    """Counts what it is asked."""

    asked = 0

    def get(self, path: str, model: type[Any]) -> Any:
        self.asked += 1
        return super().get(path, model)


def submissions(count: int) -> list[Submission]:
    spec = SubmissionSpec.model_validate({"command": ["work"], "workload": ["a"]})
    return [Submission(id=f"kj-{number:07x}", spec=spec, created_at=0.0, generation=1) for number in range(count)]


def asked_within(seconds: int, count: int) -> int:
    """How often the monitor is asked in that time of so many submissions, announced once a second."""
    clock = FakeClock()
    monitor = _Counting({"MonitoringView": REPORT})
    others = Others(
        monitor,
        FakeRemote({"ScalingView": SCALING}),
        FakeRemote({"VisualizingView": VisualizingView(url="http://see/it")}),
    )
    observations: MemoryRecords[Observation] = MemoryRecords(clock=clock)
    past: MemoryRecords[PastRuns] = MemoryRecords(clock=clock)
    histories = Histories(past, observations, clock, keep=1e6, most=3)
    announcer = Announcer(others, clock, "default", histories, AnnounceRules(check=15.0, check_rate=2.0))
    crowd = submissions(count)
    for _ in range(seconds):
        for each in crowd:
            announcer.announce(each)
        clock.advance(1.0)
    return monitor.asked


def test_few_are_asked_about_every_15_seconds() -> None:
    assert asked_within(61, 3) == 3 * 4


def test_many_are_asked_about_so_many_times_a_second_in_all() -> None:
    # The first ones were told when there were few, and are asked about sooner once.
    assert 120 <= asked_within(61, 120) <= 2 * 120
