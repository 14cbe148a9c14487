"""How users name distributions, arrival processes and chances on the command line. Every refusal tells the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.domain.units import parse_duration
from simulator.arrivals import Arrivals, Batches, Bursty, Diurnal, Poisson
from simulator.contention import Contention
from simulator.distributions import (
    Bimodal,
    Constant,
    Cut,
    Distribution,
    Exponential,
    Gamma,
    LogNormal,
    Pareto,
    Uniform,
    Weibull,
)

Options = Mapping[str, str]


@dataclass(frozen=True)
class _Family:
    """``make`` gets the mean (s) and the numbers of ``options``; a number outside its range is refused."""

    make: Callable[..., Distribution]
    options: Mapping[str, tuple[float, float]]
    example: str


_FAMILIES: Mapping[str, _Family] = {
    "constant": _Family(Constant, {}, "constant:30s"),
    "uniform": _Family(Uniform, {"cv": (0.0, 0.577)}, "uniform:30s,cv=0.3"),
    "exponential": _Family(Exponential, {}, "exponential:30s"),
    "lognormal": _Family(LogNormal, {"cv": (0.0, 20.0)}, "lognormal:30s,cv=1.2"),
    "gamma": _Family(Gamma, {"cv": (0.001, 20.0)}, "gamma:30s,cv=0.4"),
    "weibull": _Family(Weibull, {"cv": (0.03, 15.0)}, "weibull:30s,cv=1.5"),
    "pareto": _Family(Pareto, {"alpha": (1.01, 100.0)}, "pareto:30s,alpha=2.2"),
    "bimodal": _Family(
        Bimodal, {"ratio": (1.0, 1e4), "share": (0.0, 1.0), "cv": (0.0, 20.0)}, "bimodal:30s,ratio=10,share=0.1"
    ),
}
DISTRIBUTIONS = ", ".join(family.example for family in _FAMILIES.values())
"""An example of each."""

_PROCESSES: Mapping[str, tuple[type[Arrivals], Mapping[str, str], str]] = {
    "poisson": (Poisson, {}, "poisson:3/s"),
    "diurnal": (
        Diurnal,
        {"day": "duration", "swing": "number", "noise": "number"},
        "diurnal:3/s,day=4h,swing=0.7,noise=0.2",
    ),
    "bursty": (
        Bursty,
        {"ratio": "number", "calm": "duration", "burst": "duration"},
        "bursty:3/s,ratio=4,calm=4m,burst=1m",
    ),
    "batches": (Batches, {"size": "number"}, "batches:3/s,size=10"),
}
PROCESSES = ", ".join(example for _, _, example in _PROCESSES.values())
"""An example of each."""

_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_distribution(text: str) -> Distribution:
    """``30s``, ``lognormal:30s,cv=1.2``, any of them with ``max=5m``. Raises ValueError with the remedy."""
    name, mean_text, options = _parts(text)
    if not name:
        name = "constant"
    family = _FAMILIES.get(name)
    if family is None:
        raise ValueError(f"unknown distribution {name!r}{_hint(name, _FAMILIES)}; write one of {DISTRIBUTIONS}")
    mean = _positive(mean_text, f"the mean of {name}")
    longest = options.pop("max", None)
    numbers = {}
    for option, given in options.items():
        if option not in family.options:
            takes = ", ".join([*family.options, "max"])
            raise ValueError(f"{name} takes {takes}, not {option}: write it like {family.example}")
        low, high = family.options[option]
        numbers[option] = _number(given, option, low, high)
    distribution = family.make(mean, **numbers)
    return distribution if longest is None else Cut(distribution, _positive(longest, "max"))


def parse_arrivals(text: str) -> Arrivals:
    """``poisson:3/s`` and so on. Raises ValueError with the remedy."""
    name, rate_text, options = _parts(text)
    if name not in _PROCESSES:
        raise ValueError(f"unknown arrivals {name or text!r}{_hint(name, _PROCESSES)}; write one of {PROCESSES}")
    make, takes, example = _PROCESSES[name]
    values = {}
    for option, given in options.items():
        if option not in takes:
            listed = ", ".join(takes) or "a rate only"
            raise ValueError(f"{name} takes {listed}, not {option}: write it like {example}")
        is_duration = takes[option] == "duration"
        values[option] = _positive(given, option) if is_duration else _number(given, option, 0.0, 1e6)
    if values.get("size", 1.0) < 1.0 or values.get("ratio", 1.0) < 1.0:
        raise ValueError(f"size and ratio must be at least 1: write it like {example}")
    if values.get("swing", 0.0) > 1.0:
        raise ValueError(f"swing is a share of the rate, at most 1: write it like {example}")
    return make(parse_rate(rate_text), **values)  # type: ignore[call-arg]


def parse_rate(text: str) -> float:
    """Events per second of ``3/s``, ``120/m``, ``0.5/h``. Raises ValueError with the remedy."""
    number, _, unit = text.partition("/")
    if unit not in _PER:
        raise ValueError(f"{text!r} is no rate: write it like 3/s, 120/m or 0.5/h")
    rate = _number(number, "a rate", 0.0, 1e9) / _PER[unit]
    if rate <= 0:
        raise ValueError("a rate must be above 0")
    return rate


def parse_share(text: str) -> float:
    """0 to 1 of ``2%`` or ``0.02``. Raises ValueError with the remedy."""
    number, percent = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
    share = _number(number, "a share", 0.0, 1e9) / percent
    if share > 1.0:
        raise ValueError(f"{text!r} is more than all: write it like 2% or 0.02")
    return share


def parse_stragglers(text: str) -> tuple[float, float]:
    """Share of the attempts and by how much they are slower, of ``1%x5``. Raises ValueError with the remedy."""
    share, times, factor = text.partition("x")
    if not times:
        raise ValueError(f"{text!r}: write it like 1%x5, one attempt in a hundred taking five times as long")
    return parse_share(share), _number(factor, "the factor", 1.0, 1e6)


def parse_contention(text: str) -> Contention:
    """``cores=2`` or ``sigma=0.02,kappa=0.0001``. Raises ValueError with the remedy."""
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, given = part.strip().partition("=")
        if name not in ("sigma", "kappa", "cores"):
            raise ValueError(f"{part!r}: write it like sigma=0.02,kappa=0.0001 or cores=2")
        values[name] = _number(given, name, 0.0 if name != "cores" else 1e-6, 1e6)
    return Contention(**values)


def _parts(text: str) -> tuple[str, str, dict[str, str]]:
    head, *more = (part.strip() for part in text.split(","))
    name, colon, first = head.partition(":")
    options = {}
    for part in more:
        option, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r}: write options like cv=1.2")
        options[option.strip()] = value.strip()
    return (name.strip().lower(), first.strip(), options) if colon else ("", head, options)


def _positive(text: str, what: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"{what} must be longer than nothing")
    return seconds


def _number(text: str, what: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{what} must be a number, not {text!r}") from None
    if not least <= number <= most:
        raise ValueError(f"{what} must lie between {least:g} and {most:g}, not {number:g}")
    return number


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else ""
