"""How a pile's work would go on with so many replicas: when the queue empties, and who would end too late. Pure.

The last waiting item starts when the replicas have worked off those before it; from then on nothing can be hastened.
So what breaks a deadline is an item that starts late and takes long. With n items waiting, started evenly until the
last one at T, of L seconds left, n * E[P(L - t < X < B)] of them miss the deadline though they would have met it had
they started at once: B is L, but no more than what a deadline that leaves room lets the longest item take (longer ones
nobody can help). With A twice this number, exp(-A) is the chance that there is none; it is averaged over how much the
work may come to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from controller.laws.estimate import ItemTime
from controller.laws.pace import Cost

NODES = ((-1.2247, 0.25), (0.0, 0.5), (1.2247, 0.25))
"""Values and weights of a standard normal deviate, exact to the third moment."""
_CORRECTED = 0.5
"""This share of the doubt about the work must be provided for now; later decisions correct the rest."""
_CAUTION = 2.0
"""Late ends count so many times: of piles of many kinds about twice as many were late as the belief foretold, since
the longest items are those of which least is known."""
_MOST_AGES = 24
_LEAST = 1e-6
_LEARNING = 1.0 / 3.0
"""While this share of the waiting items starts, more is learned; afterwards a decision may still ..."""
_RESPONSE = 0.75
"""... raise the replicas by this share of them, as far as little is known yet."""


@dataclass(frozen=True)
class Outlook:
    """The work left. ``running`` holds (age in seconds, how many items); the replicas that run, are pending, and the
    seconds that pending and fresh ones still take to start."""

    time: ItemTime
    waiting: int
    running: tuple[tuple[float, float], ...]
    left: float
    ready_replicas: int
    pending: int
    still: float
    startup: float
    cost: Cost
    repeats: float
    """Attempts an item takes on the average."""
    most: int
    familiar: float = 1.0
    """What is believed of late ends counts by this factor: the more items have ended without a surprise, the less."""

    def per_item(self, replicas: int) -> float:
        """Replica seconds an item takes."""
        # Failed attempts cost time as well, so the measured cost contains them: the greater of the two, not both.
        return max(self.cost.at(replicas), self.time.mean * self.repeats)

    @property
    def doubt(self) -> float:
        """Standard deviation of the logarithm of the work that waits."""
        known = 1.0 / max(self.time.weight + 1.0, 1.0)
        return min(self.time.variation * math.sqrt(1.0 / max(self.waiting, 1) + known), 3.0)

    def empties_in(self, replicas: int, scale: float = 1.0) -> float:
        """Seconds in which the waiting items and those in hand are worked off, shared evenly, when those that wait take
        ``scale`` times what is expected."""
        if replicas <= 0:
            return math.inf
        factor = self.per_item(replicas) / self.time.mean
        old = min(replicas, self.ready_replicas)
        pending = min(replicas - old, self.pending)
        fresh = replicas - old - pending
        work = self.waiting * self.time.mean * factor * scale + pending * self.still + fresh * self.startup
        rest = self._rest
        work += self._in_hand * factor
        workers = float(replicas)
        seconds = work / workers
        for remaining, number in rest:
            # Who is busy for longer than that takes no other item.
            if remaining * factor <= seconds:
                break
            work -= remaining * factor * number
            workers -= number
            if workers <= 0:
                return math.inf
            seconds = work / workers
        return max(seconds, _LEAST)

    @cached_property
    def _rest(self) -> Sequence[tuple[float, float]]:
        far = 4.0 * max(self.time.longest, self.time.mean)
        return sorted(((self.time.remaining(age, far), number) for age, number in self.running), reverse=True)

    @cached_property
    def _in_hand(self) -> float:
        return sum(remaining * number for remaining, number in self._rest)

    @cached_property
    def _residual(self) -> float:
        """What an item in work still takes on the average at any moment, in means of an item's time: (1 + cv^2) / 2
        (Feller's inspection paradox); at most 1, for a wide spread is known but roughly."""
        return min(1.0, 0.5 * (1.0 + self.time.variation**2))

    @cached_property
    def _exposed(self) -> Callable[[float], float]:
        return self.time.exposure(min(self.left, self.time.bound))

    def last_starts_in(self, replicas: int, scale: float = 1.0) -> float:
        """Seconds until the last waiting item starts: earlier than the queue's work is done, for each replica then
        still has an item in hand."""
        if not self.waiting:
            return _LEAST
        share = self.waiting / (self.waiting + self._residual * replicas)
        return max(self.empties_in(replicas, scale) * share, _LEAST)

    def chance(self, replicas: int) -> float:
        """The probability that no item ends late that could have ended in time."""
        spread = _CORRECTED * self.doubt
        known = self.waiting / (self.waiting + self.time.weight + 1.0)
        later = max(float(replicas), min(float(self.most), replicas * (1.0 + _RESPONSE * known)))
        share = _LEARNING
        left, exposed = self.left, self._exposed
        total = 0.0
        for deviate, weight in NODES:
            alone = self.last_starts_in(replicas, math.exp(deviate * spread))
            learned = share * alone
            ends = learned + (1.0 - share) * alone * replicas / later
            if ends >= left:
                continue
            soon = exposed(left - learned)
            late = share * soon / learned
            late += (1.0 - share) * (exposed(left - ends) - soon) / max(ends - learned, _LEAST)
            total += weight * math.exp(-_CAUTION * self.waiting * late * self.familiar)
        return total

    def fewest(self, confidence: float, least: int) -> int | None:
        """The fewest replicas with that chance; None when not even the most have it."""
        return _first(lambda replicas: self.chance(replicas) >= confidence, least, self.most)

    def useful(self, least: int) -> int:
        """The fewest replicas that work (nearly) as fast as the most would."""
        best = self.empties_in(self.most)
        found = _first(lambda replicas: self.empties_in(replicas) <= 1.03 * best, least, self.most)
        return self.most if found is None else found

    def done_by(self, seconds: float, starts: Sequence[tuple[float, float, float]]) -> float:
        """The probability that all is done ``seconds`` from now. ``starts``: how many items start evenly between when
        and when."""
        if starts and seconds <= starts[-1][2]:
            return 0.0
        open_ = sum(number * self.time.outlasts_from(age, seconds) for age, number in self.running)
        for number, first, last in starts:
            width = max(last - first, 1e-6)
            open_ += number * (self.time.capped(seconds - first) - self.time.capped(seconds - first - width)) / width
        return math.exp(-min(open_, 700.0))

    def end(self, replicas: int) -> float:
        """Median seconds to the end with so many replicas throughout."""
        if not self.waiting:
            return quantile(lambda seconds: self.done_by(seconds, ()), 0.5, 0.0, 0.0, self.time)
        empty = self.empties_in(replicas)
        if math.isinf(empty):
            return empty
        starts = ((float(self.waiting), 0.0, empty),)
        return quantile(lambda seconds: self.done_by(seconds, starts), 0.5, empty, empty, self.time)

    def shortest(self) -> float:
        """Expected seconds to the end with the most replicas; that one of the last items may be long is left out."""
        return self.empties_in(max(1, self.most)) + self.time.mean

    def later(self, seconds: float, started: int) -> Outlook:
        """The outlook in so many seconds, when so many items more have started and held no surprise."""
        known = self.time.weight + 1.0
        return replace(
            self,
            waiting=self.waiting - started,
            running=(),
            left=self.left - seconds,
            time=replace(self.time, weight=self.time.weight + started),
            familiar=self.familiar * known / (known + started),
        )

    def busy(self, replicas: int) -> Outlook:
        """The outlook with so many replicas, all of them at work, on items they began at some time or other."""
        return replace(self, ready_replicas=replicas, pending=0)


def grouped(ages: Sequence[float], leased: int) -> tuple[tuple[float, float], ...]:
    """The ages of ``leased`` items as few pairs (age, how many); the oldest stay apart."""
    if leased <= 0:
        return ()
    if not ages:
        return ((0.0, float(leased)),)
    worth = leased / len(ages)
    head = [(age, worth) for age in ages[: _MOST_AGES // 2]]
    rest = ages[_MOST_AGES // 2 :]
    size = max(1, math.ceil(len(rest) / (_MOST_AGES // 2)))
    parts = [rest[i : i + size] for i in range(0, len(rest), size)]
    return (*head, *((sum(part) / len(part), worth * len(part)) for part in parts))


def quantile(done_by: Callable[[float], float], share: float, first: float, last: float, time: ItemTime) -> float:
    """When ``done_by`` reaches this share, to half a percent. The queue is empty at ``first`` at the earliest and at
    ``last`` at the latest; times beyond belief are cut."""
    low, high = first, last + max(time.longest, time.mean)
    limit = last + time.edges[-1]
    while done_by(high) < share and high < limit:
        low, high = high, high * 1.5
    for _ in range(24):
        if high - low <= 0.005 * high:
            break
        middle = 0.5 * (low + high)
        if done_by(middle) < share:
            low = middle
        else:
            high = middle
    return high


def _first(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    if not fits(most):
        return None
    low, high = min(max(1, least), most), most
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return low
