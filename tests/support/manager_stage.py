"""The manager's loop with its whole world in memory, on one clock; and workers to play."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from asperathos_worker.queue.api import QueueUnavailable, ServiceQueue
from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import Ack, Verdict
from pydantic import BaseModel

from common.domain.cluster import QUEUE_ROLE, ROLE_LABEL
from common.domain.errors import AsperathosError, NotFound, Unavailable
from common.domain.events import EVENTS, Event
from common.domain.progress import Counts, Observation
from common.domain.queues import QueueAddress
from common.domain.states import Intent
from common.domain.submission import Submission, SubmissionSpec, Workload
from common.http.contracts import MonitoringReport, ScalingView, VisualizingView
from manager.announcing import Announcer, Others
from manager.book import Book
from manager.histories import Histories, PastRuns
from manager.inline import InlineItems, parted
from manager.keyring import Keyring
from manager.launching import Launcher
from manager.loading import Loader
from manager.logkeeping import LogKeeper
from manager.loop import LoopRules, ManagerLoop, Tools
from manager.manifests import ManifestSettings
from manager.orphans import Orphans
from tests.fakes.access import MemoryAccess
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.clusters import FakeClusters
from tests.fakes.queues import MemoryQueues
from tests.fakes.records import MemoryJournal, MemoryLeases, MemoryMetrics, MemoryRecords, MemoryTexts

ID = "kj-0000001"

REPORT = MonitoringReport(
    counts=Counts(total=3, done=3), execution_time=9.0, replica_seconds=12.5, peak_replicas=2, final_replicas=1
)
SCALING = ScalingView(active=True, law="deadline", desired=2, requested=2, reason="", scalings=4, peak=3)


@dataclass
class FakeRemote:
    """Implements manager.announcing.Remote: knows what was posted, and refuses or is away on request."""

    answers: dict[str, BaseModel] = field(default_factory=dict)
    posted: list[tuple[str, BaseModel]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    down: bool = False
    refusal: AsperathosError | None = None

    def post(self, path: str, body: BaseModel) -> Any:
        self._check()
        if self.refusal is not None:
            raise self.refusal
        self.posted.append((path, body))

    def put(self, path: str) -> Any:
        self._check()
        self.stopped.append(path)

    def delete(self, path: str) -> Any:
        self._check()
        self.deleted.append(path)

    def get(self, path: str, model: type[Any]) -> Any:
        self._check()
        known = any(path.startswith(posted) for posted, _ in self.posted)
        answer = self.answers.get(model.__name__)
        if not known or answer is None:
            raise NotFound(f"{path} is not known")
        return answer

    def forget(self) -> None:
        self.posted.clear()

    def _check(self) -> None:
        if self.down:
            raise Unavailable("it does not answer: the test says so")


class StageQueues(MemoryQueues):
    """A dedicated queue answers while its pod runs, and goes with the pod."""

    def __init__(self, cluster: FakeCluster, factory: Callable[[str], ServiceQueue]) -> None:
        super().__init__(factory)
        self._cluster = cluster

    def at(self, address: QueueAddress) -> ServiceQueue:
        if address.kind == "shared":
            return super().at(address)
        pods = [pod for pod in self._cluster.pods.values() if pod.labels.get(ROLE_LABEL) == QUEUE_ROLE]
        running = [pod.name for pod in pods if pod.phase == "Running" and not pod.deleting]
        if not running:
            raise QueueUnavailable("connection refused: the test says so")
        return self.made.setdefault(("dedicated", running[0]), self._factory(address.submission))


class Stage:
    """One manager and one submission at a time. ``open_items`` may be replaced to have other workloads."""

    def __init__(self, rules: LoopRules | None = None, auto_start: bool = True, lingering: bool = False) -> None:
        self.clock = FakeClock()
        self.records: MemoryRecords[Submission] = MemoryRecords(lambda _: True, self.clock)
        self.journal = MemoryJournal(clock=self.clock)
        self.texts = MemoryTexts(clock=self.clock)
        self.metrics = MemoryMetrics(self.clock)
        self.cluster = FakeCluster(self.clock, auto_start=auto_start, lingering=lingering)
        self.clusters = FakeClusters(self.cluster)
        self.queues = StageQueues(self.cluster, lambda _: MemoryQueue(self.clock.now))
        self.access = MemoryAccess()
        self.access_offered = True
        self.leases = MemoryLeases(self.clock)
        self.monitor = FakeRemote({"MonitoringReport": REPORT, "MonitoringView": REPORT})
        self.controller = FakeRemote({"ScalingView": SCALING})
        self.visualizer = FakeRemote({"VisualizingView": VisualizingView(url="http://see/it")})
        self.observations: MemoryRecords[Observation] = MemoryRecords(clock=self.clock)
        self.past: MemoryRecords[PastRuns] = MemoryRecords(clock=self.clock)
        self.histories = Histories(self.past, self.observations, self.clock, keep=90 * 86400.0, most=3)
        self.opened = 0
        self.open_items: Callable[[Workload | None], Iterator[str]] = self._inline
        self.rules = rules or LoopRules()
        self.manifests = ManifestSettings(installation="0123456789abcdef")
        self.restart()

    def _inline(self, workload: Workload | None) -> Iterator[str]:
        self.opened += 1
        return iter(workload.items or () if workload is not None else ())

    def restart(self) -> None:
        """A new manager process: what the old one remembered is lost."""
        others = Others(self.monitor, self.controller, self.visualizer)
        self.loop = ManagerLoop(
            Tools(
                book=Book(self.records, self.journal, self.clock),
                queues=self.queues,
                launcher=Launcher(self.clusters, self.manifests, lambda id: f"token of {id}"),
                keyring=Keyring(self.access if self.access_offered else None),
                histories=self.histories,
                announcer=Announcer(others, self.clock, "default", self.histories),
                loader=Loader(
                    lambda workload: self.open_items(workload),
                    self.clock,
                    batch=10,
                    workload_of=InlineItems(self.records).workload,
                ),
                logs=LogKeeper(self.clusters, self.texts),
                texts=self.texts,
                metrics=self.metrics,
                leases=self.leases,
                clock=self.clock,
                orphans=self.orphans(),
                archive=self._archive,
            ),
            self.rules,
        )

    def orphans(self) -> Orphans:
        """What removes objects without a record."""
        return Orphans(
            self.clusters,
            "default",
            self.manifests.installation,
            lambda id: self.records.get(id) is not None,
            Keyring(self.access if self.access_offered else None),
            self.clock,
        )

    def _archive(self, id: str) -> MemoryQueue:
        queue = self.queues.at(QueueAddress(submission=id))
        assert isinstance(queue, MemoryQueue)
        return queue

    def submit(self, **document: Any) -> Submission:
        """Record a submission, as the API does."""
        document = {"command": ["work"], "workload": ["a", "b", "c"], **document}
        if document["workload"] is None:
            del document["workload"]
        submission = Submission(id=ID, spec=SubmissionSpec.model_validate(document), created_at=self.clock.now())
        record, items = parted(submission)
        self.records.create(ID, record, items)
        return record

    def intend(self, intent: Intent) -> None:
        """The user asks for the end."""
        kept = self.records.get(ID)
        assert kept is not None
        self.records.update(ID, kept.value.model_copy(update={"intent": intent}), kept.version)

    @property
    def now(self) -> Submission:
        """The record."""
        kept = self.records.get(ID)
        assert kept is not None
        return kept.value

    @property
    def queue(self) -> MemoryQueue:
        """The queue the record points to."""
        queue = self.queues.at(self.now.queue)
        assert isinstance(queue, MemoryQueue)
        return queue

    def step(self) -> float:
        """One step of the loop."""
        return self.loop.step(ID)

    def run(self, seconds: float) -> None:
        """Steps, as the loop would take them, until that much time has passed or the record is gone."""
        end = self.clock.now() + seconds
        while self.clock.now() < end and self.records.get(ID) is not None:
            self.clock.advance(min(max(0.01, self.step()), max(0.01, end - self.clock.now())))

    def step_through(self, seconds: float) -> None:
        """Like ``run``, but steps may fail: then the loop would wait half a second."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            try:
                wait = self.step()
            except AsperathosError:
                wait = 0.5
            self.clock.advance(max(0.01, min(wait, 1.0)))

    def work(self, items: int = 1000, failing: bool = False) -> int:
        """Every running pod works off items, those that are told to exit do; returns how many items were settled."""
        settled = 0
        for pod in self.cluster.running(ID):
            if pod.index < 0:
                continue
            while settled < items:
                taken = self.queue.take(pod.name, pod.index)
                if taken.verdict is not Verdict.ITEMS:
                    break
                lease = taken.leases[0]
                if failing:
                    self.queue.fail(pod.name, lease, f"cannot do {lease.payload}", permanent=True)
                else:
                    acked = self.queue.finish_and_take(
                        pod.name, pod.index, [Ack(lease.id, lease.attempt, lease.payload.upper())], 0
                    )
                    assert acked.accepted == (True,)
                settled += 1
            if self.queue.take(pod.name, pod.index, 0).verdict in (Verdict.OVER, Verdict.STOPPED):
                self.cluster.finish(pod, 0, log=f"{pod.name} is done")
        return settled

    def told(self) -> list[str]:
        """The story so far."""
        return [event.message for event in self.journal.read(EVENTS, ID, Event)]
