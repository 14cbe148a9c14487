"""Parts that others can add, found through entry points. A broken one is named and left out, it never crashes us."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from common.logging import get_logger

log = get_logger(__name__)
T = TypeVar("T")

LAWS = "asperathos.laws"
"""Control laws: subclasses of controller.laws.Law."""
MONITORS = "asperathos.monitors"
"""What progress means: see monitor.plugins."""
VISUALIZERS = "asperathos.visualizers"
"""Makers of dashboards."""
SOURCES = "asperathos.sources"
"""Where items come from."""
COMPONENTS = {"law": LAWS, "monitor": MONITORS, "visualizer": VISUALIZERS, "source": SOURCES}
"""The kinds of plugins and their groups of entry points."""

_OURS = "asperathos"


@dataclass(frozen=True)
class PluginInfo:
    """An installed plugin. ``problem`` says why it cannot be used; it is empty for one that can."""

    component: str
    name: str
    object: str
    distribution: str
    version: str
    builtin: bool
    problem: str = ""


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """The usable plugins of a group by name, and word of all of them, sorted by name."""

    found: dict[str, T]
    infos: tuple[PluginInfo, ...]

    @property
    def broken(self) -> tuple[PluginInfo, ...]:
        """Those that cannot be used."""
        return tuple(info for info in self.infos if info.problem)


def list_plugins() -> tuple[PluginInfo, ...]:
    """All installed plugins of all components, without importing any of them."""
    return tuple(
        _info(component, entry, problem)
        for component, group in COMPONENTS.items()
        for entry, problem in _unique(entry_points(group=group))
    )


def load_plugins(group: str, check: Callable[[object], T], entries: Iterable[EntryPoint] | None = None) -> Plugins[T]:
    """Import the plugins of a group. ``check`` turns what an entry point names into the plugin, or raises.

    Whatever a plugin raises on the way becomes its ``problem``. Of two with one name ours is used, else the one of
    the distribution that comes first by name.
    """
    component = next((name for name, known in COMPONENTS.items() if known == group), group)
    found: dict[str, T] = {}
    infos: list[PluginInfo] = []
    for entry, problem in _unique(entry_points(group=group) if entries is None else entries):
        if not problem:
            try:
                found[entry.name] = check(entry.load())
            except Exception as error:  # noqa: BLE001 - foreign code may raise anything when imported or made
                problem = f"{type(error).__name__}: {error}"
        if problem:
            log.warning("plugin_broken", component=component, name=entry.name, object=entry.value, problem=problem)
        infos.append(_info(component, entry, problem))
    return Plugins(found, tuple(infos))


def _unique(entries: Iterable[EntryPoint]) -> list[tuple[EntryPoint, str]]:
    """Each entry point with what is wrong with its name, sorted by name."""
    ranked = sorted(entries, key=lambda entry: (entry.name, _distribution(entry) != _OURS, _distribution(entry)))
    unique: list[tuple[EntryPoint, str]] = []
    holder: EntryPoint | None = None
    for entry in ranked:
        if holder is not None and entry.name == holder.name:
            if (entry.value, _distribution(entry)) != (holder.value, _distribution(holder)):
                unique.append((entry, f"the name is taken by {_distribution(holder) or holder.value}"))
            continue
        holder = entry
        unique.append((entry, ""))
    return unique


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""


def _info(component: str, entry: EntryPoint, problem: str) -> PluginInfo:
    distribution = _distribution(entry)
    return PluginInfo(
        component=component,
        name=entry.name,
        object=entry.value,
        distribution=distribution,
        version=entry.dist.version if entry.dist is not None else "",
        builtin=distribution == _OURS,
        problem=problem,
    )
