"""What is submitted in a fault run: a batch, a stream, a program that is run once per item, a queue of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
Item = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """``document`` makes the fields that are its own from the items; ``process`` is in the command line of whoever
    works; ``ends`` is the state it ends in when nothing is dead; ``weight``: how often it is drawn."""

    name: str
    document: Callable[[Sequence[Item]], dict[str, Any]]
    process: str
    ends: str = "completed"
    weight: int = 1

    @property
    def fed(self) -> bool:
        """Whether its items come one after the other, from a client that stops it at their end."""
        return self.name == "stream"

    @property
    def listed(self) -> bool:
        """Whether its items are in the original's lists, which know neither ids nor attempts: a worker that is killed
        between its result and its item's removal has the item done twice."""
        return self.name == "dedicated"


def _batch(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "command": [sys.executable, str(_HERE / "handler.py")],
        "workload": [json.dumps(item) for item in items],
        "deadline": "10m",
    }


def _stream(_: Sequence[Item]) -> dict[str, Any]:
    return {"command": [sys.executable, str(_HERE / "handler.py")], "target": {"latency": "5s"}}


def _run(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "run": f"sh {_HERE / 'item.sh'} {{item}}",
        "workload": [f"{item['number']} {item['seconds']}" for item in items],
        "deadline": "10m",
    }


def _dedicated(items: Sequence[Item]) -> dict[str, Any]:
    original = {"command": [sys.executable, str(_HERE / "original.py")], "queue": "dedicated"}
    return {**_batch(items), **original}


BATCH = Shape("batch", _batch, "handler.py", weight=4)
STREAM = Shape("stream", _stream, "handler.py", ends="stopped", weight=2)
RUN = Shape("run", _run, "runner.pyz", weight=2)
DEDICATED = Shape("dedicated", _dedicated, "original.py")
SHAPES = {shape.name: shape for shape in (BATCH, STREAM, RUN, DEDICATED)}
