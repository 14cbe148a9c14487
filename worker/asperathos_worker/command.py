"""Processes leases by running a command once per item: what it is given, and what its end means."""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from .child import KILL_AFTER, Child, Ended, LineStream, decoded
from .errors import Exit, Unable
from .guard import MARK, Guard
from .outcome import Done, Failed, Outcome, Unfinished, tail, too_large
from .processes import reap_orphans
from .queue.records import Lease
from .template import Template

ARGUMENT_LIMIT = 128 * 1024 - 1
"""Longest argument or environment string of a command, in bytes (the limit of Linux)."""

_LAST_LINES = 10


class CommandProcessor:
    """Runs the template's command for each lease, one at a time.

    The command gets the item as ASPERATHOS_ITEM and, followed by a newline, on stdin; besides ASPERATHOS_ITEM_ID
    and ASPERATHOS_ATTEMPT. Its stdout (UTF-8 text, without trailing newlines) is the result; its stderr goes to
    ``sink`` line by line, each with the item's id in front.
    """

    most = 1

    def __init__(
        self,
        template: Template,
        timeout: Optional[float],
        result_limit: int,
        environment: Mapping[bytes, bytes],
        sink: Callable[[bytes], None],
        guard: Optional[Guard] = None,
        mark: str = "",
        kill_after: float = KILL_AFTER,
    ) -> None:
        self._template = template
        self._timeout = timeout
        self._limit = result_limit
        self._environment = dict(environment)
        if mark:
            self._environment[MARK.encode()] = mark.encode()
        self._sink = sink
        self._guard = guard
        self._kill_after = kill_after
        self._lock = threading.Lock()
        self._child: Optional[Child] = None
        self._interrupted = False

    def process(self, leases: Sequence[Lease]) -> List[Outcome]:
        """Run the command for each lease. Raises Unable when there is no such command."""
        return [self._one(lease) for lease in leases]

    def interrupt(self) -> bool:
        """End the running command: SIGTERM, then SIGKILL to its whole group."""
        with self._lock:
            self._interrupted = True
            if self._child is not None:
                self._child.interrupt()
        return True

    def whereabouts(self) -> str:
        """Commands have a timeout of their own."""
        return ""

    def _one(self, lease: Lease) -> Outcome:
        item = lease.payload.encode("utf-8", "surrogateescape")
        problem = self._unfit(item)
        if problem:
            return Failed(problem, permanent=True)
        values = {"item": lease.payload, "id": lease.id, "attempt": str(lease.attempt)}
        arguments = [text.encode("utf-8", "surrogateescape") for text in self._template.fill(values)]
        stream = LineStream(f"item={lease.id} | ".encode("utf-8", "backslashreplace"), self._sink)
        try:
            child = Child(arguments, self._surroundings(lease, item), item + b"\n", self._limit, stream)
        except OSError as error:
            return self._not_started(error, arguments[0])
        if self._guard is not None:
            self._guard.started(child.group)
        with self._lock:
            self._child = child
            if self._interrupted:
                child.interrupt()
        try:
            ended = child.wait(self._timeout, self._kill_after)
        finally:
            with self._lock:
                self._child = None
                self._interrupted = False
            if self._guard is not None:
                self._guard.ended()
            reap_orphans()
        return self._outcome(ended)

    def _unfit(self, item: bytes) -> str:
        """Why this item cannot be given to this command; empty when it can."""
        if not (self._template.uses("item") or self._template.mentions("ASPERATHOS_ITEM")):
            return ""
        problem = ""
        if b"\0" in item:
            problem = "the item holds a NUL character, which no argument and no environment variable can carry"
        elif len(item) + len(b"ASPERATHOS_ITEM=") > ARGUMENT_LIMIT:
            problem = f"the item of {len(item)} bytes is over the limit of {ARGUMENT_LIMIT} bytes for one argument"
        return problem and f"{problem}: leave {{item}} out of the command and read the item from stdin"

    def _surroundings(self, lease: Lease, item: bytes) -> Dict[bytes, bytes]:
        environment = dict(self._environment)
        # A command that reads stdin gets every item; one the environment cannot carry is absent there.
        if b"\0" not in item and len(item) + len(b"ASPERATHOS_ITEM=") <= ARGUMENT_LIMIT:
            environment[b"ASPERATHOS_ITEM"] = item
        environment[b"ASPERATHOS_ITEM_ID"] = lease.id.encode("utf-8", "surrogateescape")
        environment[b"ASPERATHOS_ATTEMPT"] = str(lease.attempt).encode()
        return environment

    def _not_started(self, error: OSError, command: bytes) -> Outcome:
        name = decoded(command)
        if error.errno == errno.E2BIG:
            return Failed(
                "the item makes the command line too long: leave {item} out of the command and read the item from "
                "stdin",
                permanent=True,
            )
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            return Failed(f"the command could not be started: {error.strerror}")
        missing = error.errno == errno.ENOENT
        problem = f"command not found: {name}" if missing else f"command cannot be run: {name}: {error.strerror}"
        code = Exit.COMMAND_NOT_FOUND if missing else Exit.COMMAND_NOT_EXECUTABLE
        if self._template.command is not None:
            raise Unable(problem, code) from error
        return Failed(f"exit code {int(code)}: {problem}")

    def _outcome(self, ended: Ended) -> Outcome:
        last = "\n".join(decoded(ended.errors).strip().splitlines()[-_LAST_LINES:])
        if ended.cut == "output":
            return too_large(len(ended.output), self._limit, at_least=True)
        if ended.cut == "timeout":
            return Failed(_with(f"timed out after {self._timeout:g} s (ASPERATHOS_ITEM_TIMEOUT)", last))
        if ended.cut == "interrupt":
            return Unfinished()
        if ended.code < 0:
            return Failed(_with(f"killed by {_signal_name(-ended.code)}", last))
        if ended.code > 0:
            return Failed(_with(f"exit code {ended.code}", last))
        try:
            return Done(ended.output.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            return Failed(
                f"stdout is not UTF-8 text (byte {error.start}): encode it, for example with base64", permanent=True
            )


def _with(what: str, last: str) -> str:
    return tail(f"{what}: {last}" if last else what)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def inherited_environment() -> Dict[bytes, bytes]:
    """The environment commands inherit: the runner's, without the address of the queue, which may hold a password."""
    return {name: value for name, value in os.environb.items() if name != b"ASPERATHOS_REDIS_URL"}
