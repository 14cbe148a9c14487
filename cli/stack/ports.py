"""Which ports the stack listens on, and who holds one that is taken."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_OURS = frozenset({"0100007F", "00000000", "0" * 32, "0000000000000000FFFF00000100007F"})
"""127.0.0.1 and the addresses that stand for all, as /proc/net/tcp writes them. Pods listen on loopback addresses of
their own, which is no matter of ours."""


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; pid 0 when it cannot be seen."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})" if self.pid else "a process of another user"


class PortTaken(Exception):
    """A port the stack wants is in use."""

    def __init__(self, part: str, port: int, holder: Holder) -> None:
        super().__init__(
            f"port {port}, which the {part} wants, is held by {holder}; "
            f"stop it, or let the stack choose free ports with --any-port"
        )


def is_free(port: int) -> bool:
    """Whether we could listen on that port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free(taken: set[int]) -> int:
    """A free port that is not in ``taken``."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def allot(wanted: dict[str, int], any_port: bool) -> tuple[dict[str, int], list[str]]:
    """A port for each part and a sentence for each that is not the wanted one.

    Raises PortTaken for the first taken one unless ``any_port``.
    """
    ports: dict[str, int] = {}
    notes: list[str] = []
    for part, port in wanted.items():
        if port and is_free(port) and port not in ports.values():
            ports[part] = port
            continue
        if port and not any_port:
            raise PortTaken(part, port, holder_of(port))
        ports[part] = any_free(set(ports.values()) | set(wanted.values()))
        if port:
            notes.append(f"port {port} is held by {holder_of(port)}: the {part} listens on {ports[part]} instead")
    return ports, notes


def holder_of(port: int) -> Holder:
    """Who listens on that TCP port of the loopback address, as far as /proc shows it."""
    wanted = f"{port:04X}"
    sockets = ((row[1].split(":"), row[9]) for row in _listening())
    inodes = {inode for (address, number), inode in sockets if number == wanted and address in _OURS}
    for process in Path("/proc").iterdir() if inodes else ():
        if process.name.isdigit() and _holds(process, inodes):
            return Holder(int(process.name), _command(process))
    return Holder(0, "")


def session_of(pid: int) -> int | None:
    """The session a process belongs to; None when it is gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _listening() -> list[list[str]]:
    lines: list[list[str]] = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = [row.split() for row in table.read_text().splitlines()[1:]]
        except OSError:
            continue
        lines.extend(row for row in rows if row[3] == "0A")
    return lines


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(
            link.startswith("socket:[") and link[8:-1] in inodes
            for link in (str(descriptor.readlink()) for descriptor in (process / "fd").iterdir())
        )
    except OSError:
        return False


def _command(process: Path) -> str:
    try:
        words = " ".join((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split())
    except OSError:
        return "?"
    return words if len(words) <= 80 else words[:77] + "..."
