"""What is known before a submission begins, in the form in which laws are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asperathos_worker.queue.records import QueueStats

from common.domain.history import History, learned
from common.domain.progress import Observation
from common.domain.queues import QueueAddress
from common.http.contracts import MonitoringInfo
from controller.lawbook import AnyLaw
from controller.laws import Law, Memory, Proposal, Situation
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


class Informed(Law[Any]):
    """A law that is told of earlier submissions; else it is the law it holds."""

    def __init__(self, law: AnyLaw, history: History) -> None:
        self._law = law
        self._history = history

    def decide(self, situation: Situation, settings: Any, memory: Memory) -> Proposal:
        return self._law.decide(replace(situation, history=self._history), settings, memory)
