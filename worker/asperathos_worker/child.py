"""Runs one command to its end: feeds its input, bounds its output, streams its stderr, and leaves nothing behind."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, Callable, List, Mapping, Optional, Sequence

from .processes import kill_group

KILL_AFTER = 2.0
"""Seconds between SIGTERM and SIGKILL to a command that overran its time."""

LINGER = 0.2
"""Seconds for output still in the pipes once the command itself has ended."""

TAIL = 4000
"""Bytes of stderr kept for the error."""

_CHUNK = 1 << 16
_LINE = 8192
_POLL = 0.1


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    ``code`` is its exit code, or minus the number of the signal that ended it. ``output`` is its stdout, at most one
    byte over the limit it was given. ``cut``: why it was ended before its time ("timeout", "output", "interrupt").
    """

    code: int
    output: bytes
    errors: bytes
    cut: Optional[str] = None


class LineStream:
    """Passes text on line by line with a prefix, and keeps the tail. Memory is bounded by one line of 8 KiB."""

    def __init__(self, prefix: bytes, sink: Callable[[bytes], None]) -> None:
        self._prefix = prefix
        self._sink = sink
        self._rest = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream; whole lines in it are passed on in one write."""
        self._tail = (self._tail + data)[-TAIL:]
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        while len(self._rest) >= _LINE:
            lines.append(self._rest[:_LINE])
            self._rest = self._rest[_LINE:]
        if lines:
            self._sink(b"".join(self._prefix + line + b"\n" for line in lines))

    def close(self) -> bytes:
        """Pass on an unfinished last line; returns the tail of all that was fed."""
        if self._rest:
            self._sink(self._prefix + self._rest + b"\n")
            self._rest = b""
        return self._tail


class Child:
    """One running command in a session (and so a process group) of its own.

    ``wait`` is called once, by the thread that made it; ``interrupt`` by any thread.
    """

    def __init__(
        self,
        arguments: Sequence[bytes],
        environment: Mapping[bytes, bytes],
        entry: bytes,
        output_limit: int,
        stream: LineStream,
    ) -> None:
        """Start the command with ``entry`` on its stdin. Raises OSError when it cannot be started."""
        self._process: "subprocess.Popen[bytes]" = subprocess.Popen(
            list(arguments),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self._entry = memoryview(entry)
        self._limit = output_limit
        self._stream = stream
        self._output: List[bytes] = []
        self._size = 0
        self._cut: Optional[str] = None
        self._kill_at: Optional[float] = None
        self._ended_at: Optional[float] = None
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._lock = threading.Lock()
        self._open = True

    @property
    def group(self) -> int:
        """The process group of the command and of what it starts."""
        return self._process.pid

    def interrupt(self) -> None:
        """Have ``wait`` end the command now: SIGTERM, then SIGKILL."""
        with self._lock:
            if self._open:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_writer, b"\0")

    def wait(self, timeout: Optional[float], kill_after: float = KILL_AFTER) -> Ended:
        """Serve the command's pipes until it has ended, or end it after ``timeout`` seconds.

        When this returns, or raises, its whole process group is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        process = self._process
        selector = selectors.DefaultSelector()
        exit_descriptor = _exit_descriptor(process.pid)
        try:
            selector.register(self._wake_reader, selectors.EVENT_READ, "wake")
            if exit_descriptor is not None:
                selector.register(exit_descriptor, selectors.EVENT_READ, "exit")
            for pipe, role in ((process.stdout, "output"), (process.stderr, "errors"), (process.stdin, "input")):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                events = selectors.EVENT_WRITE if role == "input" else selectors.EVENT_READ
                selector.register(pipe, events, role)
            self._serve(selector, exit_descriptor is not None, deadline, kill_after)
        finally:
            kill_group(self.group)
            process.wait()
            with self._lock:
                self._open = False
            selector.close()
            for descriptor in (self._wake_reader, self._wake_writer, exit_descriptor):
                if descriptor is not None:
                    os.close(descriptor)
            for end in (process.stdin, process.stdout, process.stderr):
                _close(end)
        return Ended(process.returncode, b"".join(self._output), self._stream.close(), self._cut)

    def _serve(
        self, selector: selectors.BaseSelector, told_of_exit: bool, deadline: Optional[float], kill_after: float
    ) -> None:
        reading = 2
        while True:
            now = time.monotonic()
            if self._ended_at is None and (reading == 0 or not told_of_exit) and self._has_ended():
                self._ended_at = now
            if self._ended_at is not None and (reading == 0 or now >= self._ended_at + self._linger()):
                return
            if self._cut is None and deadline is not None and now >= deadline:
                self._end("timeout", now, kill_after)
            if self._kill_at is not None and now >= self._kill_at and self._ended_at is None:
                kill_group(self.group)
                self._kill_at = None
            for key, _ in selector.select(self._pause(now, deadline, told_of_exit, reading)):
                if key.data == "wake":
                    os.read(self._wake_reader, 64)
                    if self._cut is None:
                        self._end("interrupt", time.monotonic(), kill_after)
                elif key.data == "exit":
                    selector.unregister(key.fileobj)
                    if self._has_ended():
                        self._ended_at = time.monotonic()
                elif key.data == "input":
                    if not self._write():
                        selector.unregister(key.fileobj)
                        _close(self._process.stdin)
                elif not self._read(key.data, key.fd, kill_after):
                    selector.unregister(key.fileobj)
                    reading -= 1

    def _has_ended(self) -> bool:
        """Whether the command is over. It stays unreaped, so that its group's number cannot pass to others."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def _pause(self, now: float, deadline: Optional[float], told_of_exit: bool, reading: int) -> Optional[float]:
        dues = []
        if self._ended_at is not None:
            dues.append(self._ended_at + self._linger())
        elif not told_of_exit:
            # Without a descriptor for the exit, end of file on both pipes is the usual sign; closed pipes need polling.
            dues.append(now + (_POLL if reading else 0.02))
        if self._cut is None and deadline is not None:
            dues.append(deadline)
        if self._kill_at is not None:
            dues.append(self._kill_at)
        return max(0.0, min(dues) - now) if dues else None

    def _linger(self) -> float:
        # Nobody waits for the rest of an output that is not used.
        return LINGER if self._cut is None else 0.0

    def _end(self, why: str, now: float, kill_after: float) -> None:
        self._cut = why
        self._kill_at = now + kill_after
        kill_group(self.group, signal.SIGTERM)

    def _write(self) -> bool:
        """Feed the command's stdin; False once all is written or nobody reads."""
        assert self._process.stdin is not None
        try:
            written = os.write(self._process.stdin.fileno(), self._entry[:_CHUNK])
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._entry = self._entry[written:]
        return bool(self._entry)

    def _read(self, role: str, descriptor: int, kill_after: float) -> bool:
        """Read what there is; False at the end of the stream."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        if role == "errors":
            self._stream.feed(data)
        elif self._size <= self._limit:
            data = data[: self._limit + 1 - self._size]
            self._output.append(data)
            self._size += len(data)
            if self._size > self._limit and self._cut is None:
                self._end("output", time.monotonic(), kill_after)
        return True


def _exit_descriptor(pid: int) -> Optional[int]:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def _close(file: Optional[IO[bytes]]) -> None:
    if file is not None:
        with contextlib.suppress(OSError):
            file.close()


def decoded(data: bytes) -> str:
    """Bytes of a log as text, whatever they are."""
    return codecs.decode(data, "utf-8", "replace")
