"""The original Asperathos' payload, turned into the native document. The only module that knows the old field names.

``FIELDS`` says which old field becomes which native one; the few that need more than a move have a function. What is
wrong is named by the old path, what means nothing here is named in a warning, and nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.domain.errors import Fault, InvalidSubmission
from common.domain.parsing import dotted, listed, nearest, parse_native
from common.domain.submission import Submission, SubmissionSpec
from manager.pods import GPU_RESOURCES

_INFO = "plugin_info"
_CONTROL = f"{_INFO}.control_parameters"
_RESOURCES = f"{_INFO}.k8s_resources_control"
_HEURISTIC = f"{_CONTROL}.heuristic_options"
_GPU_VENDORS = {name: vendor for vendor, name in GPU_RESOURCES.items()}
_GAINS = ("proportional_gain", "derivative_gain", "integral_gain")
_STEPS = ("trigger_up", "trigger_down", "actuation_size")

FIELDS: tuple[tuple[str, str], ...] = (
    (f"{_INFO}.cmd", "command"),
    (f"{_INFO}.img", "image"),
    (f"{_INFO}.init_size", "replicas.initial"),
    (f"{_INFO}.redis_workload", "workload.url"),
    (f"{_INFO}.env_vars", "env"),
    (f"{_INFO}.config_id", "env.SCONE_CONFIG_ID"),
    (f"{_INFO}.secrets", "secrets"),
    (f"{_INFO}.selectors", "node_selector"),
    (f"{_INFO}.cluster_name", "cluster"),
    (f"{_INFO}.job_resources_lifetime", "job_lifetime"),
    (f"{_INFO}.termination_grace_period_seconds", "grace_period"),
    (f"{_INFO}.enable_visualizer", "dashboard.enabled"),
    (f"{_INFO}.visualizer_plugin", "dashboard.plugin"),
    (f"{_INFO}.visualizer_info.datasource_type", "dashboard.datasource"),
    (f"{_INFO}.visualizer_info.theme", "dashboard.theme"),
    (f"{_INFO}.monitor_plugin", "monitoring.plugin"),
    (f"{_INFO}.monitor_info.expected_time", "deadline"),
    (f"{_INFO}.monitor_info.cluster_info_url", "monitoring.prices.url"),
    (f"{_INFO}.monitor_info.desired_cost", "control.settings.budget"),
    (f"{_INFO}.monitor_info", "monitoring.settings"),
    (f"{_RESOURCES}.requests.cpu", "resources.cpu"),
    (f"{_RESOURCES}.requests.memory", "resources.memory"),
    (f"{_RESOURCES}.limits.cpu", "resources.cpu_limit"),
    (f"{_RESOURCES}.limits.memory", "resources.memory_limit"),
    (f"{_RESOURCES}.limits", "resources.gpu"),
    (f"{_CONTROL}.schedule_strategy", "control.law"),
    (f"{_CONTROL}.check_interval", "control.interval"),
    (f"{_CONTROL}.min_rep", "replicas.min"),
    (f"{_CONTROL}.max_rep", "replicas.max"),
    *((f"{_CONTROL}.{name}", f"control.settings.{name}") for name in _STEPS),
    *((f"{_HEURISTIC}.{name}", f"control.settings.{name}") for name in _GAINS),
)
"""Old path, native path."""

_MOVED = tuple(
    old
    for old, new in FIELDS
    if not new.startswith(("control.settings.", "monitoring.", "node_selector", "resources.gpu", "env", "control.law"))
)
_OLD_NAMES = {new: old for old, new in FIELDS} | {"workload": f"{_INFO}.redis_workload", "run": f"{_INFO}.cmd"}
_REQUIRED = (
    f"{_INFO}.cmd",
    f"{_INFO}.img",
    f"{_INFO}.init_size",
    f"{_INFO}.redis_workload",
    f"{_CONTROL}.min_rep",
    f"{_CONTROL}.max_rep",
)
_OBJECTS = frozenset(old.rpartition(".")[0] for old, _ in FIELDS) | {_INFO}
_NAMES_WITH_DOTS = (f"{_RESOURCES}.limits", f"{_RESOURCES}.requests")
_MEANINGLESS = {
    "enable_auth": "nobody has to log in here, so nobody was asked to",
    "username": "nobody has to log in here; it is not kept",
    "password": "nobody has to log in here; it is not kept",
    f"{_INFO}.username": "the visualizer has its own credentials; it is not kept",
    f"{_INFO}.password": "the visualizer has its own credentials; it is not kept",
    f"{_CONTROL}.max_size": "nor did it in the original",
    f"{_INFO}.enable_detailed_report": "the detailed report is always made",
}
"""Fields of the original that change nothing here, and why."""
_QUIET = ((("enable_auth",), False), ((_INFO, "enable_detailed_report"), True))
"""Values of those that ask for no more than what is anyway."""
_MOST_WARNINGS = 50
_MONITOR_INTERVAL = 2.0


@dataclass(frozen=True)
class Translation:
    """The native specification, and what in the payload means nothing or something else here."""

    spec: SubmissionSpec
    warnings: tuple[str, ...]


def is_compatible(document: object) -> bool:
    """Whether the document is of the original's form."""
    return isinstance(document, Mapping) and ("plugin" in document or "plugin_info" in document)


def translate(payload: Mapping[Any, Any]) -> Translation:
    """The specification in a payload of the original. Raises InvalidSubmission with every fault, in its own words."""
    work = _Work(_flatten(payload))
    _check_shape(work)
    if _INFO in {fault.field for fault in work.faults}:
        raise InvalidSubmission(work.faults)
    for old in _MOVED:
        work.move(old)
    for part in (_replicas, _law, _monitor, _environment, _selectors, _gpus, _visualizer, _meaningless):
        part(work)
    work.put("queue", "dedicated")
    # Images written for the original expect to run as whom they name, which is mostly root.
    work.put("user", "image")
    try:
        spec = parse_native(work.document)
    except InvalidSubmission as error:
        # What is missing or wrong in the old words says it better than its echo in the native document.
        known = {fault.field for fault in work.faults}
        echoes = [fault for fault in in_old_words(error.faults) if fault.field not in known]
        raise InvalidSubmission(listed([*work.faults, *echoes])) from error
    if work.faults:
        raise InvalidSubmission(listed(work.faults))
    return Translation(spec, _bounded(work.warnings))


def in_old_words(faults: Iterable[Fault]) -> list[Fault]:
    """The faults with native paths replaced by the original's, where there is one."""
    return [Fault(_old_name(fault.field), fault.problem) for fault in faults]


def old_control(submission: Submission) -> tuple[str, dict[str, Any] | None]:
    """``scaling_strategy`` and ``heuristic_options`` as the original would tell them; a native law keeps its name."""
    spec = submission.spec
    gains = {name: spec.control.settings[name] for name in _GAINS if name in spec.control.settings}
    strategy = "default" if submission.form == "compatible" and spec.law == "threshold" else spec.law
    return strategy, gains or None


@dataclass
class _Work:
    """A payload being translated: its fields by path, those not looked at yet, and what came of it."""

    fields: dict[str, Any]
    document: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def get(self, old: str) -> Any:
        """The value at an old path, None when absent."""
        self.seen.add(old)
        return self.fields.get(old)

    def under(self, old: str) -> dict[str, Any]:
        """The fields of the object at an old path, by name."""
        start = f"{old}."
        return {path[len(start) :]: value for path, value in self.fields.items() if path.startswith(start)}

    def move(self, old: str) -> None:
        """Put the value of a field where FIELDS says."""
        value = self.get(old)
        if value is not None:
            self.put(dict(FIELDS)[old], value)

    def put(self, new: str, value: Any) -> None:
        """Set a native field."""
        *holders, name = new.split(".")
        place = self.document
        for holder in holders:
            place = place.setdefault(holder, {})
        place[name] = value

    def fault(self, old: str, problem: str) -> None:
        self.faults.append(Fault(old, problem))

    def warn(self, old: str, text: str) -> None:
        self.warnings.append(f"{old}: {text}")

    def choice(self, old: str, known: tuple[str, ...]) -> str:
        """A field that is one of a few words; the first one when it is absent or wrong."""
        value = self.get(old)
        if value is None:
            return known[0]
        if value not in known:
            self.fault(old, f"must be {' or '.join(known)}")
            return known[0]
        return str(value)


def _flatten(payload: Mapping[Any, Any], holder: str = "") -> dict[str, Any]:
    """Values by dotted path; objects are opened only where the original has an object."""
    fields: dict[str, Any] = {}
    for key, value in payload.items():
        name = dotted((str(key),))
        if "." in name and holder not in _NAMES_WITH_DOTS:
            name = f'"{name}"'
        path = f"{holder}.{name}" if holder else name
        if path in _OBJECTS and isinstance(value, Mapping):
            fields.update(_flatten(value, path))
            fields.setdefault(path, {})
        else:
            fields[path] = value
    return fields


def _check_shape(work: _Work) -> None:
    if work.get("plugin") != "kubejobs":
        work.fault("plugin", "must be kubejobs")
    for path in sorted(_OBJECTS):
        value = work.get(path)
        if value is None:
            work.fields.pop(path, None)
        elif value != {}:
            work.fault(path, "must be an object")
    if _INFO not in work.fields:
        work.fault(_INFO, "is required")
    broken = {fault.field for fault in work.faults}
    for path in _REQUIRED:
        if work.fields.get(path) is None and not any(path.startswith(f"{holder}.") for holder in broken):
            work.fault(path, "is required")


def _replicas(work: _Work) -> None:
    for path in (f"{_INFO}.init_size", f"{_CONTROL}.min_rep"):
        value = work.get(path)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            work.fault(path, "must be at least 1")


def _law(work: _Work) -> None:
    work.choice(f"{_INFO}.control_plugin", ("kubejobs",))
    strategy = work.choice(f"{_CONTROL}.schedule_strategy", ("default", "pid"))
    actuator = work.choice(f"{_CONTROL}.actuator", ("k8s_replicas", "nop"))
    if work.choice(f"{_CONTROL}.metric_source", ("redis", "nop")) == "nop":
        work.warn(f"{_CONTROL}.metric_source", "nop means nothing here: progress is read from the queue")
    law = "nop" if actuator == "nop" else {"default": "threshold", "pid": "pid"}[strategy]
    if work.get(f"{_INFO}.monitor_plugin") == "kubejobs_cost" and law != "nop":
        # The original's laws moved replicas by the cost error; ours keeps to the budget at once.
        law = "cost"
    work.put("control.law", law)
    settings = {
        "threshold": tuple(f"{_CONTROL}.{name}" for name in _STEPS),
        "pid": tuple(f"{_HEURISTIC}.{name}" for name in _GAINS),
        "nop": (),
        "cost": (),
    }[law]
    for old in settings:
        work.move(old)
        if law == "pid" and work.get(old) is None and _HEURISTIC not in {fault.field for fault in work.faults}:
            work.fault(old, "is required")
    if law == "pid":
        work.put("control.settings.mode", "compatible")
    for old in (*(f"{_CONTROL}.{name}" for name in _STEPS), *(f"{_HEURISTIC}.{name}" for name in _GAINS)):
        if old not in settings and work.get(old) is not None:
            work.warn(old, f"means nothing under the law {law}")


def _monitor(work: _Work) -> None:
    info = f"{_INFO}.monitor_info"
    plugin = work.get(f"{_INFO}.monitor_plugin")
    known = {None: "items", "kubejobs": "items", "kubejobs_cost": "items"}
    work.put("monitoring.plugin", known.get(plugin, plugin) if isinstance(plugin, str | None) else plugin)
    if plugin == "kubejobs_cost":
        for old, new in (("cluster_info_url", "monitoring.prices.url"), ("desired_cost", "control.settings.budget")):
            value = work.get(f"{info}.{old}")
            if value is None:
                work.fault(f"{info}.{old}", "is required")
            elif new != "control.settings.budget" or work.document.get("control", {}).get("law") == "cost":
                work.put(new, value)
    elif plugin in (None, "kubejobs"):
        if work.get(f"{info}.expected_time") is None and info not in {fault.field for fault in work.faults}:
            work.fault(f"{info}.expected_time", "is required")
    else:
        settings = {name: value for name, value in work.under(info).items() if name != "expected_time"}
        work.seen.update(f"{info}.{name}" for name in settings)
        work.put("monitoring.settings", settings)
    interval = work.get(f"{_CONTROL}.check_interval")
    if isinstance(interval, int | float) and not isinstance(interval, bool) and 0.1 <= interval < _MONITOR_INTERVAL:
        work.put("monitoring.interval", interval)


def _environment(work: _Work) -> None:
    variables = work.get(f"{_INFO}.env_vars")
    config = work.get(f"{_INFO}.config_id")
    if variables is not None:
        work.put("env", dict(variables) if isinstance(variables, Mapping) else variables)
    if config is not None and isinstance(variables, Mapping | None):
        work.put("env.SCONE_CONFIG_ID", config)


def _selectors(work: _Work) -> None:
    path = f"{_INFO}.selectors"
    selectors = work.get(path)
    if selectors is None:
        return
    if not isinstance(selectors, list):
        work.fault(path, "must be a list of objects with key and value")
        return
    chosen: dict[str, Any] = {}
    for place, selector in enumerate(selectors):
        if not isinstance(selector, Mapping) or not isinstance(selector.get("key"), str) or "value" not in selector:
            work.fault(f"{path}.{place}", "must be an object with key and value")
        else:
            chosen[selector["key"]] = selector["value"]
    work.document["node_selector"] = chosen


def _gpus(work: _Work) -> None:
    vendors: set[str] = set()
    for kind in ("limits", "requests"):
        for name, vendor in _GPU_VENDORS.items():
            path = f"{_RESOURCES}.{kind}.{name}"
            value = work.get(path)
            if value is None:
                continue
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 64:
                work.fault(path, "must be a whole number from 0 to 64")
            elif value and vendors - {vendor}:
                work.fault(path, "a replica has GPUs of one vendor only")
            elif value:
                vendors.add(vendor)
                work.put("resources.gpu", value)
                work.put("resources.gpu_vendor", vendor)


def _visualizer(work: _Work) -> None:
    path = f"{_INFO}.visualizer_plugin"
    if work.get(path) == "k8s-grafana":
        work.put("dashboard.plugin", "grafana")


def _meaningless(work: _Work) -> None:
    quiet = {".".join(path) for path, value in _QUIET if work.get(".".join(path)) is value}
    quiet |= {path for path in work.seen if path not in _MEANINGLESS}
    for path, value in work.fields.items():
        if path in quiet or (value is None and path in work.seen):
            continue
        if path in _MEANINGLESS:
            work.warn(path, f"means nothing here: {_MEANINGLESS[path]}")
            continue
        holder, _, name = path.rpartition(".")
        near = nearest(name, (old.rpartition(".")[2] for old, _ in FIELDS if old.rpartition(".")[0] == holder))
        work.warn(path, f"means nothing; did you mean {near}?" if near else "means nothing")


def _old_name(new: str) -> str:
    """The old path of a native one, or of the nearest object around it."""
    end = len(new)
    while end > 0:
        old = _OLD_NAMES.get(new[:end])
        if old is not None:
            return old + new[end:]
        end = new.rfind(".", 0, end)
    return new


def _bounded(warnings: list[str]) -> tuple[str, ...]:
    if len(warnings) > _MOST_WARNINGS:
        return (*warnings[:_MOST_WARNINGS], f"and {len(warnings) - _MOST_WARNINGS} more fields mean nothing")
    return tuple(warnings)
