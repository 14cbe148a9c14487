"""Laws and baselines in simulated plants: deadlines met, and what that cost. Run: python -m benchmarks.control

Families: bags (batches with tight, medium and loose deadlines, knowing nothing beforehand, the item_timeout, or also
100 earlier items), forecast (its calibration on the same bags), streams, shared (batches that share a capacity), speed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.control_parts.bars import missed
from benchmarks.control_parts.contenders import CONTENDERS, Contender
from benchmarks.control_parts.plots import charts
from benchmarks.control_parts.summary import Line, lines_of
from benchmarks.control_parts.trials import FAMILIES, Task, Trial, attempt, tasks
from benchmarks.verdict import verdict

FULL = {"bags": 120, "streams": 12, "crowds": 96}
QUICK = {"bags": 18, "streams": 2, "crowds": 4}
_COLUMNS = {
    "bags": ("met", "met (even)", "met (mixed)", "met (heavy)", "cost", "excess", "peak", "scalings"),
    "forecast": ("error at 25%", "held at 25%", "error at 50%", "held at 50%", "held"),
    "streams": ("within", "worst", "attained", "cost", "peak", "scalings"),
    "shared": ("met",),
    "speed": ("cpu_s", "decisions", "peak"),
}
_PERCENT = ("met", "excess", "within", "worst", "attained", "error", "held")
_LEGEND = (
    "cost: replica-seconds over the clairvoyant's (streams: over the work); excess: share of them above his replicas; "
    "peak over his (streams: over the mean load); cost, excess, peak, scalings: medians. Replica-seconds count from a "
    "replica's request, its start-up included, to its end, its drain included. even, mixed, heavy: item times with a "
    "coefficient of variation below 0.5, to 1.5, above. shared: deadlines met over those of a clairvoyant EDF."
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few scenarios: about a minute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 naming every bar that our laws missed")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="only this one; may be repeated")
    parser.add_argument("--law", action="append", metavar="LAW", help="only this contender; may be repeated")
    parser.add_argument("--number", type=int, help="so many scenarios of each family and pattern [120 bags, ...]")
    parser.add_argument("--seed", type=int, default=1, help="of the scenarios [1]")
    parser.add_argument("--traces", type=Path, metavar="DIR", help="bags and streams from the CSV files in DIR")
    parser.add_argument(
        "--scale-down",
        choices=("drain", "drain-index", "kill"),
        default="drain",
        help="how the bags' replicas go: whoever is free first, as an Indexed Job goes down, or busy too [drain]",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the charts there, as SVG")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run in [1]")
    arguments = parser.parse_args()
    contenders = _chosen(parser, arguments.law)
    traces = str(arguments.traces.resolve()) if arguments.traces else ""
    if traces and not arguments.traces.is_dir():
        parser.error(f"--traces: {arguments.traces} is no directory")
    if arguments.number is not None and arguments.number < 1:
        parser.error("--number: must be at least 1")
    sizes = QUICK if arguments.quick else FULL
    if arguments.number is not None:
        sizes = dict.fromkeys(sizes, arguments.number)
    wanted = [
        task
        for family in arguments.family or FAMILIES
        for task in tasks(family, contenders, sizes, arguments.seed, traces)
    ]
    wanted = [replace(task, scale_down=arguments.scale_down) for task in wanted]
    if not wanted:
        parser.error("nothing to do: no contender takes part in these families")
    lines = lines_of(_tried(wanted, max(1, arguments.jobs)))
    if arguments.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines)
    if arguments.plots:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        for name, text in charts(lines):
            (arguments.plots / name).write_text(text + "\n", encoding="utf-8")
    return verdict(missed(lines)) if arguments.check else 0


def _chosen(parser: argparse.ArgumentParser, names: Sequence[str] | None) -> tuple[Contender, ...]:
    known = {contender.label for contender in CONTENDERS}
    unknown = sorted(set(names or ()) - known)
    if unknown:
        parser.error(f"--law: {', '.join(unknown)} is none of {', '.join(sorted(known))}")
    return tuple(contender for contender in CONTENDERS if not names or contender.label in names)


def _tried(wanted: Sequence[Task], jobs: int) -> Iterator[Trial]:
    counter = _Counter(len(wanted))
    if jobs == 1:
        yield from counter.counted(map(attempt, wanted))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from counter.counted(pool.map(attempt, wanted, chunksize=4))


class _Counter:
    """Tells on a terminal how far it is."""

    def __init__(self, total: int) -> None:
        self._total = total

    def counted(self, trials: Iterator[Trial]) -> Iterator[Trial]:
        is_shown = sys.stderr.isatty()
        for number, trial in enumerate(trials, 1):
            if is_shown:
                print(f"\r{number} of {self._total} trials", end="", file=sys.stderr, flush=True)
            yield trial
        if is_shown:
            print("\r" + " " * 40 + "\r", end="", file=sys.stderr)


def _print(lines: Sequence[Line]) -> None:
    console = Console(width=150 if not sys.stdout.isatty() else None)
    for family in dict.fromkeys(line.family for line in lines):
        table = Table(title=family, box=None, pad_edge=False, title_justify="left")
        for heading in ("setting", "known", "contender"):
            table.add_column(heading)
        for heading in ("n", *_COLUMNS[family]):
            table.add_column(heading, justify="right")
        for line in lines:
            if line.family == family:
                figures = (_shown(name, line.figures.get(name)) for name in _COLUMNS[family])
                table.add_row(line.setting, line.known, line.contender, str(line.trials), *figures)
        console.print(table)
        console.print()
    console.print(_LEGEND)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if name.startswith(_PERCENT) else f"{value:.2f}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
