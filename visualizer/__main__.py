"""``python -m visualizer``."""

from common.bootstrap import main
from visualizer.bootstrap import build
from visualizer.settings import Settings

if __name__ == "__main__":
    main("visualizer", "Serves the pages that show submissions live.", Settings, 5002, build)
