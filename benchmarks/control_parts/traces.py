"""Measured bags and streams from a directory of CSV files, for developing laws. Recognised by their columns.

``run_s``, ``user`` and ``submit_s``: jobs; those of a user without a gap of an hour are a bag. ``t_s`` and a column
that begins with ``service_s``: a stream. ``minute`` and columns of invocations per minute: a stream each.
"""

from __future__ import annotations

import csv
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from simulator.distributions import LogNormal
from simulator.scenarios.bags import HISTORY, Bag, bag_of
from simulator.scenarios.streams import Pattern, Stream, stream_of

_GAP = 3600.0
_SMALLEST, _LARGEST = 20, 2000
_LOAD = 12.0
"""Replicas' worth of work that per-minute counts, which tell no service times, are taken to bring."""


def bags_in(directory: Path) -> list[Bag]:
    """All bags, with what the same user ran before as history."""
    found: list[Bag] = []
    for path, rows in _tables(directory):
        if {"run_s", "user", "submit_s"} <= rows[0].keys():
            found.extend(_bags(path.stem, rows))
    return found


def streams_in(directory: Path) -> list[Stream]:
    """All streams."""
    found: list[Stream] = []
    for path, rows in _tables(directory):
        service = next((name for name in rows[0] if name.startswith("service_s")), None)
        if "t_s" in rows[0] and service is not None:
            arrivals = [float(row["t_s"]) for row in rows]
            durations = [max(0.001, float(row[service])) for row in rows]
            found.append(stream_of(path.stem, Pattern.EXTREME, arrivals, durations))
        elif "minute" in rows[0]:
            found.extend(_per_minute(path.stem, rows))
    return found


def _tables(directory: Path) -> Iterator[tuple[Path, list[dict[str, str]]]]:
    for path in sorted(directory.glob("*.csv")):
        with path.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        if rows:
            yield path, rows


def _bags(name: str, rows: list[dict[str, str]]) -> Iterator[Bag]:
    by_user: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        by_user[row["user"]].append((float(row["submit_s"]), max(1.0, float(row["run_s"]))))
    for user, jobs in by_user.items():
        begin = 0
        for end in range(1, len(jobs) + 1):
            is_last = end == len(jobs)
            if not is_last and jobs[end][0] - jobs[end - 1][0] <= _GAP and end - begin < _LARGEST:
                continue
            if end - begin >= _SMALLEST:
                earlier = tuple(run for _, run in jobs[max(0, begin - HISTORY) : begin])
                yield bag_of(f"{name}-{user}-{begin}", [run for _, run in jobs[begin:end]], earlier)
            begin = end


def _per_minute(name: str, rows: list[dict[str, str]]) -> Iterator[Stream]:
    for column in rows[0]:
        if column == "minute":
            continue
        chance = random.Random(f"{name} {column}")
        arrivals = sorted(
            60.0 * (float(row["minute"]) + chance.random()) for row in rows for _ in range(int(row[column]))
        )
        if len(arrivals) < 1000 or len(arrivals) > 300_000:
            continue
        mean = _LOAD * (arrivals[-1] - arrivals[0]) / len(arrivals)
        durations = LogNormal(mean, 1.0).samples(chance, len(arrivals))
        variation = statistics.pstdev(_counts(rows, column)) / statistics.fmean(_counts(rows, column))
        pattern = Pattern.DIURNAL if variation < 0.6 else Pattern.BURSTY
        yield stream_of(f"{name}-{column}", pattern, arrivals, durations)


def _counts(rows: list[dict[str, str]], column: str) -> list[int]:
    return [int(row[column]) for row in rows]
