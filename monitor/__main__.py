"""``python -m monitor``."""

from __future__ import annotations

from common.bootstrap import main
from monitor.bootstrap import build
from monitor.settings import Settings

if __name__ == "__main__":
    main("monitor", "Measures the progress of submissions.", Settings, 5001, build)
