"""The worker side of Asperathos: the work queue, an SDK for handlers, and a runner for commands.

Law of this package: it imports the standard library and ``redis`` only, so that it fits into any image.

``sdk`` and ``runner`` are the two doors. Both give a processor (``handling``: a Python function, ``command``: a command
per item) to ``operate``, which owns threads and signals. ``engine`` works in the main thread, ``watch`` beside it; what
they share is a ``Desk`` with the ``hand`` (the leases held) and the ``line`` (the queue, or waiting for it). ``pace``,
``template``, ``outcome`` and ``settings`` decide without effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from .errors import NoCurrentItem as NoCurrentItem
    from .errors import PermanentError as PermanentError
    from .errors import WorkerError as WorkerError
    from .handling import CurrentItem as CurrentItem
    from .handling import current_item as current_item
    from .handling import report as report
    from .sdk import ItemOutcome as ItemOutcome
    from .sdk import MemoryRun as MemoryRun
    from .sdk import run as run
    from .sdk import run_in_memory as run_in_memory

__version__ = "0.1.0"

__all__ = [
    "CurrentItem",
    "ItemOutcome",
    "MemoryRun",
    "NoCurrentItem",
    "PermanentError",
    "WorkerError",
    "current_item",
    "report",
    "run",
    "run_in_memory",
]

_HOMES = {
    "CurrentItem": "handling",
    "ItemOutcome": "sdk",
    "MemoryRun": "sdk",
    "NoCurrentItem": "errors",
    "PermanentError": "errors",
    "WorkerError": "errors",
    "current_item": "handling",
    "report": "handling",
    "run": "sdk",
    "run_in_memory": "sdk",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: who imports only the queue's records pays for nothing else.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> List[str]:
    return sorted(__all__)
