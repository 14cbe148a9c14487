"""What the monitor remembers of a submission between two measurements."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from common.domain.progress import Counts, Observation
from common.http.contracts import MonitoringReport, MonitoringRequest, MonitoringView

MONITORING_RECORDS = "monitoring"
"""Kind of the monitor's own records."""

TimedError = tuple[float, float]
"""A progress error and when it was measured (Unix s)."""


class Sample(BaseModel):
    """A moment of the recent past, to tell rates from. ``wait`` holds the buckets of the queue's waiting times."""

    model_config = ConfigDict(frozen=True)

    at: float
    settled: int
    put: int
    wait: dict[int, int] = Field(default_factory=dict)


class Tally(BaseModel):
    """What all measurements so far add up to. The errors are None without a deadline."""

    model_config = ConfigDict(frozen=True)

    measurements: int = 0
    replica_seconds: float = 0.0
    spent: float | None = None
    """Money for these, None while no price is known."""
    peak_replicas: int = 0
    final_error: TimedError | None = None
    max_error: TimedError | None = None
    min_error: TimedError | None = None


class Monitoring(BaseModel):
    """The record of one submission. Times are Unix seconds.

    ``stop_at`` is when stopping was asked for; ``ended`` once the last observation is in and nothing changes any more.
    """

    model_config = ConfigDict(frozen=True)

    request: MonitoringRequest
    stop_at: float | None = None
    ended: bool = False
    missing_since: float | None = None
    """Since when the queue is not there."""
    reason: str = ""
    """Why measuring is not as it should be, empty when it is."""
    window: tuple[Sample, ...] = ()
    tally: Tally = Tally()
    observation: Observation | None = None
    foreseen: tuple[float, float | None] | None = None
    """The last forecast that became points: when it was made, and its median. A second one of the same observation, by
    other replicas, has another."""

    @property
    def active(self) -> bool:
        """Whether the loop must look at it."""
        return not self.ended

    def view(self) -> MonitoringView:
        """What GET /monitoring/:id answers."""
        return MonitoringView(
            active=self.active,
            plugin=self.request.plugin,
            collect_period=self.request.collect_period,
            observation=self.observation,
            reason=self.reason,
        )

    def report(self) -> MonitoringReport:
        """What the measurements come to; all zeros when there was none."""
        last = self.observation
        return MonitoringReport(
            counts=last.counts if last else Counts(),
            execution_time=last.elapsed if last else 0.0,
            replica_seconds=self.tally.replica_seconds,
            spent=self.tally.spent,
            peak_replicas=self.tally.peak_replicas,
            final_replicas=last.replicas.observed if last else 0,
            final_error=self.tally.final_error,
            max_error=self.tally.max_error,
            min_error=self.tally.min_error,
        )
