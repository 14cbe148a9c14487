"""On a service's PYTHONPATH: its clock is as much ahead as a file says, which may be written again at any time.

Only the time of day: durations are measured with the monotonic clock, as on a machine whose clock is set. (libfaketime
cannot do that: with the monotonic clock left alone it breaks ``time.sleep``.)
"""

import os
import time

_real_time = time.time
_monotonic = time.monotonic
_path = os.environ.get("FAULTS_CLOCK", "")
_known = [0.0, -1.0]
"""Offset, and when it was read."""


def _shifted_time() -> float:
    now = _monotonic()
    if now - _known[1] > 0.05:
        try:
            with open(_path) as file:
                _known[0] = float(file.read())
        except (OSError, ValueError):
            pass  # it is being written
        _known[1] = now
    return _real_time() + _known[0]


if _path:
    time.time = _shifted_time
