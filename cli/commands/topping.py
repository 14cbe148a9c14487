"""``asperathos top``: all submissions as they stand."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import replace
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from cli.client import ManagerClient, Rejected
from cli.context import Output, manager_command
from cli.polling import Poller, silence
from cli.render import TERMINAL_STATES, moment
from cli.terminal import glyphs_of, is_live, keys
from cli.top_view import SORTS, Board, Rows, lines

_ACTIVE = "created,loading,ongoing"
_PATIENCE = 600.0
_NOT_FOUND = 404
_MOST_ASKED = 20
"""Submissions that are active no more and are asked for one by one, a look."""
_MOST_ENDED = 50
_TREND = 40
_LIVE_EVERY, _PLAIN_EVERY = 2.0, 10.0
_PLAIN_WIDTH = 160
_KEYS = "q quit  s sort  r reverse"


@click.command()
@click.option("--sort", type=click.Choice(list(SORTS)), default="deadline", show_default=True, help="What comes first.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--all", "everything", is_flag=True, help="Those that had ended before, too.")
@click.option("--interval", type=click.FloatRange(0.2, 3600), help="Seconds between looks [default: 2; in a pipe 10].")
@click.option("-n", "--count", type=click.IntRange(min=1), help="Look so many times, then leave; 1 shows it once.")
@manager_command
def top(
    client: ManagerClient,
    output: Output,
    sort: str,
    reverse: bool,
    everything: bool,
    interval: float | None,
    count: int | None,
) -> None:
    """Show all submissions that run and what becomes of them: progress, time left, replicas, rate, end, chance.

    On a terminal the picture is kept up to date: q leaves, s sorts by the next column, r turns the order round. In a
    pipe or a log there are plain lines at each look, and with --json one object a look. A manager that is started again
    is waited for, ten minutes at most.
    """
    poll = Poller(_Asking(client, everything).look, _PATIENCE)
    live = is_live(output.console) and not output.as_json and count != 1
    pause = interval or (_LIVE_EVERY if live else _PLAIN_EVERY)
    board = Board(poll.look(), {}, sort, reverse, glyphs_of(output.console))
    if live:
        _show_live(output, poll, board, pause, count)
    else:
        _show_plain(output, poll, board, pause, count)


class _Asking:
    """Asks for the active submissions, and for how those ended that were active before."""

    def __init__(self, client: ManagerClient, everything: bool) -> None:
        self._client = client
        self._everything = everything
        self._active: set[str] = set()
        self._ended: dict[str, dict[str, Any]] = {}

    def look(self) -> Rows:
        """Status objects by id."""
        found = self._client.submissions(None if self._everything else _ACTIVE, forecast=True)
        for id in sorted(self._active - found.keys())[:_MOST_ASKED]:
            self._active.discard(id)
            try:
                self._ended[id] = self._client.status(id)
            except Rejected as error:
                if error.status != _NOT_FOUND:
                    raise
        self._active |= {id for id, status in found.items() if status["state"] not in TERMINAL_STATES}
        for id in list(self._ended)[:-_MOST_ENDED]:
            del self._ended[id]
        return {**found, **self._ended}


class _Screen:
    """The board as rich draws it, at the terminal's size of that moment."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from lines(self.board, options.max_width, options.height or console.height, _now(), _KEYS)


def _show_live(output: Output, poll: Poller[Rows], board: Board, pause: float, count: int | None) -> None:
    rates: dict[str, deque[float]] = {}
    screen = _Screen(_with_rates(board, rates))
    with keys() as pressed, Live(screen, console=output.console, screen=True, refresh_per_second=2) as live:
        looks = 1
        while count is None or looks < count:
            due = time.monotonic() + pause
            while (left := due - time.monotonic()) > 0:
                key = pressed.wait(left)
                if key in ("q", "Q"):
                    return
                screen.board = _after_key(screen.board, key)
                live.refresh()
            screen.board = _with_rates(replace(screen.board, heard=poll.look()), rates)
            live.refresh()
            looks += 1


def _after_key(board: Board, key: str) -> Board:
    if key == "s":
        names = list(SORTS)
        return replace(board, sort=names[(names.index(board.sort) + 1) % len(names)])
    return replace(board, reverse=not board.reverse) if key == "r" else board


def _with_rates(board: Board, rates: dict[str, deque[float]]) -> Board:
    """The board with what was heard added to the rates."""
    if not board.heard.silent:
        for id, status in board.heard.value.items():
            rates.setdefault(id, deque(maxlen=_TREND)).append(float(status.get("throughput") or 0.0))
        for id in rates.keys() - board.heard.value.keys():
            del rates[id]
    return replace(board, rates={id: tuple(values) for id, values in rates.items()})


def _show_plain(output: Output, poll: Poller[Rows], board: Board, pause: float, count: int | None) -> None:
    looks = 1
    while True:
        _print(output, board)
        if looks == count:
            return
        time.sleep(pause)
        board = replace(board, heard=poll.look())
        looks += 1


def _print(output: Output, board: Board) -> None:
    if output.as_json:
        if board.heard.silent:
            output.note(silence(board.heard))
        else:
            click.echo(json.dumps(board.heard.value, ensure_ascii=False))
        return
    width = output.console.width if output.console.is_terminal else _PLAIN_WIDTH
    for line in lines(board, width, now=_now()):
        line.rstrip()
        output.console.print(line, soft_wrap=True)


def _now() -> str:
    return moment(time.time()).partition(" ")[2]
