"""``python -m localcluster``."""

from __future__ import annotations

import sys

from localcluster.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
