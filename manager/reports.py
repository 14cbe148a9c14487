"""What a submission leaves to read: logs, report, errors, results, items, events. Readable while it runs and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from asperathos_worker.queue.api import QueueMissing, ServiceQueue
from asperathos_worker.queue.records import ItemFailure, ItemResult

from common.domain.cluster import PodView
from common.domain.errors import ClusterError, NotFound, Unavailable
from common.domain.events import EVENTS, Event
from common.domain.states import State
from common.domain.submission import Submission
from common.logging import get_logger
from manager.book import as_told
from manager.following import Following, FollowRules, LogFollower, Wanted
from manager.lifecycle import exists_in_cluster
from manager.reporting.gathering import DetailedReports, ReportMaker
from manager.service import ManagerService, Stores, reachable

log = get_logger(__name__)
RUNNING = {"message": "Job is running yet!"}
_MOST_FAILURES = 1000
_MOST_EVENTS = 1000
_MOST_LIVE_PODS = 100
_STREAM_PAGE = 1000


@dataclass(frozen=True)
class ResultPage:
    """``more``: there are results after these by now."""

    results: tuple[ItemResult, ...]
    cursor: int
    more: bool


class Reports:
    """``namespace`` is where submissions that name none run; ``made`` makes whole reports of what is kept."""

    def __init__(
        self,
        stores: Stores,
        service: ManagerService,
        detailed: DetailedReports,
        namespace: str,
        following: FollowRules | None = None,
    ) -> None:
        self._stores = stores
        self._service = service
        self._detailed = detailed
        self.made = ReportMaker(stores, service, detailed)
        self._namespace = namespace
        self._follower = LogFollower(stores.clusters, stores.texts, stores.clock, self._record, following)

    def log(self, id: str, pod: str | None = None, tail: int | None = None) -> dict[str, Any]:
        """The original's three texts, and ``pods``: the log of each pod by name, of each the last ``tail`` lines.

        Raises NotFound.

        Kubernetes keeps one stream a container, so what a program wrote to standard error is in ``stdout``.
        """
        submission = self._service.find(id).value
        pods = self._pod_logs(submission)
        if pod is not None:
            if pod not in pods:
                raise NotFound(f"{id} has no log of a pod {pod[:80]!r}")
            pods = {pod: pods[pod]}
        if tail is not None:
            pods = {name: _last_lines(text, tail) for name, text in pods.items()}
        story = [f"{_moment(event.at)} {event.kind}: {event.message}" for event in self._events(id)]
        return {
            "execution": "\n".join(story),
            "stderr": "",
            "stdout": "\n".join(f"==> {name} <==\n{text.rstrip()}" for name, text in pods.items()),
            "pods": pods,
        }

    def follow(self, id: str, pod: str | None = None, tail: int | None = None) -> Following:
        """The logs as they are written, until the submission ends. Raises NotFound, and Unavailable when too many
        are followed already."""
        submission = self._service.find(id).value
        return self._follower.follow(Wanted(id, self._namespace_of(submission), pod or "", tail, submission.cluster))

    def report(self, id: str) -> Any:
        """The detailed series, or word that it runs. Raises NotFound and Unavailable."""
        submission = self._service.find(id).value
        if not submission.state.terminal:
            return RUNNING
        try:
            return self._detailed.detailed(id)
        except NotFound:
            # It ended before anything was measured.
            return {}

    def errors(self, id: str) -> list[str]:
        """Everything that went wrong, as lines: why it ended, dead items, failed attempts, warnings of its story."""
        submission = self._service.find(id).value
        told = [submission.reason] if submission.reason and submission.state in (State.ERROR, State.FAILED) else []
        dead: Sequence[ItemFailure] = ()
        failed: Sequence[ItemFailure] = ()
        queue = self._queue(submission)
        if queue is not None:
            try:
                with reachable():
                    dead, _ = queue.dead(0, _MOST_FAILURES)
                    failed = [failure for failure in queue.failures(_MOST_FAILURES) if not failure.final]
            except QueueMissing:
                pass
        if submission.spec.queue == "dedicated":
            # The original's lists keep errors without telling whose they are; the archive has them as dead items.
            told += [failure.error for failure in (*dead, *failed)]
        else:
            told += [f"item {item.id} is dead: {item.error}" for item in dead]
            told += [f"item {item.id}, attempt {item.attempt} on {item.worker}: {item.error}" for item in failed]
        return told + [event.message for event in self._events(id) if event.warning and event.kind != "state"]

    def results(self, id: str, cursor: int, count: int) -> ResultPage:
        """A page of accepted results in order of completion. Raises NotFound."""
        submission = self._service.find(id).value
        queue = self._queue(submission)
        if queue is None:
            return ResultPage((), cursor, False)
        try:
            with reachable():
                found, following = queue.results(cursor, count)
        except QueueMissing as error:
            if submission.loaded == 0:
                return ResultPage((), cursor, False)
            raise NotFound(f"the results of {id} are not kept any more") from error
        shown = [_as_in_lists(result) for result in found] if submission.archived else found
        return ResultPage(tuple(shown), following, len(found) == count)

    def all_results(self, id: str) -> Iterator[ItemResult]:
        """All results there are by now. The first page is read at once, so that its errors are raised here."""
        first = self.results(id, 0, _STREAM_PAGE)

        def pages() -> Iterator[ItemResult]:
            page = first
            yield from page.results
            while page.more:
                page = self.results(id, page.cursor, _STREAM_PAGE)
                yield from page.results

        return pages()

    def items(self, id: str, ids: Sequence[str]) -> dict[str, Any]:
        """Where these items are; without ids, how many are where. Raises NotFound."""
        if not ids:
            return {"counts": self._service.status(id)["counts"]}
        queue = self._queue(self._service.find(id).value)
        if queue is None:
            return {"items": []}
        try:
            with reachable():
                return {"items": [asdict(item) for item in queue.items(ids)]}
        except QueueMissing:
            return {"items": []}

    def events(self, id: str, count: int) -> dict[str, Any]:
        """The story, oldest first, with what Kubernetes tells: all while it runs, its warnings after the end.

        Raises NotFound."""
        submission = self._service.find(id).value
        told = [event.model_dump() for event in self._events(id, count)]
        if not submission.state.terminal and exists_in_cluster(submission):
            told += self._cluster_events(submission)
        told.sort(key=lambda event: float(event["at"]))
        return {"events": told[-count:]}

    def visualizer(self, id: str) -> dict[str, str]:
        """The dashboard's address, '' before there is one. Raises NotFound."""
        return {"visualizer_url": self._service.find(id).value.visualizer_url}

    def nodes(self, cluster: str) -> dict[str, Any]:
        """A cluster's nodes. Raises Unavailable and ClusterError."""
        nodes = self._stores.clusters.at(cluster).nodes()
        return {"cluster": cluster, "nodes": [asdict(node) for node in nodes]}

    def _queue(self, submission: Submission) -> ServiceQueue | None:
        """None while a dedicated queue has no address yet."""
        address = submission.queue
        if address.kind == "dedicated" and not address.host:
            return None
        return self._stores.queues.at(address)

    def _events(self, id: str, count: int = _MOST_EVENTS) -> list[Event]:
        return self._stores.journal.read(EVENTS, id, Event, count=count)

    def _cluster_events(self, submission: Submission) -> list[dict[str, Any]]:
        try:
            found = self._stores.clusters.at(submission.cluster).events(self._namespace_of(submission), submission.id)
        except (Unavailable, ClusterError) as error:
            log.warning("cluster_events_not_read", id=submission.id, error=error.message)
            return []
        return [as_told(event).model_dump() for event in found]

    def _pod_logs(self, submission: Submission) -> dict[str, str]:
        """Kept logs, and live ones for pods that are there: those know better."""
        logs = dict(self._stores.texts.get(submission.id))
        for pod in self._live_pods(submission):
            try:
                text = self._stores.clusters.at(submission.cluster).pod_log(pod.namespace, pod.name)
            except (Unavailable, ClusterError) as error:
                log.warning("log_not_read", id=submission.id, pod=pod.name, error=error.message)
                continue
            if text or pod.name not in logs:
                logs[pod.name] = text
        return dict(sorted(logs.items()))

    def _live_pods(self, submission: Submission) -> list[PodView]:
        if submission.job_deleted or not submission.generation:
            return []
        try:
            view = self._stores.clusters.at(submission.cluster).view(self._namespace_of(submission), submission.id)
        except (Unavailable, ClusterError) as error:
            log.warning("pods_not_read", id=submission.id, error=error.message)
            return []
        return [pod for pod in view.workers() if pod.phase != "Pending"][:_MOST_LIVE_PODS]

    def _record(self, id: str) -> Submission | None:
        found = self._stores.records.get(id)
        return None if found is None else found.value

    def _namespace_of(self, submission: Submission) -> str:
        return submission.spec.namespace or self._namespace


def _last_lines(text: str, count: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[max(0, len(lines) - count) :])


def _as_in_lists(result: ItemResult) -> ItemResult:
    """A dedicated queue's result as it was told before it was archived: by its position, of no known worker or time."""
    return ItemResult(result.id, 1, "", 0.0, 0.0, result.result)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
