"""``python -m asperathos_worker``, also installed as ``asperathos-worker``."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Optional


def _end_early(number: int, _frame: Optional[FrameType]) -> None:
    os._exit(128 + number)


def main() -> None:
    """Run the runner and exit with its code."""
    # As process 1 of a container, SIGTERM would be ignored until the engine listens for it: nothing is held yet.
    signal.signal(signal.SIGTERM, _end_early)
    from .runner import main as run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
