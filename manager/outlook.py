"""What would become of a submission, asked of the controller before it is accepted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from common.domain.capacity import requests_of
from common.domain.errors import AsperathosError, Conflict, Fault
from common.domain.readings import fixed_price
from common.domain.submission import Kind, SubmissionSpec, Workload
from common.domain.units import format_duration
from common.http.client import ServiceClient
from common.http.contracts import ForecastAnswer, ForecastRequest
from common.logging import get_logger
from common.ports import Clock
from manager.histories import Histories
from manager.manifests import initial_replicas

log = get_logger(__name__)
Policy = Literal["warn", "refuse", "off"]
"""A submission that endangers deadlines is accepted with a warning, refused, or not looked at."""
_MOST_COUNTED = 1_000_000
_LONGEST_COUNT = 10.0
"""Seconds."""
_LOOK = 4096
_MOST_JUDGED = 2
_JUDGED_AT_WILL, _JUDGED_A_SECOND = 20, 10.0
"""Submissions that are judged at once; and in a row, beyond which so many a second are. An answer costs more than all
the rest of taking a submission in; it is advice, and the first decision says the same a moment later, so where many
come at once it is what is left out first."""


class Foreseer(Protocol):
    """Who foresees."""

    def forecast(self, request: ForecastRequest) -> ForecastAnswer:
        """Raises Unavailable when nobody answers."""


class RestForeseer:
    """The controller. Implements Foreseer."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def forecast(self, request: ForecastRequest) -> ForecastAnswer:
        return ForecastAnswer.model_validate(self._client.post("/forecast", request))


@dataclass(frozen=True)
class Count:
    """How many items a workload has; ``exact`` is False when there may be more than were counted."""

    items: int
    exact: bool = True


class Outlook:
    """``open_items`` gives a workload's items one by one."""

    def __init__(
        self,
        foreseer: Foreseer,
        histories: Histories,
        open_items: Callable[[Workload | None], Iterator[str]],
        clock: Clock,
        policy: Policy = "warn",
    ) -> None:
        self._foreseer = foreseer
        self._histories = histories
        self._open_items = open_items
        self._clock = clock
        self._policy = policy
        self._judging = threading.BoundedSemaphore(_MOST_JUDGED)
        self._lock = threading.Lock()
        self._left = float(_JUDGED_AT_WILL)
        self._counted_at = clock.monotonic()

    def count(self, workload: Workload | None) -> Count:
        """Count the items, for ten seconds or up to a million. Raises WorkloadError."""
        if workload is not None and workload.items is not None:
            return Count(len(workload.items))
        end = self._clock.monotonic() + _LONGEST_COUNT
        items = self._open_items(workload)
        counted = 0
        while True:
            step = sum(1 for _ in islice(items, _LOOK))
            counted += step
            if step < _LOOK:
                return Count(counted)
            if counted >= _MOST_COUNTED or self._clock.monotonic() >= end:
                return Count(counted, exact=False)

    def ask(self, spec: SubmissionSpec, cluster: str, items: int | None) -> ForecastAnswer:
        """What would become of it. Raises Unavailable when the controller does not answer."""
        request = ForecastRequest(
            cluster=cluster,
            kind=spec.kind,
            law=spec.law,
            control=spec.control,
            replicas=spec.replicas,
            initial=initial_replicas(spec),
            target=spec.target,
            expected_item_time=spec.expected_item_time,
            item_timeout=spec.item_timeout,
            priority=spec.priority,
            requests=requests_of(spec.resources),
            history=self._histories.of(spec),
            deadline=spec.deadline,
            items=items,
            price=fixed_price(spec.prices, requests_of(spec.resources)),
        )
        return self._foreseer.forecast(request)

    def judge(self, spec: SubmissionSpec, cluster: str) -> tuple[str, ...]:
        """Warnings about a submission that is about to be accepted, if enough is known of it without reading its
        workload. Raises Conflict when it endangers others and the policy is to refuse that."""
        workload = spec.workload
        if self._policy == "off" or spec.kind is not Kind.BATCH or workload is None or workload.items is None:
            return ()
        if not self._may_judge():
            return ("control: whether deadlines can be met was not looked at, for many submissions come at once",)
        try:
            answer = self.ask(spec, cluster, len(workload.items))
        except AsperathosError as error:
            log.warning("not_foreseen", name=spec.name, error=error.message)
            unknown = f"control: whether deadlines can be met is not known: {error.message}"
            return (unknown,) if self._policy == "refuse" else ()
        finally:
            self._judging.release()
        warnings = dangers(answer)
        if warnings and self._policy == "refuse" and (answer.endangered or not answer.fits):
            raise Conflict("; ".join(warnings), [Fault("deadline", warning) for warning in warnings])
        return warnings

    def _may_judge(self) -> bool:
        """Whether there is room for one more, which then takes it. Who must be judged waits for it."""
        if self._policy == "refuse":
            return self._judging.acquire()
        with self._lock:
            now = self._clock.monotonic()
            self._left = min(_JUDGED_AT_WILL, self._left + _JUDGED_A_SECOND * (now - self._counted_at))
            self._counted_at = now
            if self._left < 1 or not self._judging.acquire(blocking=False):
                return False
            self._left -= 1
            return True


def dangers(answer: ForecastAnswer) -> tuple[str, ...]:
    """What its user should know of a plan."""
    found = []
    if not answer.forecast.feasible:
        late = format_duration(answer.forecast.late_by)
        found.append(f"deadline: it is expected to be missed by {late}: {answer.forecast.reason}")
    elif not answer.fits:
        found.append("deadline: it cannot be met beside the submissions that are there: the cluster has not enough")
    if answer.endangered:
        named = ", ".join(answer.endangered[:10]) + (", ..." if len(answer.endangered) > 10 else "")
        found.append(f"cluster: it has not enough for all: {named} would miss the deadline because of this submission")
    return tuple(found)
