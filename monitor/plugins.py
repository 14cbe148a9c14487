"""Which monitors are installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from common.plugins import MONITORS, load_plugins
from monitor.monitors import BUILT_IN, Monitor


def installed() -> Mapping[str, Monitor]:
    """All usable monitors by name; broken ones are logged and left out, ours cannot be replaced."""
    return {**load_plugins(MONITORS, checked).found, **BUILT_IN}


def checked(loaded: object) -> Monitor:
    """What an entry point names, if it is a monitor (or a class of one). Raises TypeError otherwise."""
    monitor: Any = loaded() if isinstance(loaded, type) else loaded
    settings = getattr(monitor, "settings", None)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        raise TypeError("a monitor has settings: a pydantic model class")
    if not callable(getattr(monitor, "progress", None)):
        raise TypeError("a monitor has progress(reading, settings) -> float")
    found: Monitor = monitor
    return found
