"""``python -m visualizer.grafana DIRECTORY``: write the files by which a Grafana provisions itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualizer.grafana.provisioning import files


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m visualizer.grafana",
        description="Writes Grafana's provisioning files: data source, dashboard provider, dashboards.",
    )
    parser.add_argument("directory", type=Path, help="where to write them; it is made when it is not there")
    parser.add_argument(
        "--pages",
        default="http://127.0.0.1:5002",
        help="address of the visualizer's pages, as browsers reach them (default %(default)s)",
    )
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for name, text in files(arguments.pages.rstrip("/")).items():
        (arguments.directory / name).write_text(text)


if __name__ == "__main__":
    main()
