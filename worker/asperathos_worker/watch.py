"""The watch: what must happen while the main thread is busy with an item.

Heartbeats, handing back items that wait too long, acknowledging finished ones, metrics, the end of the grace period,
the item timeout. ``tick`` does what is due and says when to come again; it knows no threads and no signals.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from .engine import Desk
from .errors import Exit
from .metrics import Metrics
from .outcome import Failed, tail
from .pace import FLUSH, HOLD
from .queue.api import QueueError, QueueMissing, QueueUnavailable
from .queue.records import Lease

PAUSE = 1.0
"""Seconds between two tries of something the queue was away for."""


class Watch:
    """Looks after the leases of one worker.

    ``grace`` is the time (seconds) from the wish to stop to the hard end, the time kept for handing items back
    already taken off. ``item_timeout`` (seconds per item) is set only when the processor cannot enforce it itself.
    ``end`` ends the process at once with a code, ``restart`` starts it anew; neither is expected to return outside
    of tests.
    """

    def __init__(
        self,
        desk: Desk,
        metrics: Metrics,
        grace: float,
        item_timeout: Optional[float],
        end: Callable[[Exit], None],
        restart: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._metrics = metrics
        self._grace = grace
        self._item_timeout = item_timeout
        self._end = end
        self._restart = restart
        self._not_before: Dict[str, float] = {}
        self._interrupted: Optional[float] = None

    def tick(self) -> Optional[float]:
        """Do what is due; returns the seconds until something is due next, None when nothing is planned."""
        desk = self._desk
        self._stopping()
        self._overdue_items()
        now = desk.clock.now()
        self._when_due("release", self._release_due(now), self._release_unstarted)
        acks = desk.hand.acks_since()
        self._when_due("flush", None if acks is None else acks + FLUSH, desk.acknowledge)
        self._when_due("heartbeat", desk.hand.heartbeat_due(), self._heartbeat)
        self._when_due("metrics", self._metrics.due(), self._send_metrics)
        return self._next(desk.clock.now())

    def _release_due(self, now: float) -> Optional[float]:
        since = self._desk.hand.unstarted_since()
        if since is None:
            return None
        return now if self._desk.stop.code is not None else since + HOLD

    def _next(self, now: float) -> Optional[float]:
        desk = self._desk
        acks = desk.hand.acks_since()
        dues: List[Optional[float]] = [
            self._planned("release", self._release_due(now)),
            self._planned("flush", None if acks is None else acks + FLUSH),
            self._planned("heartbeat", desk.hand.heartbeat_due()),
            self._planned("metrics", self._metrics.due()),
            self._planned("overdue", self._overdue_at()),
        ]
        if desk.stop.code is not None and desk.hand.started_at() is not None and self._interrupted is None:
            dues.append(desk.stop.since + self._grace)
        planned = [due for due in dues if due is not None]
        return max(0.0, min(planned) - now) if planned else None

    def _planned(self, name: str, due: Optional[float]) -> Optional[float]:
        return None if due is None else max(due, self._not_before.get(name, due))

    def _when_due(self, name: str, due: Optional[float], act: Callable[[], None]) -> None:
        planned = self._planned(name, due)
        if planned is None or planned > self._desk.clock.now():
            return
        try:
            act()
        except (QueueUnavailable, QueueMissing):
            self._not_before[name] = self._desk.clock.now() + PAUSE

    def _release_unstarted(self) -> None:
        desk = self._desk
        leases = desk.hand.drop_unstarted()
        try:
            desk.line.attempt(lambda: desk.release(leases))
        except QueueError:
            # Still ours and still unstarted: the engine may as well work on them, unless it is to stop.
            desk.hand.put_back(leases)
            raise

    def _heartbeat(self) -> None:
        desk = self._desk
        leases = desk.hand.held()
        at = desk.clock.now()
        # Results on their way to the queue may keep the hand's oldest reading in the past for a moment.
        self._not_before["heartbeat"] = at + FLUSH
        if not leases:
            return
        refused = desk.line.attempt(lambda: desk.queue.extend(desk.worker, desk.index, leases))
        desk.hand.renewed(leases, at)
        for lease in desk.hand.lost(refused):
            self._lost(lease)

    def _lost(self, lease: Lease) -> None:
        desk = self._desk
        desk.counters.add("lost")
        desk.log.warning("lease_lost", item=lease.id, attempt=lease.attempt)
        if desk.hand.started_at() is None:
            desk.processor.interrupt()

    def _send_metrics(self) -> None:
        desk = self._desk
        values = self._metrics.take()
        try:
            desk.line.attempt(lambda: desk.queue.report(desk.worker, values))
        except QueueError:
            self._metrics.give_back(values)
            raise

    def _stopping(self) -> None:
        """Ends the work in hand when the grace period is over."""
        desk = self._desk
        code = desk.stop.code
        if code is None or desk.hand.started_at() is None or self._interrupted is not None:
            return
        if not desk.stop.hurry and desk.clock.now() < desk.stop.since + self._grace:
            return
        self._interrupted = desk.clock.now()
        desk.log.warning("grace_over", items=",".join(lease.id for lease in desk.hand.current()))
        if desk.processor.interrupt():
            return
        desk.abandoned.set()
        self._hand_back(desk.hand.abandon_current() + desk.hand.drop_unstarted())
        self._end(code)

    def _hand_back(self, leases: "tuple[Lease, ...]") -> None:
        """Give everything to the queue, in one try: the process ends next."""
        desk = self._desk
        try:
            desk.line.attempt(lambda: desk.release(leases))
            desk.acknowledge()
        except QueueError:
            desk.log.warning("items_left", items=",".join(lease.id for lease in leases))

    def _overdue_at(self) -> Optional[float]:
        started = self._desk.hand.started_at()
        if started is None or self._item_timeout is None:
            return None
        return started + self._item_timeout * max(1, len(self._desk.hand.current()))

    def _overdue_items(self) -> None:
        self._when_due("overdue", self._overdue_at(), self._time_out)

    def _time_out(self) -> None:
        """Fail the items in hand and start the process anew: a running handler cannot be stopped from within."""
        desk = self._desk
        # First what is finished and unstarted, and only then the point of no return.
        desk.acknowledge()
        self._release_unstarted()
        where = desk.processor.whereabouts()
        desk.abandoned.set()
        leases = desk.hand.abandon_current()
        if not leases:
            desk.abandoned.clear()
            return
        failed = Failed(tail(f"timed out after {self._item_timeout:g} s (ASPERATHOS_ITEM_TIMEOUT)\n{where}".rstrip()))
        try:
            for lease in leases:
                desk.line.attempt(lambda held=lease: desk.fail(held, failed))  # type: ignore[misc]
        except QueueError:
            desk.log.warning("items_left", items=",".join(lease.id for lease in leases))
        desk.log.warning("restarting", reason="item timeout")
        self._restart()
