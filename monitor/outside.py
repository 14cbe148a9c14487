"""Prices and metrics from outside, asked for no oftener than they are of use, and never for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.domain.errors import Unavailable
from common.domain.readings import price_of, value_of
from common.http.contracts import MonitoringInfo
from common.ports import Clock, Readings
from monitor.told import Told

_PRICES_FRESH = 60.0
_METRICS_FRESH = 4.0
_AGAIN = 30.0
"""Seconds until an address that did not answer is asked again."""
_PRICES_HOLD = 3600.0
"""Seconds that the last known prices stand in for ones that cannot be had."""
_MOST_KEPT = 4096


@dataclass(frozen=True)
class _Answer:
    tried_at: float
    at: float | None = None
    value: Any = None
    trouble: str = ""


class Outside:
    """May be used by threads: at worst one asks what another has just asked."""

    def __init__(self, readings: Readings, clock: Clock) -> None:
        self._readings = readings
        self._clock = clock
        self._answers: dict[tuple[str, str], _Answer] = {}

    def told(self, info: MonitoringInfo) -> Told:
        """What there is to tell of the submission."""
        price, troubles = self._price(info)
        metrics = {}
        for name, query in info.queries.items():
            address = f"{query.url.rstrip('/')}/api/v1/query"
            answer = self._ask(address, query.query, _METRICS_FRESH)
            try:
                # Of a metric only the present value is of use.
                value = value_of(answer.value) if not answer.trouble else None
            except ValueError as error:
                troubles.append(f"{address}: {error}")
                continue
            if value is not None:
                metrics[name] = value
            if answer.trouble:
                troubles.append(answer.trouble)
        return Told(price, metrics, "; ".join(troubles))

    def _price(self, info: MonitoringInfo) -> tuple[float | None, list[str]]:
        if info.prices is None:
            return None, []
        if info.prices.url is None:
            return price_of(info.prices, info.requests), []
        answer = self._ask(info.prices.url, "", _PRICES_FRESH)
        troubles = [answer.trouble] if answer.trouble else []
        if answer.at is None or self._clock.monotonic() - answer.at > _PRICES_HOLD:
            return None, troubles
        try:
            return price_of(info.prices, info.requests, answer.value), troubles
        except ValueError as error:
            return None, [*troubles, f"{info.prices.url}: {error}"]

    def _ask(self, url: str, query: str, fresh: float) -> _Answer:
        now = self._clock.monotonic()
        key = (url, query)
        known = self._answers.get(key)
        if known is not None and now - known.tried_at < (_AGAIN if known.trouble else fresh):
            return known
        try:
            answer = _Answer(now, now, self._readings.read(url, {"query": query} if query else {}))
        except Unavailable as error:
            answer = _Answer(now, known.at if known else None, known.value if known else None, error.message)
        if len(self._answers) >= _MOST_KEPT:
            self._answers.clear()
        self._answers[key] = answer
        return answer
