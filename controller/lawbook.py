"""The installed laws by name, and the check of a law's name and settings before anything is built on them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from common.domain.errors import BadRequest, Fault
from common.domain.parsing import faults_of
from common.plugins import LAWS, PluginInfo, Plugins, load_plugins
from controller.laws import Law, LawSettings

AnyLaw = Law[Any]


@dataclass(frozen=True)
class LawBook:
    """Laws by name. ``infos`` also tells of those that are installed but broken."""

    laws: Mapping[str, AnyLaw]
    infos: tuple[PluginInfo, ...] = ()

    def law(self, name: str) -> AnyLaw:
        """The law of that name. Raises BadRequest naming control.law, with the nearest known name."""
        law = self.laws.get(name)
        if law is None:
            raise BadRequest(f"control.law: {self._unknown(name)}", [Fault("control.law", self._unknown(name))])
        return law

    def settings(self, name: str, given: Mapping[str, Any]) -> LawSettings:
        """The law's settings as its model. Raises BadRequest with every fault as control.settings.<field>."""
        model = self.law(name).settings
        try:
            return model.model_validate(dict(given))
        except ValidationError as error:
            faults = [
                Fault(".".join(part for part in ("control.settings", fault.field) if part), fault.problem)
                for fault in faults_of(error, model)
            ]
            listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
            raise BadRequest(f"invalid settings of law {name}: {listed}", faults) from error

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every law as plain data: what it does, the JSON schema of its settings, where it comes from, its problem."""
        described: dict[str, dict[str, Any]] = {}
        for info in self.infos:
            law = self.laws.get(info.name)
            if info.problem and law is not None:
                continue
            described[info.name] = {
                "summary": law.summary if law is not None else "",
                "settings": law.settings.model_json_schema() if law is not None else {},
                "distribution": info.distribution,
                "version": info.version,
                "builtin": info.builtin,
                "problem": info.problem,
            }
        return described

    def _unknown(self, name: str) -> str:
        broken = next((info for info in self.infos if info.name == name and info.problem), None)
        if broken is not None:
            return f"the law {name} is installed but broken: {broken.problem}"
        near = difflib.get_close_matches(name.lower(), self.laws, n=1, cutoff=0.5)
        if near:
            return f"unknown law {name!r}; did you mean {near[0]}?"
        return f"unknown law {name!r}; installed are {', '.join(sorted(self.laws))}"


def read_laws() -> LawBook:
    """The laws installed in this environment."""
    plugins: Plugins[AnyLaw] = load_plugins(LAWS, check_law)
    return LawBook(plugins.found, plugins.infos)


def check_law(candidate: object) -> AnyLaw:
    """The law that an entry point names, a subclass of Law or an instance of one. Raises TypeError."""
    law = candidate() if isinstance(candidate, type) and issubclass(candidate, Law) else candidate
    if not isinstance(law, Law):
        raise TypeError(f"{candidate!r} is not a controller.laws.Law")
    if not (isinstance(law.settings, type) and issubclass(law.settings, LawSettings)):
        raise TypeError(f"{candidate!r}.settings is not a subclass of controller.laws.LawSettings")
    return law
