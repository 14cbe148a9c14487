"""Kubernetes quantities ("250m", "1Gi", "2") as exact numbers."""

from __future__ import annotations

import re
from fractions import Fraction

_PATTERN = re.compile(r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE])?)$")
_FACTORS: dict[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_MAX_EXPONENT = 30


def parse_quantity(value: object) -> Fraction:
    """The number a quantity stands for; raises ValueError when it is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"not a quantity: {value!r}")
    match = _PATTERN.match(str(value))
    if match is None:
        raise ValueError(f"quantities must match the regular expression '{_PATTERN.pattern}': {value!r}")
    number, exponent, suffix = match.groups()
    if exponent:
        power = int(exponent[1:])
        if abs(power) > _MAX_EXPONENT:
            raise ValueError(f"quantity out of range: {value!r}")
        return Fraction(number) * Fraction(10) ** power
    return Fraction(number) * _FACTORS[suffix or ""]
