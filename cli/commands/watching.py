"""``asperathos watch``: a submission's progress until it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.live import Live
from rich.text import Text

from cli import exit_codes
from cli.client import ManagerClient, Unreachable
from cli.context import Output, manager_command
from cli.render import TERMINAL_STATES, deadline_text, progress_line, state_text

Status = dict[str, Any]
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
    statuses = _statuses(client, id, interval)
    if output.as_json:
        last = _show_json(output, statuses)
    elif output.console.is_terminal:
        last = _show_live(output, statuses)
    else:
        last = _show_changes(statuses)
    if not output.as_json:
        _say_end(output, last)
    return exit_code(last)


def exit_code(status: Status) -> int:
    """What the end of a submission means for a script."""
    if status["state"] != "completed":
        return exit_codes.FAILED
    return exit_codes.DEADLINE_MISSED if status.get("deadline_met") is False else exit_codes.OK


def _statuses(client: ManagerClient, id: str, interval: float) -> Iterator[Status]:
    """The status now and every ``interval`` seconds, up to the terminal one.

    A manager that goes away later is waited for (a restart); one that was never there raises at once.
    """
    status = client.status(id)
    heard = time.monotonic()
    while True:
        yield status
        if status["state"] in TERMINAL_STATES:
            return
        time.sleep(interval)
        try:
            status = client.status(id)
            heard = time.monotonic()
        except Unreachable:
            if time.monotonic() - heard > _PATIENCE:
                raise


def _show_json(output: Output, statuses: Iterator[Status]) -> Status:
    last: Status = {}
    for last in statuses:
        output.document(last)
    return last


def _show_live(output: Output, statuses: Iterator[Status]) -> Status:
    last: Status = {}
    with Live(console=output.console, refresh_per_second=8) as live:
        for last in statuses:
            live.update(_line(last, output.console.width))
    return last


def _show_changes(statuses: Iterator[Status]) -> Status:
    last: Status = {}
    shown, shown_at, state = "", 0.0, ""
    for last in statuses:
        line = progress_line(last, 120)
        due = time.monotonic() - shown_at >= _QUIET_EVERY
        if last["state"] != state or (due and line != shown):
            click.echo(line)
            shown, shown_at, state = line, time.monotonic(), last["state"]
    return last


def _line(status: Status, width: int) -> Text:
    text = Text(progress_line(status, width), no_wrap=True, overflow="ellipsis")
    reason = str(status.get("reason") or "")
    if reason and status["state"] not in TERMINAL_STATES:
        text.append("\n" + reason[: width - 1], style="yellow")
    return text


def _say_end(output: Output, status: Status) -> None:
    output.console.print(f"{status['id']} {state_text(status['state'])}: {deadline_text(status)}", soft_wrap=True)
    if status.get("reason"):
        output.console.print(str(status["reason"]), markup=False, soft_wrap=True)
