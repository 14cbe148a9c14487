"""What a worker holds at any moment, shared between the thread that works and the one that keeps watch."""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, Dict, List, Optional, Sequence, Set, Tuple

from .queue.records import Ack, Lease

Key = Tuple[str, int]
"""An item's id and the attempt: names one lease."""


def key_of(lease: Lease) -> Key:
    """The lease's name."""
    return lease.id, lease.attempt


class Hand:
    """The leases and finished results of one worker. Every method is atomic; none of them blocks.

    A lease goes from ``unstarted`` to ``current`` to settled. Once it was abandoned (handed back, failed by the
    watch, lost), what its handler still returns is worthless: ``settle`` says so.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unstarted: Deque[Lease] = deque()
        self._current: Tuple[Lease, ...] = ()
        self._started = 0.0
        self._abandoned: Set[Key] = set()
        self._acks: List[Ack] = []
        self._sending: Dict[Key, Ack] = {}
        self._first_ack = 0.0
        self._taken_at = 0.0
        self._renewed: Dict[Key, float] = {}
        self._lease_seconds = 60.0
        self.additions = 0
        """How often leases were added: whether anything is going on."""

    def add(self, leases: Sequence[Lease], at: float, lease_seconds: float) -> None:
        """Leases were taken at ``at`` (a reading from before the call, so that none is believed longer than it is)."""
        with self._lock:
            self._unstarted.extend(leases)
            self._taken_at = at
            self.additions += 1
            self._lease_seconds = lease_seconds
            for lease in leases:
                self._renewed[key_of(lease)] = at

    def start(self, most: int, at: float) -> Tuple[Lease, ...]:
        """Make up to ``most`` unstarted leases the current ones; empty when there are none.

        An item that failed before is started alone, so that in a batch only the culprit pays for its next failure.
        """
        with self._lock:
            waiting = self._unstarted
            batch: List[Lease] = []
            while waiting and len(batch) < most:
                if waiting[0].failures and batch:
                    break
                batch.append(waiting.popleft())
                if batch[-1].failures:
                    break
            self._current = tuple(batch)
            self._started = at
            return self._current

    def settle(self, lease: Lease) -> bool:
        """The lease's processing ended. False: it was abandoned meanwhile, and its outcome must be dropped."""
        key = key_of(lease)
        with self._lock:
            self._current = tuple(held for held in self._current if held is not lease)
            if key in self._abandoned:
                self._abandoned.discard(key)
                return False
            return True

    def forget(self, lease: Lease) -> None:
        """The queue knows what became of the lease: no heartbeat for it any more."""
        with self._lock:
            self._renewed.pop(key_of(lease), None)

    def finish(self, ack: Ack, at: float) -> None:
        """Keep a finished result for the next exchange with the queue. Its lease lives on until then."""
        with self._lock:
            if not self._acks:
                self._first_ack = at
            self._acks.append(ack)

    def take_acks(self) -> List[Ack]:
        """The results to be acknowledged now; give them back with ``return_acks`` when the queue was away."""
        with self._lock:
            acks, self._acks = self._acks, []
            self._sending.update(((ack.id, ack.attempt), ack) for ack in acks)
            return acks

    def acked(self, acks: Sequence[Ack]) -> None:
        """The queue answered these acknowledgements."""
        with self._lock:
            for ack in acks:
                self._sending.pop((ack.id, ack.attempt), None)
                self._renewed.pop((ack.id, ack.attempt), None)

    def return_acks(self, acks: Sequence[Ack], at: float) -> None:
        """The acknowledgements did not get through."""
        with self._lock:
            for ack in acks:
                self._sending.pop((ack.id, ack.attempt), None)
            self._acks[:0] = acks
            self._first_ack = at

    def drop_unstarted(self) -> Tuple[Lease, ...]:
        """Take all unstarted leases out of the hand, to be released."""
        with self._lock:
            dropped = tuple(self._unstarted)
            self._unstarted.clear()
            for lease in dropped:
                self._renewed.pop(key_of(lease), None)
            return dropped

    def abandon_current(self) -> Tuple[Lease, ...]:
        """Give up the current leases: whatever their handler returns from now on is dropped."""
        with self._lock:
            abandoned = tuple(lease for lease in self._current if key_of(lease) not in self._abandoned)
            self._abandoned.update(key_of(lease) for lease in abandoned)
            for lease in abandoned:
                self._renewed.pop(key_of(lease), None)
            return abandoned

    def lost(self, leases: Sequence[Lease]) -> Tuple[Lease, ...]:
        """The queue says these leases are no longer ours; returns those that were still in the hand.

        Those on their way to the queue are left alone: its answer to the acknowledgement decides.
        """
        with self._lock:
            keys = {key_of(lease) for lease in leases} - set(self._sending)
            gone = [lease for lease in self._current if key_of(lease) in keys - self._abandoned]
            self._abandoned.update(key_of(lease) for lease in gone)
            gone += [lease for lease in self._unstarted if key_of(lease) in keys]
            gone += [Lease(ack.id, "", ack.attempt, 0) for ack in self._acks if (ack.id, ack.attempt) in keys]
            self._unstarted = deque(lease for lease in self._unstarted if key_of(lease) not in keys)
            self._acks = [ack for ack in self._acks if (ack.id, ack.attempt) not in keys]
            for lease in gone:
                self._renewed.pop(key_of(lease), None)
            return tuple(gone)

    def renewed(self, leases: Sequence[Lease], at: float) -> None:
        """A heartbeat sent at ``at`` got through."""
        with self._lock:
            for lease in leases:
                if key_of(lease) in self._renewed:
                    self._renewed[key_of(lease)] = at

    def held(self) -> Tuple[Lease, ...]:
        """Every lease that a heartbeat must extend: unstarted, current, and finished but not yet acknowledged."""
        with self._lock:
            leases = [lease for lease in self._current if key_of(lease) not in self._abandoned]
            leases += self._unstarted
            # A lease is known by id and attempt alone; the payload of a finished one is not kept for its heartbeat.
            leases += [Lease(ack.id, "", ack.attempt, 0) for ack in self._acks]
            leases += [Lease(ack.id, "", ack.attempt, 0) for ack in self._sending.values()]
            return tuple(leases)

    def current(self) -> Tuple[Lease, ...]:
        """The leases being processed and not abandoned."""
        with self._lock:
            return tuple(lease for lease in self._current if key_of(lease) not in self._abandoned)

    def started_at(self) -> Optional[float]:
        """When the current processing began; None when there is none or it was given up."""
        with self._lock:
            if any(key_of(lease) not in self._abandoned for lease in self._current):
                return self._started
            return None

    def unstarted_since(self) -> Optional[float]:
        """When the unstarted leases were taken; None when there are none."""
        with self._lock:
            return self._taken_at if self._unstarted else None

    def acks_since(self) -> Optional[float]:
        """When the oldest unacknowledged result was finished; None when there is none."""
        with self._lock:
            return self._first_ack if self._acks else None

    def heartbeat_due(self) -> Optional[float]:
        """When the held leases must be extended: a third of the lease after the oldest was taken or extended."""
        with self._lock:
            if not self._renewed:
                return None
            return min(self._renewed.values()) + self._lease_seconds / 3

    def put_back(self, leases: Sequence[Lease]) -> None:
        """Unstarted leases could not be released: hold them again."""
        with self._lock:
            self._unstarted.extendleft(reversed(leases))
            for lease in leases:
                self._renewed.setdefault(key_of(lease), self._taken_at)
