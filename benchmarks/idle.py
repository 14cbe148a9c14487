"""What an idle local stack costs: CPU and memory of all its processes. Run: python -m benchmarks.idle"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.verdict import verdict
from tests.support.stack_process import StackProcess, descendants

BAR_CORE = 0.03
BAR_MEGABYTES = 450.0
SETTLE_SECONDS = 15.0


def cpu_seconds(pids: set[int]) -> float:
    """User and system time used so far by the processes."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: set[int]) -> dict[int, float]:
    """Proportional set size in MB of each process: shared pages are divided among those who share them."""
    sizes = {}
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        sizes[pid] = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return sizes


def command(pid: int) -> str:
    """The process's command line, shortened."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return " ".join(Path(word).name if "/" in word else word for word in words)[:60]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="observe 10 s instead of 60 s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--check", action="store_true", help=f"exit 1 at {BAR_CORE:.0%}% of a core or {BAR_MEGABYTES:.0f} MB and more"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        stack = StackProcess(Path(directory) / "home")
        stack.start()
        try:
            time.sleep(SETTLE_SECONDS)
            pids = descendants(stack.pid) | {stack.pid}
            before, began = cpu_seconds(pids), time.monotonic()
            time.sleep(10.0 if arguments.quick else 60.0)
            core = (cpu_seconds(pids) - before) / (time.monotonic() - began)
            sizes = memory(pids)
            names = {pid: command(pid) for pid in pids}
        finally:
            stack.stop()
    total = sum(sizes.values())
    if arguments.json:
        print(json.dumps({"core_share": core, "megabytes": total, "processes": len(sizes)}))
    else:
        for pid, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
            print(f"{size:7.1f} MB  {names[pid]}")
        print(f"{total:7.1f} MB in {len(sizes)} processes, {core:.2%} of a core")
    missed = []
    if core >= BAR_CORE:
        missed.append(f"{core:.2%} of a core, not under {BAR_CORE:.0%}")
    if total >= BAR_MEGABYTES:
        missed.append(f"{total:.0f} MB, not under {BAR_MEGABYTES:.0f} MB")
    return verdict(missed) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
