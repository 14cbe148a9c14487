"""The bars that our laws must clear, and which of them were missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.control_parts.summary import ALL, Line

_TIGHTNESSES = ("tight", "medium", "loose")
_MET = {"nothing": (0.88, 0.93, 0.96), "timeout": (0.97, 0.98, 0.98), "history": (0.99, 0.99, 0.99)}
_COST = {"nothing": (1.08, 1.08, 1.08), "timeout": (1.08, 1.08, 1.08), "history": (1.05, 1.03, 1.02)}
_EXCESS = {"nothing": (0.38, 0.35, 0.32), "timeout": (0.40, 0.36, 0.30), "history": (0.36, 0.26, 0.20)}
_WITHIN = 0.95
_STREAM_COST = {"smooth": 1.40, "web-diurnal": 1.65, "bursty": 1.95}
_EXTREME = (0.90, 6.1)
_COVERAGE = (0.88, 0.92)
_ERRORS = {"25%": 0.10, "50%": 0.05}
_SHARED = 0.95
_CPU = 1.0


def missed(lines: Sequence[Line]) -> Iterator[str]:
    """Each missed bar in words. Only lines of our laws that bars are set for are looked at."""
    for line in lines:
        if line.contender == "deadline" and line.family == "bags":
            yield from _missed_bags(line)
        elif line.contender == "latency" and line.family == "streams":
            yield from _missed_streams(line)
        elif line.family == "forecast":
            yield from _missed_forecast(line)
        elif line.family == "shared" and line.contender == "deadline":
            yield from _below(line, "met", _SHARED)
        elif line.family == "speed":
            yield from _above(line, "cpu_s", _CPU)


def _missed_bags(line: Line) -> Iterator[str]:
    place = _TIGHTNESSES.index(line.setting)
    yield from _below(line, "met", _MET[line.known][place])
    yield from _below(line, "met (even)", 1.0)
    yield from _above(line, "cost", _COST[line.known][place])
    yield from _above(line, "excess", _EXCESS[line.known][place])


def _missed_streams(line: Line) -> Iterator[str]:
    within, cost = _EXTREME if line.setting == "extreme" else (_WITHIN, _STREAM_COST[line.setting])
    yield from _below(line, "within", within)
    yield from _above(line, "cost", cost)


def _missed_forecast(line: Line) -> Iterator[str]:
    for share, most in _ERRORS.items():
        yield from _above(line, f"error at {share}", most)
        if line.known != ALL:
            yield from _beyond_chance(line, f"held at {share}")
    if line.known == ALL:
        yield from _below(line, "held", _COVERAGE[0])
        yield from _above(line, "held", _COVERAGE[1])


def _beyond_chance(line: Line, figure: str) -> Iterator[str]:
    """The bar is for all runs; in a part of them the interval may hold the truth as much more or less often as chance
    has it (two standard errors)."""
    play = 2.0 * math.sqrt(0.9 * 0.1 / max(1, line.trials))
    yield from _below(line, figure, _COVERAGE[0] - play)
    yield from _above(line, figure, _COVERAGE[1] + play)


def _below(line: Line, figure: str, least: float) -> Iterator[str]:
    value = line.figures.get(figure)
    if value is None:
        if figure != "met (even)":
            yield f"{line.title}: {figure} was not measured"
    elif value < least:
        yield f"{line.title}: {figure} is {value:.3f}, not at least {least:g}"


def _above(line: Line, figure: str, most: float) -> Iterator[str]:
    value = line.figures.get(figure)
    if value is None:
        yield f"{line.title}: {figure} was not measured"
    elif value > most:
        yield f"{line.title}: {figure} is {value:.3f}, not at most {most:g}"
