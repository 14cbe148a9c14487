"""How many submissions are in which state."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from common.domain.states import State
from common.domain.submission import Submission
from common.ports import Records


class Census:
    """Counts. Terminal states never change, so those records are read once only. Threads may share it."""

    def __init__(self, records: Records[Submission]) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._ended: dict[str, State] = {}

    def by_state(self) -> Mapping[str, float]:
        """The number of submissions in each state, 0 ones too. Raises Unavailable."""
        with self._lock:
            kept = self._records.active_ids()
            states = {id: self._ended[id] for id in kept if id in self._ended}
            found = self._records.all([id for id in kept if id not in states])
            states |= {id: submission.state for id, submission in found.items()}
            self._ended = {id: state for id, state in states.items() if state.terminal}
        counted = Counter(states.values())
        return {state.value: counted[state] for state in State}
