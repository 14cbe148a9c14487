"""``python -m tests.faults``: so many seeded fault runs, and a table of what came of them."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.faults.campaign import Campaign, Outcome, plan
from tests.faults.catalogue import FAULTS
from tests.faults.shapes import SHAPES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="fault runs (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default 1)")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--run-seed", type=int, help="repeat the run with this seed (give --only its fault)")
    parser.add_argument("--submissions", type=int, default=2, help="submissions a run (default 2)")
    parser.add_argument("--shape", default="", choices=("", *SHAPES), help="submit only these (default: by chance)")
    parser.add_argument("--part", type=_part, default=(1, 1), help="a share of the runs: 2/3 is the second third")
    parser.add_argument("--home", type=Path, help="where the stacks live; kept (default: a temporary directory)")
    parser.add_argument("--json", type=Path, help="write the outcomes there")
    parser.add_argument("--list", action="store_true", help="name the faults and exit")
    given = parser.parse_args()
    if given.list:
        print("\n".join(fault.name for fault in FAULTS))
        return 0
    planned = plan(given.runs, given.seed, given.only, given.shape, given.part)
    if given.run_seed is not None:
        planned = [(planned[0][0], given.run_seed)]
    # Whoever ends us ends the stacks, too; a shell starts what is in the background deaf to SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    outcomes: list[Outcome] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="asperathos-faults-") as temporary:
        campaign = Campaign(given.home or Path(temporary), lambda text: print(text, flush=True), given.submissions)
        try:
            for outcome in campaign.run(planned):
                outcomes.append(outcome)
                print(_line(len(outcomes), len(planned), outcome), flush=True)
                if given.json is not None:
                    given.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} runs in {(time.monotonic() - began) / 60:.1f} min")
    violated = [outcome for outcome in outcomes if outcome.violations]
    print(f"{len(violated)} runs with violations")
    return 1 if violated or len(outcomes) < len(planned) else 0


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part like 2/3")
    return int(number), int(of)


def _line(number: int, of: int, outcome: Outcome) -> str:
    recovery = "" if outcome.recovery is None else f", recovered in {outcome.recovery:.1f} s"
    what = f"{outcome.fault}, {' and '.join(outcome.shapes)}, {outcome.moment} (seed {outcome.seed})"
    head = f"[{number}/{of}] {what}: {outcome.seconds:.0f} s{recovery}"
    return "\n".join((head, *(f"    VIOLATION: {sentence}" for sentence in outcome.violations)))


def table(outcomes: list[Outcome]) -> str:
    """Markdown: a row a fault."""
    rows = ["| fault | runs | violations | recovery, median | recovery, longest |", "|---|---|---|---|---|"]
    for fault in FAULTS:
        its = [outcome for outcome in outcomes if outcome.fault == fault.name]
        if not its:
            continue
        times = [outcome.recovery for outcome in its if outcome.recovery is not None]
        told = (f"{statistics.median(times):.1f} s", f"{max(times):.1f} s") if times else ("-", "-")
        rows.append(
            f"| {fault.name} | {len(its)} | {sum(bool(each.violations) for each in its)} | {' | '.join(told)} |"
        )
    again = [took for outcome in outcomes for took in outcome.restarts]
    kills = sum(outcome.kills for outcome in outcomes)
    if kills:
        latest = f", the latest {max(again):.2f} leases after its worker's death" if again else ""
        rows.append(f"\n{kills} workers killed; {len(again)} items begun anew{latest}")
    told_of = Counter(shape for outcome in outcomes for shape in outcome.shapes)
    rows.append("submitted: " + ", ".join(f"{told_of[shape]} x {shape}" for shape in SHAPES if told_of[shape]))
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
