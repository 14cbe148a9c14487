"""``asperathos simulate``: the simulator is a program of its own, started as the services are."""

from __future__ import annotations

import subprocess
import sys

import click

from cli import exit_codes


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Say what would happen to a submission, without running it.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Say what would happen to a submission. All options are the simulator's; --help shows them."""
    try:
        done = subprocess.run([sys.executable, "-m", "simulator", *arguments], check=False)
    except KeyboardInterrupt:
        # Ctrl-C reached it too, and it has said what there was to say.
        sys.exit(exit_codes.INTERRUPTED)
    sys.exit(done.returncode)
