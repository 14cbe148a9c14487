"""``python -m manager``."""

from __future__ import annotations

from common.bootstrap import main
from manager.bootstrap import build
from manager.settings import Settings

if __name__ == "__main__":
    main("manager", "Takes submissions and sees each through its life.", Settings, 1500, build)
