"""The seam between the engine, which speaks with the queue, and what does the work: a handler or a command."""

from __future__ import annotations

from typing import List, Protocol, Sequence

from .outcome import Outcome
from .queue.records import Lease


class Processor(Protocol):
    """Does the work of leases. ``process`` runs in the main thread, the rest is called by the watch."""

    @property
    def most(self) -> int:
        """Most leases per call of ``process``."""

    def process(self, leases: Sequence[Lease]) -> List[Outcome]:
        """Work on the leases; one outcome for each, in order. Raises Unable when no item can be worked on."""

    def interrupt(self) -> bool:
        """Make a running ``process`` end soon, with Unfinished where it must. False: that cannot be done."""

    def whereabouts(self) -> str:
        """What the running ``process`` is doing, for the error of an item that timed out."""
