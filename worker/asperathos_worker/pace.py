"""Pure decisions on time: how many items to take at once, how long to wait before asking again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

HORIZON = 0.1
"""Seconds of work a worker takes at once. Items longer than this are taken one by one."""

HOLD = 0.5
"""Seconds after which an item that was taken but not started is handed back: its estimate was wrong."""

FLUSH = 0.25
"""Seconds after which finished items are acknowledged even while the next one is still being worked on."""

MOST = 256
"""Most items taken at once, however short."""


@dataclass(frozen=True)
class Pace:
    """The running estimate of one item's service time (seconds) and the quantity it allows."""

    service: Optional[float] = None
    quantity: int = 1

    def observed(self, seconds: float, items: int, most: int = MOST) -> Pace:
        """The pace after a round of ``items`` took ``seconds``.

        Slower items count at once, faster ones by and by; the quantity at most doubles from round to round.
        """
        each = max(seconds, 0.0) / items
        if self.service is None or each > self.service * 4:
            service = each
        else:
            # A round of many short items tells as much as as many rounds of one.
            service = self.service + (1 - 0.8**items) * (each - self.service)
        fitting = most if service <= HORIZON / most else int(HORIZON / service)
        return Pace(service, max(1, min(fitting, most, self.quantity * 2)))


@dataclass(frozen=True)
class Backoff:
    """Exponentially growing waits: ``first``, then ``factor`` times the last, at most ``cap`` seconds."""

    first: float
    cap: float
    factor: float = 2.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after the ``attempt``-th fruitless try in a row (from 0)."""
        # The exponent is bounded, since a float power overflows after a thousand fruitless tries.
        return min(self.cap, self.first * self.factor ** min(attempt, 64))


POLL = Backoff(0.05, 1.0, 1.6)
"""Between two takes that found nothing."""

RETRY = Backoff(0.1, 2.0)
"""Between two tries to reach the queue."""
