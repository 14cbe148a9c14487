"""Rules of others, for comparison only: they are found here by name, and no user's document can ask for them.

Each is a Law like ours, sees what ours see and stands under the same guard, in the form that favours it where its own
documentation leaves something open. Their names begin with ``baseline:``.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.lawbook import AnyLaw
from simulator.baselines.cluster import AverageUtilization, ScaledJob, Strategy
from simulator.baselines.fixed import Fixed
from simulator.baselines.queueing import SquareRoot
from simulator.baselines.rates import Adaptive, Slack

BASELINES: Mapping[str, AnyLaw] = {
    "baseline:fixed": Fixed(),
    "baseline:dask-adaptive": Adaptive(),
    "baseline:slack": Slack(),
    "baseline:hpa": AverageUtilization(),
    "baseline:square-root": SquareRoot(),
    **{f"baseline:keda-{strategy}": ScaledJob(strategy) for strategy in Strategy},
}
"""By name. The original's two laws are installed ones: ``threshold`` (its default) and ``pid`` in mode compatible."""

SINGLE_USE = frozenset(f"baseline:keda-{strategy}" for strategy in Strategy)
"""Those that start one Job per item."""

__all__ = ["BASELINES", "SINGLE_USE"]
