"""The engine: takes items, has them processed, tells the queue what became of them, and knows when to end.

It runs in the main thread, since handlers expect to; the watch (``watch.py``) keeps the leases alive meanwhile.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Callable, Dict, Optional, Sequence

from .clock import Clock
from .errors import Exit
from .hand import Hand
from .line import Line
from .log import Log
from .metrics import Metrics
from .outcome import Done, Failed, Outcome
from .pace import MOST, POLL, Pace
from .processor import Processor
from .queue.api import QueueError, WorkerQueue
from .queue.records import Ack, Lease, Taken, Verdict


class Stop:
    """Whether, why and since when (monotonic seconds) this worker is to stop. Set by the watch, read by the engine."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.code: Optional[Exit] = None
        self.since = 0.0
        self.hurry = False

    def asked(self) -> bool:
        """Whether this worker is to stop."""
        return self.code is not None

    def ask(self, code: Exit, at: float) -> None:
        """The first wish counts."""
        if self.code is None:
            self.code = code
            self.since = at
            self.event.set()


class Counters:
    """What this worker did, for its last log line. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("done", "failed", "released", "lost", "refused"), 0)

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number

    def counts(self) -> Dict[str, int]:
        """The counts so far, by name."""
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True)
class Desk:
    """What engine and watch share: the queue, who asks, what is held, and the ways to say so."""

    queue: WorkerQueue
    worker: str
    index: int
    processor: Processor
    line: Line
    clock: Clock
    log: Log
    hand: Hand = field(default_factory=Hand)
    stop: Stop = field(default_factory=Stop)
    counters: Counters = field(default_factory=Counters)
    abandoned: threading.Event = field(default_factory=threading.Event)
    """The watch is about to end this process; the engine must touch nothing any more."""

    def exchange(self, acks: Sequence[Ack], n: int) -> Taken:
        """Acknowledge ``acks`` and take up to n items, in one call to the queue.

        After a QueueUnavailable call it again with the same n, so that items a lost answer handed out are found.
        """
        at = self.clock.now()
        if acks:
            taken = self.queue.finish_and_take(self.worker, self.index, acks, n)
        else:
            taken = self.queue.take(self.worker, self.index, n)
        self.hand.acked(acks)
        if taken.leases:
            self.hand.add(taken.leases, at, taken.lease_seconds)
        for ack, accepted in zip(acks, taken.accepted):  # noqa: B905 - Python 3.8
            if accepted:
                self.counters.add("done")
            else:
                self.counters.add("refused")
                self.log.warning("result_refused", item=ack.id, attempt=ack.attempt)
        return taken

    def acknowledge(self) -> None:
        """Acknowledge what is finished, in one try. Raises QueueUnavailable; the results stay in the hand then."""
        acks = self.hand.take_acks()
        if not acks:
            return
        try:
            self.line.attempt(lambda: self.exchange(acks, 0))
        except QueueError:
            self.hand.return_acks(acks, self.clock.now())
            raise

    def release(self, leases: Sequence[Lease]) -> None:
        """Hand items back unharmed. Raises QueueUnavailable when that fails: their leases will run out."""
        if leases:
            self.counters.add("released", self.queue.release(self.worker, leases))

    def fail(self, lease: Lease, failed: Failed) -> None:
        """Report a failed attempt."""
        if self.queue.fail(self.worker, lease, failed.error, failed.permanent):
            self.counters.add("failed")
            lines = failed.error.rstrip().splitlines() or [""]
            # A traceback says what happened in its last line, everything else in its first.
            gist = lines[-1] if lines[0].startswith(("Traceback", "...")) else lines[0]
            self.log.warning(
                "item_failed", item=lease.id, attempt=lease.attempt, permanent=failed.permanent, error=gist
            )
        else:
            self.counters.add("lost")
            self.log.warning("item_lost", item=lease.id, attempt=lease.attempt)


class Engine:
    """One worker's life from its first take to its exit code.

    ``most`` bounds how many items are taken at once. ``woken`` is called after items were taken, so that the watch
    can look at them.
    """

    def __init__(
        self, desk: Desk, metrics: Metrics, most: Optional[int] = None, woken: Callable[[], None] = lambda: None
    ) -> None:
        self._desk = desk
        self._metrics = metrics
        self._most = MOST if most is None else most
        self._woken = woken
        self._pace = Pace()
        self._idle = 0
        self._draining = False

    def run(self) -> Exit:
        """Work until the queue is over or a stop is asked for; returns the exit code.

        Raises QueueGone when the queue stays away, QueueRefused when it will not serve, Unable when no item can be
        worked on, and what the processor lets through. Whatever happens, nothing is held any more unless the queue
        is away.
        """
        desk = self._desk
        try:
            code = self._work()
        except BaseException:
            self._let_go()
            raise
        if code is not Exit.DONE:
            unstarted = desk.hand.drop_unstarted()
            desk.line.insist(lambda: desk.release(unstarted))
            acks = desk.hand.take_acks()
            if acks:
                desk.line.insist(lambda: desk.exchange(acks, 0))
        self._last_report()
        return code

    def _work(self) -> Exit:
        desk = self._desk
        while True:
            began = desk.clock.now()
            worked = 0
            while not desk.stop.asked():
                batch = desk.hand.start(desk.processor.most, desk.clock.now())
                if not batch:
                    break
                self._process(batch)
                worked += len(batch)
            if worked:
                self._pace = self._pace.observed(desk.clock.now() - began, worked, self._most)
            if desk.stop.code is not None:
                return desk.stop.code
            verdict = self._take()
            if verdict in (Verdict.OVER, Verdict.STOPPED) and not desk.stop.asked():
                desk.log.info("queue_ended", verdict=verdict.value)
                return Exit.DONE

    def _take(self) -> Verdict:
        desk = self._desk
        wanted = max(self._pace.quantity, desk.processor.most)
        acks = desk.hand.take_acks()
        try:
            taken = desk.line.insist(lambda: desk.exchange(acks, wanted), unless=lambda: desk.stop.asked() and not acks)
        except BaseException:
            desk.hand.return_acks(acks, desk.clock.now())
            raise
        if taken.leases:
            self._idle = 0
            self._woken()
        if (taken.verdict is Verdict.DRAIN) is not self._draining:
            self._draining = not self._draining
            desk.log.info("draining" if self._draining else "drain_lifted", index=desk.index)
        if taken.verdict in (Verdict.WAIT, Verdict.DRAIN):
            # What a dead worker held is to be begun anew soon after its lease has ended.
            pause = min(POLL.wait(self._idle), taken.lease_seconds / 10)
            desk.clock.wait(desk.stop.event, pause * desk.clock.jitter())
            self._idle += 1
        return taken.verdict

    def _process(self, batch: Sequence[Lease]) -> None:
        desk = self._desk
        outcomes = desk.processor.process(batch)
        for lease, outcome in zip(batch, outcomes):  # noqa: B905 - Python 3.8
            if desk.hand.settle(lease):
                self._tell(lease, outcome)
            elif desk.abandoned.is_set():
                # The watch is reporting on this item and ends the process at any moment.
                threading.Event().wait(60)
            else:
                desk.log.warning("result_dropped", item=lease.id, attempt=lease.attempt)

    def _tell(self, lease: Lease, outcome: Outcome) -> None:
        desk = self._desk
        if isinstance(outcome, Done):
            desk.hand.finish(Ack(lease.id, lease.attempt, outcome.result), desk.clock.now())
            return
        if isinstance(outcome, Failed):
            failed = outcome
            desk.line.insist(lambda: desk.fail(lease, failed))
        else:
            desk.line.insist(lambda: desk.release((lease,)))
        desk.hand.forget(lease)

    def _let_go(self) -> None:
        """Hand everything back, as far as one try goes."""
        desk = self._desk
        held = desk.hand.abandon_current() + desk.hand.drop_unstarted()
        try:
            desk.acknowledge()
            desk.release(held)
        except QueueError:
            desk.log.warning("items_left", items=",".join(lease.id for lease in held))

    def _last_report(self) -> None:
        values = self._metrics.take()
        if values:
            try:
                self._desk.line.attempt(lambda: self._desk.queue.report(self._desk.worker, values))
            except QueueError:
                self._desk.log.warning("metrics_dropped", names=",".join(sorted(values)))
