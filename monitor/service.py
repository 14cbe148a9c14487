"""Records what is to be monitored and answers what was measured."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from common.domain.errors import BadRequest, Conflict, Fault, NotFound
from common.domain.progress import Observation
from common.http.contracts import MonitoringReport, MonitoringRequest, MonitoringView
from common.ports import Clock, MetricStore, Records, Versioned, Wakeups
from monitor.detailed import MEASURED, Row, detailed_report
from monitor.monitors import Monitor, faults_in
from monitor.record import Monitoring

SERVICE = "monitor"
_ATTEMPTS = 10


class MonitorService:
    """The monitor's answers to requests. What it records, the loop carries out. All methods may raise Unavailable."""

    def __init__(
        self,
        records: Records[Monitoring],
        observations: Records[Observation],
        metrics: MetricStore,
        wakeups: Wakeups,
        clock: Clock,
        monitors: Mapping[str, Monitor],
    ) -> None:
        self._records = records
        self._observations = observations
        self._metrics = metrics
        self._wakeups = wakeups
        self._clock = clock
        self._monitors = monitors

    def start(self, id: str, request: MonitoringRequest) -> None:
        """Monitor the submission as the request says; the same request again changes nothing, another one replaces it.

        Raises BadRequest naming every fault, and Conflict when monitoring of that id has been stopped already.
        """
        self._check(id, request)
        for _ in range(_ATTEMPTS):
            try:
                self._record(id, request)
                break
            except Conflict:
                kept = self._records.get(id)
                if kept is not None and (kept.value.ended or kept.value.stop_at is not None):
                    raise
        else:
            raise Conflict(f"monitoring of {id} is being changed by others; try again")
        self._wakeups.notify(SERVICE, id)

    def stop(self, id: str) -> None:
        """Take the last observation and end. Idempotent. Raises NotFound."""
        for _ in range(_ATTEMPTS):
            kept = self._get(id)
            if kept.value.ended or kept.value.stop_at is not None:
                return
            try:
                stopping = kept.value.model_copy(update={"stop_at": self._clock.now()})
                self._records.update(id, stopping, kept.version)
            except Conflict:
                continue
            self._wakeups.notify(SERVICE, id)
            return
        raise Conflict(f"monitoring of {id} is being changed by others; try again")

    def delete(self, id: str) -> None:
        """Forget everything measured. Idempotent. Raises Conflict while monitoring goes on."""
        kept = self._records.get(id)
        if kept is not None and not kept.value.ended:
            raise Conflict(f"{id} is being monitored: stop that first")
        self._metrics.expire(id, 0.0)
        self._observations.delete(id)
        self._records.delete(id)

    def view(self, id: str) -> MonitoringView:
        """What is measured now. Raises NotFound."""
        return self._get(id).value.view()

    def views(self) -> dict[str, MonitoringView]:
        """All submissions known, oldest first."""
        return {id: record.view() for id, record in self._records.all().items()}

    def report(self, id: str) -> MonitoringReport | None:
        """What the measurements came to, None while they go on. Raises NotFound."""
        monitoring = self._get(id).value
        return monitoring.report() if monitoring.ended else None

    def detailed_report(self, id: str, partial: bool, most: int | None = None) -> dict[str, Row] | None:
        """All measurements by second, or ``most`` of the rows; None while they go on, unless ``partial``.

        Raises NotFound."""
        monitoring = self._get(id).value
        if not monitoring.ended and not partial:
            return None
        series = self._metrics.read_several(id, MEASURED)
        return detailed_report(series, monitoring.request.plugin_info.created_at, most)

    def _get(self, id: str) -> Versioned[Monitoring]:
        kept = self._records.get(id)
        if kept is None:
            known = difflib.get_close_matches(id, self._records.ids(), n=1)
            hint = f"; did you mean {known[0]}?" if known else ""
            raise NotFound(f"nothing is monitored by the id {id}{hint}")
        return kept

    def _record(self, id: str, request: MonitoringRequest) -> None:
        kept = self._records.get(id)
        if kept is None:
            self._records.create(id, Monitoring(request=request))
        elif kept.value.request == request or _revision(request) < _revision(kept.value.request):
            return
        elif kept.value.ended or kept.value.stop_at is not None:
            raise Conflict(f"monitoring of {id} has been stopped; its report is final")
        else:
            self._records.update(id, kept.value.model_copy(update={"request": request}), kept.version)

    def _check(self, id: str, request: MonitoringRequest) -> None:
        info = request.plugin_info
        faults = faults_in(self._monitors, request.plugin, info.settings)
        if info.queue.submission != id:
            faults.append(Fault("plugin_info.queue.submission", f"must be the id in the path, {id}"))
        if info.queue.kind == "dedicated" and not (info.queue.host and 0 < info.queue.port < 65536):
            faults.append(Fault("plugin_info.queue", "a dedicated queue needs host and port"))
        if faults:
            listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
            raise BadRequest(f"invalid monitoring request: {listed}", faults)


def _revision(request: MonitoringRequest) -> int:
    return request.plugin_info.revision
