"""Durations, byte sizes and Kubernetes quantities: text in, numbers out."""

from __future__ import annotations

import math
import re

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(
    r"^(\d+(?:\.\d*)?|\.\d+)(?:(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)|[eE]([+-]?\d{1,2}))?$", re.ASCII
)
_FACTORS = {
    None: 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}


def parse_duration(value: object) -> float:
    """Seconds of ``30m``, ``90s``, ``1h30m``, ``250ms``, or a plain number of seconds.

    Raises ValueError with a remedy for anything else, negative and non-finite numbers included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a duration such as 90s, 30m, 1h30m, or a number of seconds")
    if isinstance(value, str):
        text = value.strip()
        seconds = float(text) if _NUMBER.match(text) else _compound_seconds(text)
    else:
        # An integer too large for a float is as good as infinite.
        seconds = float(value) if abs(value) < 1e300 else math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError("must be a finite duration, not negative")
    return seconds


def _compound_seconds(text: str) -> float:
    end = 0
    seconds = 0.0
    for part in _DURATION_PART.finditer(text):
        if part.start() != end:
            break
        seconds += float(part.group(1)) * _SECONDS[part.group(2)]
        end = part.end()
    if end == 0 or end != len(text):
        raise ValueError(f"{text[:40]!r} is not a duration: write 90s, 30m, 1h30m, or a number of seconds")
    return seconds


def format_duration(seconds: float) -> str:
    """A short human form: ``850ms``, ``42s``, ``3m 20s``, ``1h 05m``, ``2d 03h``."""
    if not math.isfinite(seconds):
        return "unknown"
    sign = "-" if seconds < 0 else ""
    seconds = abs(seconds)
    if seconds < 0.9995:
        return f"{sign}{seconds * 1000:.0f}ms"
    whole = round(seconds)
    if whole < 60:
        return f"{sign}{whole}s"
    if whole < 3600:
        return f"{sign}{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{sign}{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{sign}{whole // 86400}d {whole % 86400 // 3600:02d}h"


def parse_quantity(value: object) -> float:
    """The number a Kubernetes quantity stands for: ``500m`` -> 0.5, ``64Mi`` -> 67108864. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a Kubernetes quantity such as 500m, 2, 512Mi or 1.5Gi")
    match = _QUANTITY.match(str(value).strip())
    if match is None:
        raise ValueError(f"{str(value)[:40]!r} is not a Kubernetes quantity: write 500m, 2, 512Mi or 1.5Gi")
    number = float(match.group(1)) * _FACTORS[match.group(2)] * 10.0 ** int(match.group(3) or 0)
    if not math.isfinite(number):
        raise ValueError("is too large")
    return number
