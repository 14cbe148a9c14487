"""Tells monitor, controller and visualizer of running submissions, and of their end; tells again what they forgot.

What was told is remembered in this process only: every request is idempotent, so a restarted manager tells all again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from common.domain.capacity import requests_of
from common.domain.errors import AsperathosError, BadRequest, Conflict, NotFound
from common.domain.submission import Submission, SubmissionSpec
from common.http.contracts import (
    MonitoringInfo,
    MonitoringReport,
    MonitoringRequest,
    MonitoringView,
    ScalingRequest,
    ScalingView,
    VisualizingRequest,
    VisualizingView,
)
from common.logging import get_logger
from common.ports import Clock
from manager.histories import Histories
from manager.manifests import job_name

M = TypeVar("M", bound=BaseModel)
log = get_logger(__name__)


class Remote(Protocol):
    """Another service, as common.http.client.ServiceClient speaks to it."""

    def post(self, path: str, body: BaseModel) -> Any: ...

    def put(self, path: str) -> Any: ...

    def delete(self, path: str) -> Any: ...

    def get(self, path: str, model: type[M]) -> M: ...


@dataclass(frozen=True)
class Others:
    """The three other services."""

    monitor: Remote
    controller: Remote
    visualizer: Remote


@dataclass(frozen=True)
class AnnounceRules:
    """Durations in seconds. ``check``: how often services are asked whether they still know; ``retry``: the pause
    after a failure, doubling up to ``retry_cap``."""

    check: float = 15.0
    retry: float = 1.0
    retry_cap: float = 30.0


@dataclass
class _Told:
    """What one service was told of one submission."""

    version: tuple[int, int] = (0, 0)
    """Generation and revision."""
    due: float = 0.0
    failures: int = 0
    problem: str = ""


@dataclass
class _Memory:
    monitor: _Told = field(default_factory=_Told)
    controller: _Told = field(default_factory=_Told)
    visualizer: _Told = field(default_factory=_Told)
    ended: set[str] = field(default_factory=set)
    report: MonitoringReport | None = None


class Announcer:
    """``namespace`` is where submissions that name none run, ``histories`` tells what earlier ones taught."""

    def __init__(
        self,
        others: Others,
        clock: Clock,
        namespace: str,
        histories: Histories,
        rules: AnnounceRules | None = None,
    ) -> None:
        self._others = others
        self._clock = clock
        self._namespace = namespace
        self._histories = histories
        self._rules = rules or AnnounceRules()
        self._lock = threading.Lock()
        self._memories: dict[str, _Memory] = {}

    def announce(self, submission: Submission) -> str:
        """Make sure the services know of the running submission; returns the dashboard's address if it is new.

        Services that do not answer are tried again at the next calls. Raises BadRequest when the monitor or the
        controller will never accept it.
        """
        memory = self._memory(submission.id)
        self._keep_told(memory.monitor, submission, "monitor", self._tell_monitor, self._check_monitor)
        self._keep_told(memory.controller, submission, "controller", self._tell_controller, self._check_controller)
        url = ""

        def tell_visualizer(told: Submission) -> None:
            nonlocal url
            self._others.visualizer.post(f"/visualizing/{told.id}", _visualizing(told.spec))
            url = self._visualizer_url(told)

        def check_visualizer(told: Submission) -> bool:
            nonlocal url
            url = self._visualizer_url(told)
            return True

        if submission.spec.dashboard:
            try:
                self._keep_told(memory.visualizer, submission, "visualizer", tell_visualizer, check_visualizer)
            except BadRequest as error:
                # A dashboard is a convenience: the work goes on without it.
                self._failed(memory.visualizer, "visualizer", submission.id, error)
        return url if url != submission.visualizer_url else ""

    def problem(self, id: str) -> str:
        """What the monitor or the controller could not be told, '' when they know all."""
        memory = self._memory(id)
        return "; ".join(told.problem for told in (memory.monitor, memory.controller) if told.problem)

    def end(self, id: str) -> None:
        """Have measuring and scaling end, as far as the services answer, and fetch the monitor's report."""
        memory = self._memory(id)
        for service in self._enders():
            if service not in memory.ended and self._told_end(service, id):
                memory.ended.add(service)
        if memory.report is None:
            try:
                memory.report = self._others.monitor.get(f"/monitoring/{id}/report", MonitoringReport)
            except AsperathosError as error:
                # Either it still takes its last observation, or it knows nothing; the end does not wait for long.
                log.debug("no_report_yet", id=id, error=error.message)

    def tell_end(self, id: str) -> bool:
        """Have measuring and scaling end, whatever was told before; whether both services know now."""
        told = [self._told_end(service, id) for service in self._enders()]
        return all(told)

    def _enders(self) -> dict[str, tuple[Remote, str]]:
        return {
            "controller": (self._others.controller, "scaling"),
            "monitor": (self._others.monitor, "monitoring"),
        }

    def _told_end(self, service: str, id: str) -> bool:
        remote, route = self._enders()[service]
        try:
            remote.put(f"/{route}/{id}/stop")
        except (NotFound, Conflict):
            # It has ended there, or was never known.
            return True
        except AsperathosError as error:
            log.warning("service_not_told", service=service, id=id, error=error.message)
            return False
        return True

    def report(self, id: str) -> MonitoringReport | None:
        """The monitor's report, once ``end`` has got it."""
        return self._memory(id).report

    def scaling(self, id: str) -> ScalingView | None:
        """What the controller did, if it answers."""
        try:
            return self._others.controller.get(f"/scaling/{id}", ScalingView)
        except AsperathosError as error:
            log.debug("no_scaling_view", id=id, error=error.message)
            return None

    def end_dashboard(self, id: str) -> None:
        """Tell the visualizer that the submission has ended, if it answers."""
        try:
            self._others.visualizer.put(f"/visualizing/{id}/stop")
        except AsperathosError as error:
            log.debug("visualizer_not_told", id=id, error=error.message)

    def erase(self, id: str) -> set[str]:
        """Have the services forget the submission; returns those that did not answer."""
        away: set[str] = set()
        for name, remote, path in (
            ("controller", self._others.controller, f"/scaling/{id}"),
            ("monitor", self._others.monitor, f"/monitoring/{id}"),
            ("visualizer", self._others.visualizer, f"/visualizing/{id}"),
        ):
            try:
                remote.delete(path)
            except NotFound:
                continue
            except AsperathosError as error:
                log.warning("service_keeps_record", service=name, id=id, error=error.message)
                away.add(name)
        return away

    def forget(self, id: str) -> None:
        """Drop what was remembered of it."""
        with self._lock:
            self._memories.pop(id, None)

    def forget_all(self) -> None:
        """Drop what was remembered of all."""
        with self._lock:
            self._memories.clear()

    def _memory(self, id: str) -> _Memory:
        with self._lock:
            return self._memories.setdefault(id, _Memory())

    def _keep_told(
        self,
        told: _Told,
        submission: Submission,
        service: str,
        tell: Callable[[Submission], None],
        check: Callable[[Submission], bool],
    ) -> None:
        now = self._clock.monotonic()
        version = submission.generation, submission.revision
        is_new = told.version != version
        if now < told.due and not (is_new and not told.failures):
            return
        try:
            if is_new or not self._still_known(submission, check):
                tell(submission)
        except Conflict:
            # It has been stopped there already: nothing is to be told any more.
            pass
        except BadRequest:
            raise
        except AsperathosError as error:
            self._failed(told, service, submission.id, error)
            return
        told.version, told.failures, told.problem = version, 0, ""
        told.due = now + self._rules.check

    def _failed(self, told: _Told, service: str, id: str, error: AsperathosError) -> None:
        told.failures += 1
        told.due = self._clock.monotonic() + min(
            self._rules.retry_cap, self._rules.retry * 2.0 ** min(told.failures - 1, 10)
        )
        told.problem = f"the {service} was not told yet: {error.message}"
        if told.failures == 1:
            log.warning("service_not_told", service=service, id=id, error=error.message)

    @staticmethod
    def _still_known(submission: Submission, check: Callable[[Submission], bool]) -> bool:
        try:
            return check(submission)
        except NotFound:
            return False

    def _check_monitor(self, submission: Submission) -> bool:
        self._others.monitor.get(f"/monitoring/{submission.id}", MonitoringView)
        return True

    def _check_controller(self, submission: Submission) -> bool:
        self._others.controller.get(f"/scaling/{submission.id}", ScalingView)
        return True

    def _visualizer_url(self, submission: Submission) -> str:
        return self._others.visualizer.get(f"/visualizing/{submission.id}", VisualizingView).url

    def _tell_monitor(self, submission: Submission) -> None:
        spec = submission.spec
        info = MonitoringInfo(
            queue=submission.queue,
            namespace=spec.namespace or self._namespace,
            cluster=submission.cluster,
            created_at=submission.created_at,
            deadline=spec.deadline,
            target=spec.target.latency if spec.target is not None else None,
            name=spec.name,
            kind=spec.kind,
            law=spec.law,
            settings=spec.monitoring.settings,
            prices=spec.prices,
            queries=spec.monitoring.queries,
            requests=requests_of(spec.resources),
            budget=spec.budget,
            keep=spec.keep,
            revision=submission.revision,
        )
        request = MonitoringRequest(
            plugin=spec.monitoring.plugin, collect_period=spec.monitoring.interval, plugin_info=info
        )
        self._others.monitor.post(f"/monitoring/{submission.id}", request)

    def _tell_controller(self, submission: Submission) -> None:
        spec = submission.spec
        request = ScalingRequest(
            namespace=spec.namespace or self._namespace,
            cluster=submission.cluster,
            job=job_name(submission.id, submission.generation),
            queue=submission.queue,
            kind=spec.kind,
            target=spec.target,
            law=spec.law,
            control=spec.control,
            replicas=spec.replicas,
            initial=submission.generation_replicas,
            grace_period=spec.grace_period,
            revision=submission.revision,
            expected_item_time=spec.expected_item_time,
            item_timeout=spec.item_timeout,
            priority=spec.priority,
            requests=requests_of(spec.resources),
            history=self._histories.of(spec),
        )
        self._others.controller.post(f"/scaling/{submission.id}", request)


def _visualizing(spec: SubmissionSpec) -> VisualizingRequest:
    return VisualizingRequest(
        plugin=spec.monitoring.plugin,
        name=spec.name,
        kind=spec.kind,
        visualizer_plugin=spec.dashboard.plugin,
        datasource_type=spec.dashboard.datasource or "",
        theme=spec.dashboard.theme or "",
    )
