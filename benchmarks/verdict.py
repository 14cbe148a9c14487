"""How a benchmark ends that was asked to check its bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def verdict(missed: Iterable[str]) -> int:
    """Name each missed bar on standard error; the exit code."""
    code = 0
    for bar in missed:
        print(f"bar missed: {bar}", file=sys.stderr)
        code = 1
    return code
