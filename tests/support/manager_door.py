"""The manager's door with its whole world in memory: service, reports and app on one clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asperathos_worker.queue.memory_queue import MemoryQueue
from flask import Flask

from common.adapters.sealing import Seals
from common.domain.clusters import ClusterRecord
from common.domain.errors import AsperathosError, NotFound
from common.domain.forecast import Forecast
from common.domain.outbound import Outbound
from common.domain.progress import Observation
from common.domain.states import State
from common.domain.submission import Submission
from common.http.app import AppSettings, create_app
from common.http.contracts import ForecastAnswer, ForecastRequest, LawRequest
from common.http.telemetry import Telemetry
from common.plugins import PluginInfo
from manager.admission import Admission
from manager.api import register
from manager.clusters import ClusterRegistry, ClusterStores
from manager.histories import Histories
from manager.line import Line, Standing
from manager.outlook import Outlook, Policy
from manager.quotas import Held, Quotas
from manager.reports import Reports
from manager.service import ManagerService, Stores, new_id
from manager.workload import Source, open_items
from tests.fakes.claims import MemoryClaims
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters
from tests.fakes.queues import MemoryQueues
from tests.fakes.records import MemoryBoard, MemoryJournal, MemoryRecords, MemoryTexts, MemoryWakeups

COMPAT = Path(__file__).parent.parent / "data" / "compat"
NATIVE: dict[str, Any] = {"run": "cat {item}", "workload": ["a", "b"], "deadline": "10m"}
MONITORS = (PluginInfo("monitor", "items", "monitor.monitors:items", "asperathos", "0", True),)


@dataclass(frozen=True)
class DoorSettings:
    """Implements manager.workload.WorkloadSettings."""

    allow_local_files: bool = True
    local_directories: tuple[str, ...] = ()
    workload_schemes: tuple[str, ...] = ("http", "https", "file", "local", "memory", "s3")
    outbound: Outbound = Outbound()  # noqa: RUF009 - frozen
    max_workload: int = 2**30
    max_item: int = 1000
    workload_connect_timeout: float = 2.0
    workload_read_timeout: float = 2.0
    workload_proxy: str = ""
    workload_ca: str = ""


@dataclass
class FakeLaws:
    """Implements manager.admission.Laws: says what it was told to say."""

    answer: AsperathosError | None = None
    asked: list[LawRequest] = field(default_factory=list)

    def validate(self, request: LawRequest) -> None:
        self.asked.append(request)
        if self.answer is not None:
            raise self.answer


@dataclass
class FakeForeseer:
    """Implements manager.outlook.Foreseer: foresees what it was told to."""

    foreseen: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    failure: AsperathosError | None = None
    asked: list[ForecastRequest] = field(default_factory=list)

    def forecast(self, request: ForecastRequest) -> ForecastAnswer:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        told = Forecast(**{"at": 0.0, "p50": 60.0, "chance": 0.95, "reason": "as told", **self.expected})
        return ForecastAnswer(**{"forecast": told, "law": request.law, "wanted": 2, "granted": 2, **self.foreseen})


@dataclass
class FakeDetailed:
    """Implements manager.reports.DetailedReports."""

    series: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, bool, int | None]] = field(default_factory=list)
    measured: set[str] = field(default_factory=set)
    """Submissions that are measured still: of them there is word of that, unless a part is enough."""

    def detailed(self, id: str, partial: bool = False, rows: int | None = None) -> Any:
        self.asked.append((id, partial, rows))
        if id not in self.series:
            raise NotFound(f"{id} was never measured")
        if id in self.measured and not partial:
            return {"message": "Job is running yet!"}
        return self.series[id]


class Door:
    """A manager without its loop."""

    def __init__(self, make_id: Callable[[], str] = new_id, cors_origin: str = "", policy: Policy = "warn") -> None:
        self.clock = FakeClock()
        self.records: MemoryRecords[Submission] = MemoryRecords(clock=self.clock)
        self.observations: MemoryRecords[Observation] = MemoryRecords(clock=self.clock)
        self.journal = MemoryJournal(clock=self.clock)
        self.texts = MemoryTexts(clock=self.clock)
        self.queues = MemoryQueues(lambda _: MemoryQueue(self.clock.now))
        self.cluster = FakeCluster(self.clock)
        self.clusters = FakeClusters(self.cluster)
        self.cluster_records: MemoryRecords[ClusterRecord] = MemoryRecords(clock=self.clock)
        self.wakeups = MemoryWakeups(self.clock)
        self.claims = MemoryClaims(self.clock)
        self.laws = FakeLaws()
        self.detailed = FakeDetailed()
        self.sources: Mapping[str, Source] = {}
        stores = Stores(
            records=self.records,
            observations=self.observations,
            journal=self.journal,
            texts=self.texts,
            queues=self.queues,
            clusters=self.clusters,
            wakeups=self.wakeups,
            claims=self.claims,
            clock=self.clock,
        )
        admission = Admission(DoorSettings(), self.laws, MONITORS, lambda: self.sources)
        self.registry = ClusterRegistry(
            ClusterStores(
                clusters=self.cluster_records,
                active=MemoryRecords(clock=self.clock),
                submissions=self.records,
                connections=self.clusters,
                sealing=Seals("a key of the test"),
                clock=self.clock,
            ),
            "default",
        )
        self.foreseer = FakeForeseer()
        self.histories = Histories(
            MemoryRecords(clock=self.clock), self.observations, self.clock, keep=90 * 86400.0, most=100
        )
        self.outlook = Outlook(
            self.foreseer,
            self.histories,
            lambda workload: open_items(workload, DoorSettings(), lambda: self.sources),
            self.clock,
            policy,
        )
        self.held: MemoryBoard[Held] = MemoryBoard(self.clock)
        self.quotas = Quotas(self.held, self.records)
        self.standing: MemoryRecords[Standing] = MemoryRecords(clock=self.clock)
        self.line = Line(self.records, self.standing, stores.wakeups, self.clock)
        self.service = ManagerService(
            stores, admission, self.registry, self.outlook, self.quotas, self.line, make_id=make_id
        )
        self.reports = Reports(stores, self.service, self.detailed, "default")
        self.app: Flask = create_app(AppSettings("manager", 1 << 20, "1"), Telemetry("manager", "1"))
        register(
            self.app, self.service, self.reports, self.registry, self.histories, DoorSettings().max_item, cors_origin
        )
        self.client = self.app.test_client()

    def submit(self, document: Any = None, **headers: str) -> str:
        """POST a document that must be accepted; its id."""
        answer = self.client.post("/submissions", json=NATIVE if document is None else document, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["job_id"])

    def change(self, id: str, **fields: Any) -> Submission:
        """Play the loop: write fields of the record."""
        present = self.records.get(id)
        assert present is not None
        changed = present.value.model_copy(update=fields)
        self.records.update(id, changed, present.version)
        return changed

    def end(self, id: str, state: State = State.COMPLETED, **fields: Any) -> Submission:
        """Play the loop: it has ended."""
        return self.change(id, state=state, finished_at=self.clock.now(), **fields)

    def record(self, id: str) -> Submission:
        """The record as it is."""
        present = self.records.get(id)
        assert present is not None
        return present.value

    def is_untouched(self) -> bool:
        """Whether nothing was ever created: no record, no claim, no nudge, no queue."""
        return not self.records.writes and not self.claims.taken and not self.wakeups.sent and not self.queues.made


def payload(number: int, workload: str, **info: Any) -> dict[str, Any]:
    """One of the original's payloads with a workload that is there, and changed fields of its plugin_info."""
    document: dict[str, Any] = json.loads((COMPAT / f"payload{number}.json").read_text())
    document["plugin_info"].update(redis_workload=workload, **info)
    return document
