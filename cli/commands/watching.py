"""``asperathos watch``: a submission's progress until it ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.live import Live

from cli import exit_codes
from cli.arguments import submission_id
from cli.client import ManagerClient, Rejected, Unreachable
from cli.context import Output, manager_command
from cli.polling import Heard, Poller, silence
from cli.render import TERMINAL_STATES, deadline_text, printable, progress_line, state_text
from cli.terminal import glyphs_of, is_live
from cli.watch_view import WatchView

Status = dict[str, Any]
_PATIENCE = 60.0
_QUIET_EVERY = 10.0
_PAST_ROWS = "60"
_PLAIN_WIDTH = 120


@click.command()
@submission_id
@click.option("--interval", type=click.FloatRange(0.1, 60), default=0.5, show_default=True, help="Seconds.")
@manager_command
def watch(client: ManagerClient, output: Output, id: str, interval: float) -> None:
    """Show the progress of submission ID until it ends; the exit code tells how it ended.

    On a terminal the picture is kept up to date; in a pipe or a log (CI, TERM=dumb) a line is printed when something
    changes, every 10 s at most. With --json each status is one line. A manager that is started again is waited for, a
    minute at most. Ctrl-C leaves (exit code 130); the submission goes on.
    """
    sys.exit(follow(client, output, id, interval))


def follow(client: ManagerClient, output: Output, id: str, interval: float = 0.5) -> int:
    """Watch until the end; the exit code."""
    looks = _looks(Poller(lambda: client.status(id), _PATIENCE), interval)
    try:
        if output.as_json:
            last = _show_json(output, looks)
        elif is_live(output.console):
            last = _show_live(output, looks, _past(client, id))
        else:
            last = _show_changes(output, looks)
    except KeyboardInterrupt:
        output.note(f"{id} goes on; 'asperathos stop {id}' ends it")
        raise
    if not output.as_json:
        _say_end(output, last)
    return exit_code(last)


def exit_code(status: Status) -> int:
    """What the end of a submission means for a script."""
    if status["state"] != "completed":
        return exit_codes.FAILED
    return exit_codes.DEADLINE_MISSED if status.get("deadline_met") is False else exit_codes.OK


def _looks(poll: Poller[Status], interval: float) -> Iterator[Heard[Status]]:
    """What is heard now and every ``interval`` seconds, up to the terminal status."""
    while True:
        heard = poll.look()
        yield heard
        if heard.value["state"] in TERMINAL_STATES:
            return
        time.sleep(interval)


def _past(client: ManagerClient, id: str) -> list[Mapping[str, Any]]:
    """What was measured until now. Nothing of it is needed, so that nothing is told when it cannot be had."""
    try:
        wanted = {"format": "json", "partial": "true", "detailed": "true", "rows": _PAST_ROWS}
        report = json.loads(b"".join(client.report(id, **wanted)))
        return [row for _, row in sorted(report["series"].items(), key=lambda each: float(each[0]))]
    except (Rejected, Unreachable, ValueError, KeyError):
        return []


def _show_json(output: Output, looks: Iterator[Heard[Status]]) -> Status:
    last: Status = {}
    for heard in looks:
        last = heard.value
        if heard.silent:
            output.note(silence(heard))
        else:
            click.echo(json.dumps(last, ensure_ascii=False))
    return last


def _show_live(output: Output, looks: Iterator[Heard[Status]], past: list[Mapping[str, Any]]) -> Status:
    heard = next(looks)
    view = WatchView(heard, glyphs_of(output.console), past)
    # On a screen of its own: lines that are drawn over among others go astray when the terminal is made narrower.
    try:
        with Live(view, console=output.console, screen=True, refresh_per_second=4):
            for heard in looks:
                view.update(heard)
    finally:
        output.console.print(view)
    return heard.value


def _show_changes(output: Output, looks: Iterator[Heard[Status]]) -> Status:
    last: Status = {}
    shown, shown_at, state, was_silent = "", 0.0, "", False
    for heard in looks:
        last = heard.value
        if bool(heard.silent) != was_silent:
            was_silent = bool(heard.silent)
            output.note(silence(heard) if was_silent else "the manager answers again")
        line = progress_line(last, _PLAIN_WIDTH, glyphs_of(output.console))
        due = time.monotonic() - shown_at >= _QUIET_EVERY
        if last["state"] != state or (due and line != shown):
            click.echo(line)
            shown, shown_at, state = line, time.monotonic(), last["state"]
    return last


def _say_end(output: Output, status: Status) -> None:
    output.console.print(f"{status['id']} {state_text(status['state'])}: {deadline_text(status)}", soft_wrap=True)
    if status.get("reason"):
        output.console.print(printable(status["reason"]), markup=False, soft_wrap=True)
