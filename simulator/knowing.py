"""What is known before a submission begins, in the form in which laws are told."""

from __future__ import annotations

from collections.abc import Sequence

from asperathos_worker.queue.records import QueueStats

from common.domain.history import History, learned
from common.domain.progress import Observation
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringInfo
from monitor.measure import Reading, measure
from simulator.backlog import Tally


def history_of(durations: Sequence[float]) -> History | None:
    """What the monitor would have taught of one earlier submission with items of these service times (s)."""
    if not durations:
        return None
    tally = Tally()
    for seconds in durations:
        tally.add(seconds)
    number = len(durations)
    stats = QueueStats(
        at=0.0,
        put=number,
        ready=0,
        delayed=0,
        leased=0,
        done=number,
        dead=0,
        closed=True,
        stopped=False,
        limit=None,
        taken=number,
        failed=0,
        expired=0,
        released=0,
        oldest_ready_wait=None,
        running=(),
        service=tally.histogram(),
    )
    info = MonitoringInfo(queue=QueueAddress(submission="earlier"), namespace="simulated", created_at=0.0)
    last: Observation = measure("earlier", info, Reading(stats, {}, None, None), (), None)
    return learned(None, last)
