"""What processes use, from /proc: a container's are those of the session that its first process began."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from localcluster.runtime.port import Used

_PROC = Path("/proc")


def usage_of(leaders: Mapping[str, int], proc: Path = _PROC) -> dict[str, Used]:
    """What the sessions of these first processes use, by container id. CPU time includes that of processes that have
    ended and were waited for; memory is what is resident, shared pages counted with each process."""
    by_session = {pid: container for container, pid in leaders.items()}
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    uptime = float((proc / "uptime").read_text().split()[0])
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    age: dict[str, float] = {}
    for entry in os.scandir(proc):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"{entry.path}/stat", encoding="ascii", errors="replace") as file:
                # After the name, which may hold anything: field 3 of proc(5) and on.
                fields = file.read().rpartition(")")[2].split()
            container = by_session.get(int(fields[3]))
            if container is None:
                continue
            ticks, began, resident = sum(map(int, fields[11:15])), int(fields[19]), int(fields[21])
        except (OSError, IndexError, ValueError):
            # It has ended meanwhile.
            continue
        cpu[container] = cpu.get(container, 0.0) + ticks / tick
        memory[container] = memory.get(container, 0) + resident * page
        age[container] = max(age.get(container, 0.0), uptime - began / tick)
    return {container: Used(cpu[container], memory[container], age[container]) for container in cpu}
