"""What is read from outside while a submission runs: prices, and metrics that Prometheus answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from common.domain.capacity import Requests
from common.domain.fields import Number, Strict, Text, Word
from common.domain.rules import Rule

_GIGABYTE = 1e9
MOST_MONEY = 1e12
"""No price is higher."""


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return url


WebAddress = Annotated[Word, AfterValidator(_web)]


class Prices(Strict):
    """What a replica costs in an hour: told as a whole, or by cores and memory, or by a URL that tells these."""

    rules: ClassVar = (
        Rule(
            ("replica", "cpu", "memory", "url"),
            lambda self: sum((self.replica is not None, self.cpu + self.memory > 0, self.url is not None)) == 1,
            "give exactly one of replica, cpu and memory, and url",
        ),
    )

    replica: Number | None = Field(default=None, gt=0, le=MOST_MONEY, description="Money for a replica and hour.")
    cpu: Number = Field(default=0.0, ge=0, le=MOST_MONEY, description="Money for a core and hour.")
    memory: Number = Field(default=0.0, ge=0, le=MOST_MONEY, description="Money for a gigabyte and hour.")
    url: WebAddress | None = Field(default=None, description="JSON with cpu_price and memory_price, read each minute.")


class Query(Strict):
    """A metric that is asked of Prometheus."""

    url: WebAddress = Field(description="Where Prometheus is.")
    query: Text = Field(description="PromQL; several samples are added up.")


def price_of(prices: Prices, requests: Requests, told: object = None) -> float | None:
    """Money that a replica of these requests costs in an hour; ``told`` is what ``prices.url`` answered.

    cpu_price * cores + memory_price * gigabytes, as the original has it. None when that comes to nothing.
    Raises ValueError when the answer tells no prices.
    """
    if prices.replica is not None:
        return prices.replica
    cpu, memory = prices.cpu, prices.memory
    if prices.url is not None:
        if not isinstance(told, Mapping):
            raise ValueError("the answer is no JSON object with cpu_price and memory_price")
        cpu, memory = _money(told, "cpu_price"), _money(told, "memory_price")
    price = cpu * requests.cpu + memory * requests.memory / _GIGABYTE
    return price if price > 0 else None


def fixed_price(prices: Prices | None, requests: Requests) -> float | None:
    """Money that a replica costs in an hour, as far as it is known without asking a URL."""
    return None if prices is None or prices.url is not None else price_of(prices, requests)


def value_of(answer: object) -> float | None:
    """The number in an answer of Prometheus' ``/api/v1/query``: a scalar, or the sum of a vector; None when empty.

    Raises ValueError when the answer is none.
    """
    try:
        data: Any = answer["data"]  # type: ignore[index]
        kind, result = data["resultType"], data["result"]
        samples = [result] if kind == "scalar" else [sample["value"] for sample in result]
        values = [float(value) for _, value in samples]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError("the answer is not Prometheus' (a scalar or an instant vector)") from error
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) if finite else None


def _money(told: Mapping[Any, Any], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a number, not negative")
    return float(value)
