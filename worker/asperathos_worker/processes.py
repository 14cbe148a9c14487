"""Finding and ending processes that this one started, directly or not. Linux's /proc; elsewhere nothing is found."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Dict, Iterator, List


def _process_ids() -> Iterator[int]:
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib is not worth its import here
    except OSError:
        return
    for name in names:
        if name.isdigit():
            yield int(name)


def _parent_of(pid: int) -> int:
    """The parent's id; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may itself hold blanks and parentheses.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def descendants(root: int) -> List[int]:
    """Ids of all processes below ``root``, parents first."""
    children: Dict[int, List[int]] = {}
    for pid in _process_ids():
        children.setdefault(_parent_of(pid), []).append(pid)
    found: List[int] = []
    level = [root]
    while level:
        level = [child for parent in level for child in children.get(parent, ())]
        found += level
    return found


def marked(mark: bytes) -> List[int]:
    """Ids of all readable processes whose environment at start held ``mark`` (``NAME=value``)."""
    found = []
    for pid in _process_ids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_group(group: int, number: int = signal.SIGKILL) -> None:
    """Signal a process group that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def kill_descendants() -> None:
    """SIGKILL everything this process started. Repeated while there is something, since they may fork meanwhile."""
    me = os.getpid()
    for _ in range(5):
        below = descendants(me)
        if not below:
            return
        for pid in below:
            kill(pid)


def reap_orphans() -> None:
    """As process 1 of a container: take leave of processes whose own parents are gone, or they stay as zombies.

    Only for a process that waits for its own children elsewhere, and has none at the moment.
    """
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
