"""Short ways to the values the monitor's tests speak about."""

from __future__ import annotations

from typing import Any

from asperathos_worker.queue.records import Histogram, QueueStats

from common.domain.cluster import JobView, PodView, SubmissionView
from common.domain.progress import Observation, Replicas
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringInfo, MonitoringRequest
from monitor.measure import Reading

ID = "kj-0000001"


def stats(at: float = 1000.0, **changes: Any) -> QueueStats:
    """A snapshot of a closed queue of ten ready items, but for ``changes``."""
    values: dict[str, Any] = {
        "at": at,
        "put": 10,
        "ready": 10,
        "delayed": 0,
        "leased": 0,
        "done": 0,
        "dead": 0,
        "closed": True,
        "stopped": False,
        "limit": None,
        "taken": 0,
        "failed": 0,
        "expired": 0,
        "released": 0,
        "oldest_ready_wait": None,
        "running": (),
        "service": Histogram(),
        "wait": Histogram(),
    }
    return QueueStats(**(values | changes))


def info(**changes: Any) -> MonitoringInfo:
    """What the monitor is told of ID, accepted at 990 with a deadline of 100 s."""
    values: dict[str, Any] = {
        "queue": QueueAddress(submission=ID),
        "namespace": "default",
        "created_at": 990.0,
        "deadline": 100.0,
    }
    return MonitoringInfo(**(values | changes))


def monitoring_request(**changes: Any) -> MonitoringRequest:
    """The POST for info(**changes); ``plugin`` and ``collect_period`` go to the request itself."""
    own = {name: changes.pop(name) for name in ("plugin", "collect_period") if name in changes}
    return MonitoringRequest(plugin_info=info(**changes), **own)


def pod(index: int = 0, phase: str = "Running", created_at: float = 990.0, **changes: Any) -> PodView:
    """A worker's pod that started 2 s after its creation."""
    values: dict[str, Any] = {
        "name": f"{ID}-g1-{index}",
        "namespace": "default",
        "submission": ID,
        "generation": 1,
        "index": index,
        "role": "worker",
        "phase": phase,
        "created_at": created_at,
        "started_at": None if phase == "Pending" else created_at + 2.0,
    }
    return PodView(**(values | changes))


def job(parallelism: int = 1, generation: int = 1, **changes: Any) -> JobView:
    """A Job that is not suspended."""
    values: dict[str, Any] = {
        "name": f"{ID}-g{generation}",
        "namespace": "default",
        "submission": ID,
        "generation": generation,
        "parallelism": parallelism,
        "suspended": False,
        "active": parallelism,
        "ready": parallelism,
        "succeeded": 0,
        "failed": 0,
    }
    return JobView(**(values | changes))


def reading(at: float = 1000.0, **changes: Any) -> Reading:
    """A reading of stats(at) with one replica requested and running."""
    values: dict[str, Any] = {
        "stats": stats(at),
        "reported": {},
        "view": SubmissionView((job(),), (pod(),)),
        "desired": None,
    }
    return Reading(**(values | changes))


def observation(at: float, observed: int = 1, progress: float = 0.0, **changes: Any) -> Observation:
    """An observation of ID (accepted at 990, deadline 100 s)."""
    values: dict[str, Any] = {
        "submission": ID,
        "at": at,
        "elapsed": at - 990.0,
        "deadline": 100.0,
        "progress": progress,
        "replicas": Replicas(desired=observed, requested=observed, observed=observed),
    }
    return Observation(**(values | changes))
