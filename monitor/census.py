"""What all submissions that are measured come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from common.domain.progress import Observation
from common.ports import Records
from monitor.record import Monitoring

_PLACES = ("ready", "delayed", "leased", "done", "dead")


class Census:
    """Sums over the latest observations."""

    def __init__(self, records: Records[Monitoring], observations: Records[Observation]) -> None:
        self._records = records
        self._observations = observations

    def items_by_place(self) -> Mapping[str, float]:
        """Items of all of them. Raises Unavailable."""
        seen = self._latest()
        return {place: sum(getattr(one.counts, place) for one in seen) for place in _PLACES}

    def by_prospect(self) -> Mapping[str, float]:
        """How many are ahead of their time, late, or have no deadline. Raises Unavailable."""
        counted = Counter(_prospect(one) for one in self._latest())
        return {prospect: counted[prospect] for prospect in ("ahead", "late", "no deadline")}

    def _latest(self) -> Iterable[Observation]:
        return list(self._observations.all(self._records.active_ids()).values())


def _prospect(seen: Observation) -> str:
    if not seen.deadline:
        return "no deadline"
    return "late" if seen.error < 0 else "ahead"
