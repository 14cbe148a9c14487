"""Cases for tests of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.domain.submission import SubmissionSpec
from simulator import Case, PlantModel, Work
from simulator.distributions import Constant


def batch(
    durations: Sequence[float],
    replicas: int = 2,
    *,
    law: str = "nop",
    deadline: float | None = 1000.0,
    plant: PlantModel | None = None,
    most: int = 50,
    case: dict[str, Any] | None = None,
    **control: Any,
) -> Case:
    """A batch that begins with so many replicas; by default nothing changes them. Start-up takes 10 s."""
    spec = SubmissionSpec.model_validate(
        {
            "run": "work {item}",
            "workload": ["a"],
            "deadline": deadline,
            "replicas": {"min": 0, "max": most, "initial": replicas},
            "control": {"law": law, **control},
        }
    )
    return Case("batch", spec, Work(tuple(durations)), plant or PlantModel(startup=Constant(10.0)), **(case or {}))


def stream(
    arrivals: Sequence[float], durations: Sequence[float], replicas: int = 1, *, law: str = "nop", **plant: Any
) -> Case:
    """A stream with a target of 10 s."""
    spec = SubmissionSpec.model_validate(
        {
            "run": "work {item}",
            "target": {"latency": 10.0},
            "replicas": {"min": 0, "max": 50, "initial": replicas},
            "control": {"law": law},
        }
    )
    model = PlantModel(**{"startup": Constant(0.0), **plant})
    return Case("stream", spec, Work(tuple(durations), tuple(arrivals)), model)


def scripted(*steps: tuple[float, int]) -> dict[str, Any]:
    """Control that follows a timetable, decided on each second."""
    return {"law": "scripted", "settings": {"steps": [list(step) for step in steps]}, "interval": 1.0}
