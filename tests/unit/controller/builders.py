"""Observations, situations and records for tests of the controller."""

from __future__ import annotations

from typing import Any

from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Kind
from controller.laws import Situation

START = 1_700_000_000.0


def observed(**given: Any) -> Observation:
    """An observation; ``ready``, ``done``, ``observed``, ``mean`` ... may be given directly."""
    counts = {name: given.pop(name) for name in list(given) if name in Counts.model_fields}
    replicas = {name: given.pop(name) for name in list(given) if name in Replicas.model_fields}
    service = {name: given.pop(name) for name in list(given) if name in ServiceTimes.model_fields}
    defaults = {"submission": "kj-0000001", "at": START + 100.0, "elapsed": 100.0}
    return Observation(
        **{
            **defaults,
            "counts": Counts(**{"total": 100, "ready": 50, "leased": 2, "done": 48, **counts}),
            "replicas": Replicas(**{"desired": 2, "requested": 2, "observed": 2, **replicas}),
            "service": ServiceTimes(**service),
            **given,
        }
    )


def situation(observation: Observation | None = None, **given: Any) -> Situation:
    """A situation with bounds 1 to 10, now at 2."""
    defaults: dict[str, Any] = {"kind": Kind.BATCH, "minimum": 1, "maximum": 10, "current": 2, "interval": 5.0}
    return Situation(observation=observation or observed(), **{**defaults, **given})
