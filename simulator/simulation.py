"""Runs cases: each by itself, or all on one timeline sharing a capacity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from controller.lawbook import AnyLaw, LawBook
from simulator.board import Board
from simulator.case import Case
from simulator.lawbook import all_laws
from simulator.pilot import Pilot
from simulator.room import Room
from simulator.run import Run
from simulator.timeline import Timeline

_MOST_DEADLINES = 20.0
"""A batch that has not finished after so many times its deadline will not."""
_MOST_ALONE = 4.0
"""... or after so many times what one replica would need."""


def simulate_one(case: Case, laws: LawBook | None = None, until: float | None = None) -> Run:
    """One submission with the cluster for itself."""
    return simulate([case], laws=laws, until=until)[0]


def simulate(
    cases: Sequence[Case],
    capacity: int | None = None,
    laws: LawBook | None = None,
    arbitrated: bool = True,
    until: float | None = None,
) -> list[Run]:
    """What becomes of the cases, in their order, when they run beside each other on a cluster of that capacity.

    The arbiter shares the capacity unless ``arbitrated`` is False: then whoever asks first is served first. ``until``
    ends the simulation (s); without it the end is far beyond every deadline. Raises BadRequest when a law's name or
    settings are wrong.
    """
    laws = laws or all_laws()
    timeline, room, board = Timeline(), Room(capacity), Board(capacity if arbitrated else None)
    pilots = []
    for case in cases:
        law: AnyLaw = case.law or laws.law(case.spec.law)
        given = case.spec.control.settings if case.law_settings is None else case.law_settings
        settings = law.settings.model_validate(given) if case.law else laws.settings(case.spec.law, given)
        pilots.append(Pilot(case, law, settings, timeline, room, board))
    end = until if until is not None else max((_patience(case) for case in cases), default=0.0)
    timeline.run(end)
    return [pilot.run() for pilot in pilots]


def _patience(case: Case) -> float:
    """Seconds of simulation after which a case is given up."""
    alone = _MOST_ALONE * case.work.total + 3600.0
    last = case.work.arrivals[-1] if case.work.arrivals else 0.0
    deadline = math.inf if case.spec.deadline is None else _MOST_DEADLINES * case.spec.deadline
    return case.submitted_at + last + max(3600.0, min(alone, deadline))
