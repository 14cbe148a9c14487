"""One submission to be simulated: its document, its items, its plant, and what is known of its items beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.domain.submission import SubmissionSpec
from controller.lawbook import AnyLaw
from simulator.plant import PlantModel


@dataclass(frozen=True)
class Work:
    """``durations``: service time (s) of each item on a replica that works alone, in order of the queue.

    ``arrivals``: when each is put, in seconds from acceptance, in order; None: all at once (a batch).
    """

    durations: tuple[float, ...]
    arrivals: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.arrivals is not None and len(self.arrivals) != len(self.durations):
            raise ValueError(f"{len(self.arrivals)} arrivals for {len(self.durations)} items: give as many of each")

    @property
    def total(self) -> float:
        """Replica-seconds that the items need."""
        return sum(self.durations)


@dataclass(frozen=True)
class Knowledge:
    """What the law may know beforehand, beside the document: service times (s) of items of earlier submissions."""

    history: tuple[float, ...] = ()


@dataclass(frozen=True)
class Case:
    """What ``simulate`` runs. ``law`` overrides the document's, for a law that is not installed."""

    name: str
    spec: SubmissionSpec
    work: Work
    plant: PlantModel = field(default_factory=PlantModel)
    knowledge: Knowledge = field(default_factory=Knowledge)
    law: AnyLaw | None = None
    law_settings: dict[str, Any] | None = None
    """In place of the document's ``control.settings``."""
    submitted_at: float = 0.0
    """Seconds from the beginning of the simulation to its acceptance."""
    measurement_delay: float = 0.0
    """Seconds from a measurement to the moment the controller sees it."""
    measurement_phase: float = 0.0
    """Seconds from acceptance to the first measurement."""
    seed: int = 0
    """Of the plant's luck: start-up times, failures, evictions."""
    forecast_at: tuple[float, ...] = ()
    """Shares of progress, in order: at the first decision from each on, the forecast is kept."""
