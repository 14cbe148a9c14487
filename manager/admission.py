"""What must be known of the world before a submission is accepted: can its workload be read, are its parts there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from asperathos_worker.errors import BadTemplate
from asperathos_worker.template import parse_template

from common.domain.errors import BadRequest, Fault, InvalidSubmission, NotFound, Unavailable, WorkloadError
from common.domain.parsing import nearest
from common.domain.submission import ORIGINS, SubmissionSpec
from common.http.client import ServiceClient
from common.http.contracts import LawRequest
from common.plugins import PluginInfo, list_plugins
from common.ports import Clock
from manager.permissions import Permissions, refusals, remarks
from manager.workload import Sources, WorkloadSettings, check_workload, installed_sources

_KNOWN_FOR = 30.0
"""Seconds for which a law and its settings that were right are taken to be so."""
_MOST_KNOWN, _MOST_TEXT = 1000, 4096
_BUILT_IN_VISUALIZERS = ("builtin", "grafana", "k8s-grafana")


@dataclass(frozen=True)
class Findings:
    """What speaks against accepting a submission, and what its user should know."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


class Laws(Protocol):
    """Who knows the laws and their settings."""

    def validate(self, request: LawRequest) -> None:
        """Raises BadRequest with every fault, Unavailable when nobody answers."""


class RestLaws:
    """The controller. Implements Laws."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def validate(self, request: LawRequest) -> None:
        self._client.post("/scaling/validate", request)


class KnownLaws:
    """Implements Laws: what was right a moment ago is not asked again, for most submissions ask for the same."""

    def __init__(self, laws: Laws, clock: Clock) -> None:
        self._laws = laws
        self._clock = clock
        self._right: dict[str, float] = {}
        """Until when (monotonic seconds), by the request's text."""

    def validate(self, request: LawRequest) -> None:
        text, now = request.model_dump_json(), self._clock.monotonic()
        if now < self._right.get(text, 0.0):
            return
        self._laws.validate(request)
        if len(self._right) >= _MOST_KNOWN:
            self._right.clear()
        if len(text) <= _MOST_TEXT:
            self._right[text] = now + _KNOWN_FOR


class Admission:
    """The checks. Each is bounded in time; a service that does not answer is a warning, never a refusal."""

    def __init__(
        self,
        settings: WorkloadSettings,
        laws: Laws,
        plugins: Sequence[PluginInfo] | None = None,
        sources: Sources = installed_sources,
        permissions: Permissions | None = None,
    ) -> None:
        self._settings = settings
        self._laws = laws
        # What is installed does not change while we run, and looking is slow.
        self._plugins = list_plugins() if plugins is None else plugins
        self._sources = sources
        self._permissions = permissions or Permissions()

    def examine(self, spec: SubmissionSpec) -> Findings:
        """Everything that speaks against the specification, by native path."""
        law_faults, warnings = self._law(spec)
        refused = refusals(spec, self._permissions)
        faults = [*_template(spec), *law_faults, *self._plugin_names(spec), *refused, *self._workload(spec)]
        return Findings(tuple(faults), (*warnings, *remarks(spec, self._permissions)))

    def check_law(self, spec: SubmissionSpec) -> None:
        """Whether a running submission may have this law with these settings. Raises InvalidSubmission, and Unavailable
        when nobody can tell: what runs is not put at risk."""
        try:
            self._laws.validate(LawRequest(law=spec.law, settings=spec.control.settings))
        except BadRequest as error:
            raise InvalidSubmission(error.faults or (Fault("control", error.message),)) from error
        except NotFound as error:
            raise Unavailable(f"the law and its settings could not be checked: {error.message}") from error

    def _law(self, spec: SubmissionSpec) -> tuple[Sequence[Fault], list[str]]:
        try:
            self._laws.validate(LawRequest(law=spec.law, settings=spec.control.settings))
        except BadRequest as error:
            return error.faults or (Fault("control", error.message),), []
        except (Unavailable, NotFound) as error:
            return (), [f"control: the law and its settings could not be checked: {error.message}"]
        return (), []

    def _plugin_names(self, spec: SubmissionSpec) -> list[Fault]:
        monitors = [info.name for info in self._plugins if info.component == "monitor" and not info.problem]
        visualizers = [info.name for info in self._plugins if info.component == "visualizer" and not info.problem]
        faults: list[Fault] = []
        # Run from a source tree that is not installed, there are no entry points to know monitors by.
        if monitors and spec.monitoring.plugin not in monitors:
            faults.append(Fault("monitoring.plugin", _unknown("monitor", spec.monitoring.plugin, monitors)))
        known = sorted({*_BUILT_IN_VISUALIZERS, *visualizers})
        if spec.dashboard.enabled and spec.dashboard.plugin not in known:
            faults.append(Fault("dashboard.plugin", _unknown("visualizer", spec.dashboard.plugin, known)))
        return faults

    def _workload(self, spec: SubmissionSpec) -> list[Fault]:
        try:
            check_workload(spec.workload, self._settings, self._sources)
        except WorkloadError as error:
            given = [name for name in ORIGINS if getattr(spec.workload, name, None) is not None]
            return [Fault(".".join(("workload", *given)), error.message)]
        return []


def _template(spec: SubmissionSpec) -> list[Fault]:
    if spec.run is None:
        return []
    try:
        parse_template(spec.run)
    except BadTemplate as error:
        return [Fault("run", str(error))]
    return []


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    if near is not None:
        return f"no {what} named {name!r} is installed; did you mean {near}?"
    return f"no {what} named {name!r} is installed; there is {', '.join(sorted(known))}"
