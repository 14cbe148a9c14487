"""What deciding costs the controller: CPU of a decision, of a forecast, and how often one is made again.

Bags of the family ``bags`` are simulated once; what the controller saw is then replayed through its own functions.
Run: python -m benchmarks.deciding
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from controller.deciding import Asked, ask, settle
from controller.foresight import foresee, latest
from controller.record import begin
from simulator import all_laws, simulate_one
from simulator.knowing import history_of
from simulator.pilot import scaling_request
from simulator.scenarios.bags import Known, Tightness, bag

SUBMISSIONS, INTERVAL = 1000, 5.0
MOST_CORES = 0.5
"""What the controller may take for that many submissions with a decision each so many seconds."""


@dataclass(frozen=True)
class Measured:
    """CPU milliseconds; ``renewed``: share of the decisions that came with a new forecast."""

    decisions: int
    decision_ms: float
    forecast_ms: float
    renewed: float

    @property
    def cores(self) -> float:
        """Cores that 1,000 submissions take with a decision each 5 s: law, guard, and forecasts."""
        return SUBMISSIONS / INTERVAL * (self.decision_ms + self.renewed * self.forecast_ms) / 1000.0


def measured(number: int, seed: int) -> Measured:
    """Over so many bags."""
    laws = all_laws()
    law, settings = laws.law("deadline"), laws.settings("deadline", {})
    decisions = renewals = forecasts = 0
    deciding = foreseeing = 0.0
    for place in range(number):
        known, tightness = list(Known)[place % 3], list(Tightness)[place // 3 % 3]
        case = bag(place, seed).case(tightness, known, "deadline", seed=place)
        run = simulate_one(case, laws)
        record = begin(
            scaling_request(case.name, case.spec, history_of(case.knowledge.history)), run.observations[0].at
        )
        for seen, decided in zip(run.observations, run.decisions, strict=True):
            began = time.process_time()
            asked = ask(record, seen, law, settings, None, decided.at)
            if not isinstance(asked, Asked):
                continue
            outcome = settle(asked, None, decided.at)
            deciding += time.process_time() - began
            assert outcome.decision is not None
            decisions += 1
            told = latest(record.forecast, asked, outcome.decision, settings)
            renewals += told is not record.forecast
            if decisions % 10 == 0:
                began = time.process_time()
                foresee(asked, outcome.decision, settings)
                foreseeing += time.process_time() - began
                forecasts += 1
            record = outcome.record.model_copy(update={"forecast": told})
    return Measured(
        decisions, 1000.0 * deciding / decisions, 1000.0 * foreseeing / max(1, forecasts), renewals / decisions
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few bags: some seconds")
    parser.add_argument("--number", type=int, default=36, help="so many bags [36]")
    parser.add_argument("--seed", type=int, default=1, help="of the bags [1]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=f"exit 1 when it takes more than {MOST_CORES} cores")
    arguments = parser.parse_args()
    if arguments.number < 1:
        parser.error("--number: must be at least 1")
    found = measured(9 if arguments.quick else arguments.number, arguments.seed)
    if arguments.json:
        print(json.dumps({**asdict(found), "cores": found.cores}))
    else:
        print(f"decisions            {found.decisions}")
        print(f"CPU of a decision    {found.decision_ms:.2f} ms (law and guard)")
        print(f"CPU of a forecast    {found.forecast_ms:.2f} ms, made again with {found.renewed:.0%} of the decisions")
        print(f"{SUBMISSIONS:,} submissions    {found.cores:.2f} cores, with a decision each {INTERVAL:g} s")
    if arguments.check and found.cores > MOST_CORES:
        print(f"bar missed: {found.cores:.2f} cores, not at most {MOST_CORES:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
