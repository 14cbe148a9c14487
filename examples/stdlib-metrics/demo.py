"""The demo: measure every Python file of the standard library by a deadline that one replica would miss.

Starts a whole stack of its own with ``asperathos up``, uses nothing but the command line a user has, and ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CLI = (sys.executable, "-m", "cli")
TAIL = 8
SAMPLE_EVERY = 12
PER_PROCESS = 16


def stdlib_files() -> list[str]:
    """Every Python file of the running interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    installed = {"site-packages", "dist-packages"}
    return sorted(str(path) for path in root.rglob("*.py") if not installed & set(path.parts))


def with_a_tail(files: list[str]) -> list[str]:
    """The largest few at the end: replicas that find nothing more to take there are given back, which is to be seen."""
    largest = sorted(files, key=lambda path: Path(path).stat().st_size)[-TAIL:]
    return [path for path in files if path not in largest] + largest


def measure_all(paths: list[str]) -> None:
    """One process's share of the calibration."""
    sys.path.insert(0, str(HERE))
    import metrics

    for path in paths:
        metrics.measure(path)


def calibrate(files: list[str]) -> tuple[float, float]:
    """Seconds one replica would need for all files, and how many times faster several replicas are here."""
    sample = files[::SAMPLE_EVERY]
    processes = max(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(measure_all, [[sample[0]]] * processes))
        alone = _timed(pool, [sample])
        shares = [sample[start : start + PER_PROCESS] for start in range(0, len(sample), PER_PROCESS)]
        together = _timed(pool, shares)
    return alone * len(files) / len(sample), alone / together


def _timed(pool: ProcessPoolExecutor, shares: list[list[str]]) -> float:
    began = time.perf_counter()
    list(pool.map(measure_all, shares))
    return time.perf_counter() - began


def choose_deadline(alone: float) -> float:
    """A deadline (s) that one replica would miss by a tenth of its time."""
    return 0.9 * alone


@contextmanager
def stack(home: Path) -> Iterator[dict[str, Any]]:
    """A running stack and its addresses; ended on the way out."""
    process = subprocess.Popen(
        [*CLI, "up", "--any-port", "--home", str(home), "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the stack did not start; see above")
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def document(files: list[str], deadline: float) -> dict[str, Any]:
    """The submission: submission.yaml with the items and the deadline filled in."""
    template: dict[str, Any] = yaml.safe_load((HERE / "submission.yaml").read_text())
    command = [sys.executable, str(HERE / "metrics.py")]
    return {**template, "command": command, "workload": {"items": with_a_tail(files)}, "deadline": round(deadline, 1)}


def asperathos(manager: str, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command of ``asperathos`` against that manager."""
    return subprocess.run([*CLI, *arguments, "--manager", manager], text=True, capture_output=capture, check=False)


def most_complex(manager: str, id: str, count: int = 10) -> tuple[list[tuple[int, str, str]], dict[str, int]]:
    """The most complex functions of all results, and totals."""
    lines = asperathos(manager, "results", id, "--json", capture=True).stdout.splitlines()
    found: list[tuple[int, str, str]] = []
    totals = {"files": 0, "lines": 0, "functions": 0, "unparsable": 0}
    root = Path(sysconfig.get_path("stdlib"))
    for line in lines:
        result = json.loads(json.loads(line)["result"])
        totals["files"] += 1
        totals["lines"] += result.get("lines", 0)
        totals["functions"] += result.get("functions", 0)
        totals["unparsable"] += "unparsable" in result
        name = str(Path(result["path"]).relative_to(root))
        found.extend((number, function, f"{name}:{at}") for number, function, at in result.get("most_complex", []))
    return sorted(found, reverse=True)[:count], totals


def run(home: Path, every: int, linger: bool) -> int:
    """The whole demo; its exit code."""
    files = stdlib_files()[::every]
    print(f"{len(files)} Python files in this interpreter's standard library; timing a sample of them ...")
    alone, speed_up = calibrate(files)
    deadline = choose_deadline(alone)
    print(f"one replica would need about {alone:.0f} s; several are {speed_up:.1f} times as fast on this machine now")
    print(f"the deadline is {deadline:.0f} s: one replica would miss it\n")
    with stack(home) as addresses:
        path = home / "submission.json"
        path.write_text(json.dumps(document(files, deadline)))
        manager = addresses["manager"]
        submitted = asperathos(manager, "submit", str(path), capture=True)
        if submitted.returncode:
            print(submitted.stderr, file=sys.stderr)
            return submitted.returncode
        id = submitted.stdout.strip()
        print(f"watch it here too: {addresses['visualizer']}/submissions/{id}\n")
        code = asperathos(manager, "watch", id).returncode
        show_outcome(manager, id)
        if linger:
            print(f"\nthe stack stays up until Ctrl-C: {addresses['visualizer']}/submissions/{id}")
            linger_on()
        return code


def show_outcome(manager: str, id: str) -> None:
    """The table of functions, what the controller did, and the report."""
    functions, totals = most_complex(manager, id)
    print(f"\n{totals['files']} files, {totals['lines']:,} lines, {totals['functions']:,} functions", end="")
    print(f" ({totals['unparsable']} files are no valid Python, on purpose)\n")
    print("complexity  function                              where")
    for number, name, where in functions:
        print(f"{number:>10}  {name:<36}  {where}")
    print("\nwhat the controller did:")
    events = json.loads(asperathos(manager, "events", id, "--json", capture=True).stdout)["events"]
    for event in events:
        if event["kind"] == "scaling":
            print(f"  {event['message']}")
    print("\nreport:")
    sys.stdout.flush()
    asperathos(manager, "report", id)


def linger_on() -> None:
    """Wait for Ctrl-C."""
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running afterwards, until Ctrl-C")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth file only: a shorter demo")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asperathos-demo-") as directory:
        try:
            return run(Path(directory), arguments.every, arguments.keep_up)
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
