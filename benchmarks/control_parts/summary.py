"""From trials to the lines of the table: shares are meant over all trials, the rest are medians."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.control_parts.trials import Trial

_SHARES = ("met", "within", "attained", "held at 25%", "held at 50%")
ALL = "all"
"""Whatever is known."""
_SPREADS = ("even", "mixed", "heavy")


@dataclass(frozen=True)
class Line:
    """One contender in one setting of one family. ``worst`` of the streams is the least share of waits in time."""

    family: str
    setting: str
    known: str
    contender: str
    trials: int
    figures: dict[str, float]

    @property
    def title(self) -> str:
        """Its place in the table."""
        return " ".join(part for part in (self.family, self.setting, self.known, self.contender) if part)


def lines_of(trials: Iterable[Trial]) -> list[Line]:
    """The table, in order of first appearance."""
    groups: dict[tuple[str, str, str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        task = trial.task
        groups[task.family, task.setting, task.known, task.contender].append(trial)
    for (family, setting, _, contender), group in list(groups.items()):
        if family == "forecast":
            # In how many of all runs the interval holds the truth: that of a single line is mostly chance.
            groups[family, setting, ALL, contender] += group
    return [
        Line(*key, trials=sum(bool(trial.figures) for trial in group), figures=_figures(key[0], group))
        for key, group in groups.items()
    ]


def _figures(family: str, group: list[Trial]) -> dict[str, float]:
    if family == "shared":
        met = sum(trial.figures["met"] for trial in group)
        return {"met": met / max(1.0, sum(trial.figures["clairvoyant"] for trial in group))}
    values: dict[str, list[float]] = defaultdict(list)
    for trial in group:
        for name, value in trial.figures.items():
            values[name].append(value)
    figures = {
        name: statistics.fmean(found) if name in _SHARES else statistics.median(found)
        for name, found in sorted(values.items())
    }
    everywhere = [one for name, found in values.items() if name.startswith("held") for one in found]
    if everywhere:
        figures["held"] = statistics.fmean(everywhere)
    if family == "streams":
        figures["worst"] = min(values["within"])
    if family == "bags":
        for spread in _SPREADS:
            met = [trial.figures["met"] for trial in group if trial.spread == spread]
            if met:
                figures[f"met ({spread})"] = statistics.fmean(met)
    return figures
