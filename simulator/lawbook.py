"""The laws a simulation may use: the installed ones, and the baselines, whose names say that they are."""

from __future__ import annotations

from controller.lawbook import AnyLaw, LawBook, read_laws
from simulator.baselines import BASELINES


def all_laws() -> LawBook:
    """Installed laws and baselines by name."""
    installed = read_laws()
    laws: dict[str, AnyLaw] = {**installed.laws, **BASELINES}
    return LawBook(laws, installed.infos)
