"""What progress means for an application: the monitors, ours and those that users bring.

A monitor is an entry point of group ``asperathos.monitors`` that names an object like Monitor below. It is pure: it
sees one reading and its settings, waits for nothing, and answers a share from 0 to 1.
"""

from __future__ import annotations

import difflib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.domain.errors import Fault
from common.domain.parsing import faults_of
from common.domain.progress import Counts


@dataclass(frozen=True)
class ProgressReading:
    """What a monitor may judge by.

    ``elapsed`` and ``deadline`` are seconds since acceptance; ``reported`` is what workers told with
    ``worker.report(name, value)``: metric -> worker -> last value; ``previous`` is the last answer, 0 at first.
    """

    counts: Counts
    elapsed: float
    deadline: float | None
    reported: Mapping[str, Mapping[str, float]]
    previous: float


class Monitor(Protocol):
    """Says how far the work is."""

    @property
    def settings(self) -> type[BaseModel]:
        """The model of the settings it takes; what does not fit is refused before monitoring begins."""

    def progress(self, reading: ProgressReading, settings: Any) -> float:
        """The share that is done. Values outside 0 to 1 are clamped."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoSettings(_Strict):
    """The monitor takes none."""


class IgnoredSettings(BaseModel):
    """Whatever is given means nothing, as in the original."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class MetricSettings(_Strict):
    """``name`` is the metric workers report; progress is how far it came from ``start`` to ``goal``.

    Values of several workers are made one by ``aggregate``; ``last`` takes the furthest along. ``goal`` may lie below
    ``start`` (a loss that falls).
    """

    name: str = Field(min_length=1, max_length=200)
    goal: float
    start: float = 0.0
    aggregate: Literal["mean", "sum", "max", "min", "last"] = "mean"

    @model_validator(mode="after")
    def _apart(self) -> MetricSettings:
        if self.goal == self.start:
            raise ValueError(f"goal must differ from start ({self.start})")
        return self


class ItemsMonitor:
    """Progress is the settled (done or dead) share of the items."""

    def __init__(self, settings: type[BaseModel] = NoSettings) -> None:
        self.settings = settings

    def progress(self, reading: ProgressReading, settings: BaseModel) -> float:  # noqa: ARG002
        return reading.counts.progress


class MetricMonitor:
    """Progress is a metric that workers report, between a start and a goal."""

    settings = MetricSettings

    def progress(self, reading: ProgressReading, settings: MetricSettings) -> float:
        values = [value for value in reading.reported.get(settings.name, {}).values() if math.isfinite(value)]
        if not values:
            return reading.previous
        shares = [(value - settings.start) / (settings.goal - settings.start) for value in values]
        if settings.aggregate == "last":
            return max(shares)
        value = _AGGREGATES[settings.aggregate](values)
        return (value - settings.start) / (settings.goal - settings.start)


_AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "sum": math.fsum,
    "max": max,
    "min": min,
}

items = ItemsMonitor()
metric = MetricMonitor()
kubejobs = ItemsMonitor(IgnoredSettings)
"""The original's name for its only monitor."""

BUILT_IN: Mapping[str, Monitor] = {"items": items, "metric": metric, "kubejobs": kubejobs}


def faults_in(monitors: Mapping[str, Monitor], name: str, settings: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a monitor's name and settings, by the fields of the POST's body."""
    monitor = monitors.get(name)
    if monitor is None:
        near = difflib.get_close_matches(name, monitors, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"installed are {', '.join(sorted(monitors))}"
        return [Fault("plugin", f"there is no monitor {name!r}; {hint}")]
    try:
        monitor.settings.model_validate(settings)
    except ValidationError as error:
        return [
            Fault(".".join(filter(None, ("plugin_info.settings", fault.field))), fault.problem)
            for fault in faults_of(error, monitor.settings)
        ]
    return []


def progress_of(
    name: str, monitors: Mapping[str, Monitor], settings: Mapping[str, Any], reading: ProgressReading
) -> tuple[float, str]:
    """The monitor's answer from 0 to 1, and why it could not be had (then the settled share of the items stands in)."""
    monitor = monitors.get(name)
    if monitor is None:
        return reading.counts.progress, f"the monitor {name!r} is not installed any more"
    try:
        answer = float(monitor.progress(reading, monitor.settings.model_validate(settings)))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything, and measuring must go on
        return reading.counts.progress, f"the monitor {name!r} failed: {type(error).__name__}: {error}"
    if not math.isfinite(answer):
        return reading.counts.progress, f"the monitor {name!r} answered {answer}"
    return min(1.0, max(0.0, answer)), ""
