"""How long from POST to the first item's start, on a local stack. Run: python -m benchmarks.first_item"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.stack_process import StackProcess

BAR_SECONDS = 1.0
DOCUMENT = {
    "name": "first",
    "command": ["python3", "-c", "import asperathos_worker; asperathos_worker.run(lambda item: item)"],
    "workload": ["only"],
    "deadline": "1m",
}


def measure(stack: StackProcess) -> float:
    """Seconds from sending the POST to the first item's lease (both clocks are this machine's)."""
    began = time.time()
    id = stack.submit(DOCUMENT)
    stack.wait(id)
    return float(stack.results(id)[0]["started"]) - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 submissions instead of 25")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=f"exit 1 unless the median is under {BAR_SECONDS} s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        stack = StackProcess(Path(directory) / "home")
        stack.start()
        try:
            measure(stack)
            times = sorted(measure(stack) for _ in range(5 if arguments.quick else 25))
        finally:
            stack.stop()
    median = statistics.median(times)
    figures = {"submissions": len(times), "median_s": median, "fastest_s": times[0], "slowest_s": times[-1]}
    print(json.dumps(figures) if arguments.json else _text(figures))
    if arguments.check and median >= BAR_SECONDS:
        print(f"bar missed: the median is {median:.2f} s, not under {BAR_SECONDS} s", file=sys.stderr)
        return 1
    return 0


def _text(figures: dict[str, float]) -> str:
    return (
        f"POST to first item started, {figures['submissions']} submissions: median {figures['median_s']:.2f} s "
        f"(fastest {figures['fastest_s']:.2f} s, slowest {figures['slowest_s']:.2f} s)"
    )


if __name__ == "__main__":
    sys.exit(main())
