"""The runner: works on a submission by running a command once per item. ``python -m asperathos_worker``."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
from dataclasses import replace
from typing import List, NoReturn, Optional

from .child import KILL_AFTER
from .clock import SystemClock
from .command import CommandProcessor, inherited_environment
from .errors import BadEnvironment, BadTemplate, Exit
from .guard import Guard
from .log import StreamLog
from .metrics import Metrics
from .operate import flush_streams, operate
from .sdk import QUEUE_TIMEOUT
from .settings import VARIABLES, read_settings
from .template import Template, parse_template

_DESCRIPTION = """\
Works on a submission of Asperathos by running a command once per item, until the queue is over.

The command line is split into arguments as a shell would (quotes, backslashes), but no shell runs: in each argument
{item} is replaced by the item as it is, {id} by its id, {attempt} by the number of the attempt; write {{ and }} for
braces. What needs a shell says so:  --run 'sh -c "zcat \\"$ASPERATHOS_ITEM\\" | wc -l"'

The command also finds the item in ASPERATHOS_ITEM and on stdin (followed by a newline), its id in ASPERATHOS_ITEM_ID,
the attempt in ASPERATHOS_ATTEMPT. What it prints on stdout (UTF-8, without trailing newlines) is the item's result.
An exit code other than 0, a signal or the timeout fails the attempt, with the last lines of stderr as the error.
When the command has ended, its process group is killed: nothing may stay behind in the background.
"""

_EXIT_CODES = """\
exit codes:
  0    the queue is over, or the submission was stopped
  64   the environment or the command line is wrong
  75   the queue stayed away longer than ASPERATHOS_QUEUE_PATIENCE
  77   the queue's server refuses this worker
  126  the command cannot be executed
  127  the command does not exist
  130  stopped by SIGINT
  143  stopped by SIGTERM: the item in hand was finished within the grace period, or handed back unharmed
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _complain(f"{message} (see --help)")
        raise SystemExit(int(Exit.USAGE))


def _parser() -> argparse.ArgumentParser:
    width = max(len(name) for name, _ in VARIABLES) + 2
    variables = "\n".join(f"  {name:<{width}}{meaning}" for name, meaning in VARIABLES)
    parser = _Parser(
        prog="asperathos-worker",
        description=_DESCRIPTION,
        epilog=f"environment:\n{variables}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", metavar="COMMAND", help="the command, e.g. 'python3 measure.py {item}'")
    return parser


def _complain(problem: str) -> None:
    sys.stderr.write(f"asperathos-worker: {problem}\n")


def _command_fault(template: Template) -> Optional[Exit]:
    """Say so when the template's very command cannot be run: every item would fail of it."""
    command = template.command
    if command is None or shutil.which(command):
        return None
    if "/" in command and os.access(command, os.F_OK):
        _complain(f"the command cannot be executed: {command}")
        return Exit.COMMAND_NOT_EXECUTABLE
    _complain(f"command not found: {command}")
    return Exit.COMMAND_NOT_FOUND


def main(arguments: Optional[List[str]] = None) -> int:
    """The runner's life; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings()
    except BadEnvironment as error:
        for name, problem in error.faults:
            _complain(f"{name} {problem}")
        return int(Exit.USAGE)
    settings = replace(settings, run=options.run or settings.run)
    if settings.run is None:
        _complain("no command: give --run 'command {item}' or set ASPERATHOS_RUN")
        return int(Exit.USAGE)
    try:
        template = parse_template(settings.run)
    except BadTemplate as error:
        _complain(f"{'--run' if options.run else 'ASPERATHOS_RUN'}: {error}")
        return int(Exit.USAGE)
    fault = _command_fault(template)
    if fault is not None:
        return int(fault)

    # Forked before anything else is loaded, so that the guard stays small.
    mark = f"{os.getpid()}-{secrets.token_hex(8)}"
    guard = Guard(mark)
    try:
        from .queue.redis_queue import RedisQueue

        try:
            queue = RedisQueue(settings.redis_url, settings.submission, QUEUE_TIMEOUT)
        except ValueError as error:
            _complain(f"ASPERATHOS_REDIS_URL cannot be used: {error}")
            return int(Exit.USAGE)
        log = StreamLog()
        processor = CommandProcessor(
            template,
            settings.item_timeout,
            settings.result_limit,
            inherited_environment(),
            log.write,
            guard,
            mark,
            # At the end of the grace period the kill must fit into what is left of it.
            kill_after=min(KILL_AFTER, settings.margin / 2),
        )
        return int(operate(queue, processor, settings, log, Metrics(SystemClock()), end=_end))
    finally:
        guard.close()


def _end(code: Exit) -> None:
    """End at once; the guard kills what is left of the command."""
    flush_streams()
    os._exit(int(code))
