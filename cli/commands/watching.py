"""``asperathos watch``: a submission's progress until it ends."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.live import Live
from rich.text import Text

from cli import exit_codes
from cli.client import ManagerClient, Unreachable
from cli.context import Output, manager_command
from cli.render import TERMINAL_STATES, deadline_text, progress_line, state_text

_PATIENCE = 60.0
_QUIET_EVERY = 10.0


@click.command()
@click.argument("id")
@click.option("--interval", type=click.FloatRange(0.1, 60), default=0.5, show_default=True, help="Seconds.")
@manager_command
def watch(client: ManagerClient, output: Output, id: str, interval: float) -> None:
    """Show the progress of submission ID until it ends; the exit code tells how it ended.

    On a terminal one line is kept up to date; otherwise a line is printed when something changes, every 10 s at most.
    With --json each status is one line.
    """
    sys.exit(follow(client, output, id, interval))


def follow(client: ManagerClient, output: Output, id: str, interval: float = 0.5) -> int:
    """Watch until the end; the exit code."""
    last: dict[str, Any] = client.status(id)
    if output.as_json:
        last = _follow_json(client, output, id, last, interval)
    elif output.console.is_terminal:
        with Live(console=output.console, refresh_per_second=8) as live:
            while True:
                live.update(_line(last, output.console.width))
                if last["state"] in TERMINAL_STATES:
                    break
                time.sleep(interval)
                last = _patient_status(client, id)
    else:
        last = _follow_quietly(client, id, last, interval)
    if not output.as_json:
        _say_end(output, last)
    return exit_code(last)


def exit_code(status: dict[str, Any]) -> int:
    """What the end of a submission means for a script."""
    if status["state"] != "completed":
        return exit_codes.FAILED
    return exit_codes.DEADLINE_MISSED if status.get("deadline_met") is False else exit_codes.OK


def _follow_json(client: ManagerClient, id: str, last: dict[str, Any], interval: float) -> dict[str, Any]:
    output.document(last)
    while last["state"] not in TERMINAL_STATES:
        time.sleep(interval)
        last = _patient_status(client, id)
        output.document(last)
    return last


def _follow_quietly(client: ManagerClient, id: str, last: dict[str, Any], interval: float) -> dict[str, Any]:
    shown, shown_at = "", 0.0
    while True:
        line = progress_line(last, 120)
        ended = last["state"] in TERMINAL_STATES
        due = time.monotonic() - shown_at >= _QUIET_EVERY
        if line != shown and (due or ended or line.split("  ")[0] != shown.split("  ")[0]):
            click.echo(line)
            shown, shown_at = line, time.monotonic()
        if ended:
            return last
        time.sleep(interval)
        last = _patient_status(client, id)


def _patient_status(client: ManagerClient, id: str) -> dict[str, Any]:
    """The status; a manager that is away for a while (a restart) is waited for."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return client.status(id)
        except Unreachable:
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


def _line(status: dict[str, Any], width: int) -> Text:
    text = Text(progress_line(status, width), no_wrap=True, overflow="ellipsis")
    reason = str(status.get("reason") or "")
    if reason and status["state"] not in TERMINAL_STATES:
        text.append("\n" + reason[: width - 1], style="yellow")
    return text


def _say_end(output: Output, status: dict[str, Any]) -> None:
    output.console.print(f"{status['id']} {state_text(status['state'])}: {deadline_text(status)}", soft_wrap=True)
    if status.get("reason"):
        output.console.print(str(status["reason"]), markup=False, soft_wrap=True)
