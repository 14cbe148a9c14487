"""Runs engine and watch in a real process: threads, signals, the end of the process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from types import FrameType
from typing import Callable, Dict, List, Optional, Union

from .clock import Clock, SystemClock
from .engine import Desk, Engine
from .errors import Exit, QueueGone, Unable, WorkerError
from .line import Line
from .log import Log
from .metrics import Metrics
from .pace import FLUSH
from .processes import kill_descendants
from .processor import Processor
from .queue.api import QueueRefused, WorkerQueue
from .settings import WorkerSettings
from .watch import Watch

SIGNALS: Dict[int, Exit] = {signal.SIGTERM: Exit.TERMINATED, signal.SIGINT: Exit.INTERRUPTED}
_SEEN_BY_PYTHON = 0x80
_HURRY_AFTER = 0.5
"""Seconds after which a further SIGINT means: at once."""

CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the watch at the end of the process."""

Handler = Union[Callable[[int, Optional[FrameType]], object], int, None]


class Supervisor:
    """The watch's thread, and the signals that reach it.

    Signals arrive as bytes in a pipe written by the interpreter's own C-level handler, so that one is noticed even
    while the main thread is inside a long call into C code. A Python-level handler writes to the pipe as well, for
    when a library (asyncio does so) has redirected the wake-up descriptor.
    """

    def __init__(self, desk: Desk, grace: float, margin: float, end: Callable[[Exit], None]) -> None:
        self._desk = desk
        self._end = end
        self._resort = max(grace - margin / 4, 0.1)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._ended = threading.Event()
        self._asleep_until = 0.0
        self._previous: Dict[int, Handler] = {}
        self._previous_wakeup = -1
        self._thread: Optional[threading.Thread] = None

    def start(self, watch: Watch) -> None:
        """Install the signal handlers (main thread only) and start the thread."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_signal)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._after_fork)
        self._thread = threading.Thread(target=self._run, args=(watch,), name="asperathos-watch", daemon=True)
        self._thread.start()

    def woken(self) -> None:
        """The engine holds new items: have the watch look, unless it does so soon anyway."""
        if self._asleep_until > self._desk.clock.now() + FLUSH:
            self._write(0)

    def close(self) -> None:
        """Stop the thread and restore the signal handlers."""
        self._ended.set()
        self._write(0)
        self._restore()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT)
            if self._thread.is_alive():
                # It hangs in a call to the queue; it ends with the process, and needs its pipe until then.
                return
        os.close(self._reader)
        os.close(self._writer)

    def _restore(self) -> None:
        if self._previous:
            signal.set_wakeup_fd(self._previous_wakeup)
            for number, handler in self._previous.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            self._previous = {}

    def _after_fork(self) -> None:
        # A forked child shares the pipe: its own SIGTERM (multiprocessing's terminate) must not stop the worker.
        self._restore()

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        self._write(_SEEN_BY_PYTHON | number)

    def _write(self, byte: int) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, bytes((byte,)))

    def _run(self, watch: Watch) -> None:
        desk = self._desk
        seen = 0
        while not self._ended.is_set():
            # Whatever the engine takes from here on may be missed by this tick, so it must wake the next one.
            self._asleep_until = float("inf")
            try:
                pause = watch.tick()
            except Exception as error:  # noqa: BLE001 - the loop must survive a failing tick
                desk.log.error("watch_failed", error=repr(error))
                pause = 1.0
            if desk.hand.additions != seen:
                # Much is going on: looking again soon is cheaper than being woken for every item.
                seen = desk.hand.additions
                pause = FLUSH if pause is None else min(pause, FLUSH)
            self._asleep_until = float("inf") if pause is None else desk.clock.now() + pause
            ready, _, _ = select.select([self._reader], [], [], pause)
            if ready:
                self._signalled(os.read(self._reader, 4096))

    def _signalled(self, data: bytes) -> None:
        desk = self._desk
        for byte in data:
            code = SIGNALS.get(byte & 0x7F)
            if code is None:
                continue
            now = desk.clock.now()
            if desk.stop.code is None:
                desk.log.info("stopping", signal=signal.Signals(byte & 0x7F).name)
                desk.stop.ask(code, now)
                threading.Thread(target=self._last_resort, args=(code,), name="asperathos-end", daemon=True).start()
            elif code is Exit.INTERRUPTED and not byte & _SEEN_BY_PYTHON and now > desk.stop.since + _HURRY_AFTER:
                desk.stop.hurry = True

    def _last_resort(self, code: Exit) -> None:
        """The worker must not be there any more when SIGKILL is due, even if a call to the queue hangs."""
        if not self._ended.wait(self._resort):
            self._desk.log.error("forced_end", code=int(code))
            self._end(code)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def flush_streams(seconds: float = 0.5) -> None:
    """Flush stdout and stderr; give up after a while, since the main thread may hold their locks."""
    thread = threading.Thread(target=_flush_streams, daemon=True)
    thread.start()
    thread.join(seconds)


def end_now(code: Exit) -> None:
    """End the process from any thread, without waiting for the main thread."""
    flush_streams()
    kill_descendants()
    os._exit(int(code))


def _original_arguments() -> Optional[List[str]]:
    arguments = getattr(sys, "orig_argv", None)
    if arguments:
        return list(arguments)
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(part) for part in file.read().split(b"\0")[:-1]]
    except OSError:
        return None


def restart_in_place(directory: str) -> None:
    """Replace this process by a fresh start of the same program (same process id, same pod), from any thread.

    A pod that ends would be replaced only after Kubernetes' back-off (10 s and more). Where the command line is not
    known or cannot be run, the process ends with code 124 instead.
    """
    flush_streams()
    kill_descendants()
    arguments = _original_arguments()
    if arguments and sys.executable:
        with contextlib.suppress(OSError):
            os.chdir(directory)
            os.execv(sys.executable, [sys.executable, *arguments[1:]])
    os._exit(int(Exit.TIMED_OUT))


def operate(
    queue: WorkerQueue,
    processor: Processor,
    settings: WorkerSettings,
    log: Log,
    metrics: Metrics,
    item_timeout: Optional[float] = None,
    most: Optional[int] = None,
    clock: Optional[Clock] = None,
    end: Callable[[Exit], None] = end_now,
) -> Exit:
    """Work until the queue is over or a signal comes; returns the exit code, after having logged why.

    ``item_timeout`` is for processors that cannot enforce it themselves; ``end`` ends the process at once. Must be
    called in the main thread (raises WorkerError elsewhere), since signals are received there.
    """
    if threading.current_thread() is not threading.main_thread():
        raise WorkerError("the worker must run in the main thread, which receives the signals")
    clock = clock or SystemClock()
    line = Line(settings.submission, settings.patience, clock, log)
    desk = Desk(queue, settings.worker, settings.index, processor, line, clock, log)
    directory = os.getcwd()  # noqa: PTH109 - pathlib is not worth its import here
    grace = max(0.0, settings.grace - settings.margin)
    watch = Watch(desk, metrics, grace, item_timeout, end, lambda: restart_in_place(directory))
    supervisor = Supervisor(desk, settings.grace, settings.margin, end)
    engine = Engine(desk, metrics, most, supervisor.woken)
    metrics.woken = supervisor.woken
    log.info("worker_started", submission=settings.submission, worker=settings.worker, index=settings.index)
    supervisor.start(watch)
    try:
        code = engine.run()
    except QueueGone as error:
        log.error("queue_gone", problem=str(error))
        code = desk.stop.code or Exit.QUEUE_GONE
    except QueueRefused as error:
        log.error("queue_refused", problem=str(error))
        code = desk.stop.code or Exit.QUEUE_REFUSED
    except Unable as error:
        log.error("unable", problem=str(error))
        code = desk.stop.code or error.code
    finally:
        supervisor.close()
    log.info("worker_ended", code=int(code), **desk.counters.counts())
    return code
