"""Who competes: our laws and the baselines, with the settings they run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.domain.submission import Kind
from simulator.baselines import SINGLE_USE
from simulator.scenarios.streams import WAIT


@dataclass(frozen=True)
class Contender:
    """``ours``: judged by the bars, and with each state of knowledge; the others know nothing beforehand."""

    label: str
    law: str
    kind: Kind
    ours: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def single_use(self) -> bool:
        """Whether its replicas do one item each."""
        return self.law in SINGLE_USE


def _baseline(name: str, kind: Kind = Kind.BATCH, label: str = "", **settings: object) -> Contender:
    return Contender(label or name, f"baseline:{name}", kind, settings=settings)


CONTENDERS = (
    Contender("deadline", "deadline", Kind.BATCH, ours=True),
    Contender("pid", "pid", Kind.BATCH, settings={"mode": "correct"}),
    Contender("original-default", "threshold", Kind.BATCH),
    Contender("original-pid", "pid", Kind.BATCH, settings={"mode": "compatible"}),
    _baseline("fixed", label="flat-out"),
    _baseline("fixed", label="fixed-10", replicas=10),
    _baseline("slack", label="slack-1.2"),
    _baseline("dask-adaptive"),
    _baseline("keda-default"),
    _baseline("keda-custom"),
    _baseline("keda-accurate"),
    _baseline("keda-eager"),
    Contender("latency", "latency", Kind.STREAM, ours=True, settings={"wait": WAIT}),
    _baseline("square-root", Kind.STREAM),
    _baseline("hpa", Kind.STREAM, label="hpa-70%"),
    _baseline("fixed", Kind.STREAM, label="fixed-40", replicas=40),
)
