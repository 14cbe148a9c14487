"""``python -m controller``: the controller's API and loop."""

from __future__ import annotations

from common.bootstrap import main
from controller.bootstrap import build
from controller.settings import Settings

if __name__ == "__main__":
    main("controller", "Decides how many replicas each submission gets.", Settings, 5000, build)
