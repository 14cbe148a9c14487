"""Feeds the stream in two bursts with a pause between, waits until all is done, and stops it.

Usage: python feed.py MANAGER_URL SUBMISSION_ID
"""

from __future__ import annotations

import sys
import time

import requests

BURST = 20
PAUSE = 4.0
PATIENCE = 90.0


def settled(submission: str) -> int:
    """Items that are done or dead."""
    counts = requests.get(submission, timeout=10).json()["counts"]
    return int(counts["done"]) + int(counts["dead"])


def feed(submission: str, first: int) -> None:
    """Send one burst."""
    items = [f"message {number}" for number in range(first, first + BURST)]
    answer = requests.post(f"{submission}/items", json={"items": items}, timeout=10)
    answer.raise_for_status()
    print(f"sent {answer.json()['added']} items", flush=True)


def await_settled(submission: str, wanted: int) -> None:
    """Wait until that many items are settled; exits with a message when it takes too long."""
    end = time.monotonic() + PATIENCE
    while settled(submission) < wanted:
        if time.monotonic() > end:
            sys.exit(f"only {settled(submission)} of {wanted} items settled within {PATIENCE:.0f} s")
        time.sleep(0.2)
    print(f"{wanted} items are settled", flush=True)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    submission = f"{sys.argv[1].rstrip('/')}/submissions/{sys.argv[2]}"
    feed(submission, 0)
    await_settled(submission, BURST)
    time.sleep(PAUSE)
    feed(submission, BURST)
    await_settled(submission, 2 * BURST)
    requests.put(f"{submission}/stop", timeout=10).raise_for_status()


if __name__ == "__main__":
    main()
