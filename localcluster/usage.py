"""What pods use, as metrics.k8s.io tells it: cores over the last seconds, and bytes now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from localcluster.clock import Clock
from localcluster.objects import Obj, dig, format_time, meta, name_of, namespace_of, uid_of
from localcluster.resources import POD_USAGE
from localcluster.runtime.port import Used

_WINDOW = 5.0
"""Seconds for which one measurement stands: rates are told over no less."""
_LONGEST = 120.0
"""Seconds after which the measurement before is no base for a rate any more."""


@dataclass(frozen=True)
class Rate:
    """``cores`` over the last ``window`` seconds, and ``memory`` in bytes."""

    cores: float
    memory: int
    window: float


class Meter:
    """Measures when it is asked, so that it costs nothing otherwise. ``read`` tells each container's use so far."""

    def __init__(self, read: Callable[[], Mapping[str, Used]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._used: Mapping[str, Used] = {}
        self._rates: dict[str, Rate] = {}

    def rates(self) -> Mapping[str, Rate]:
        """By container id, measured at most ``_WINDOW`` seconds ago. Of a new container: since its start."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._at >= _WINDOW:
                used = self._read()
                before = self._used if now - self._at <= _LONGEST else {}
                self._rates = {id: _rate(before.get(id), one, now - self._at) for id, one in used.items()}
                self._used, self._at = used, now
            return self._rates


def _rate(before: Used | None, used: Used, seconds: float) -> Rate:
    if before is None or used.age < seconds:
        # It is younger than the last measurement.
        return Rate(used.cpu_seconds / max(used.age, 0.1), used.memory, used.age)
    return Rate(max(0.0, used.cpu_seconds - before.cpu_seconds) / seconds, used.memory, seconds)


def pod_usage(pods: Iterable[Obj], rates: Mapping[str, Rate], now: float) -> list[Obj]:
    """A PodMetrics of each pod that has a running container; container ids are ``<pod uid>/<container>/<restart>``."""
    by_pod: dict[str, list[tuple[str, Rate]]] = {}
    for id, rate in rates.items():
        uid, name, _ = id.split("/")
        by_pod.setdefault(uid, []).append((name, rate))
    return [_pod(pod, by_pod[uid_of(pod)], now) for pod in pods if uid_of(pod) in by_pod]


def _pod(pod: Obj, containers: list[tuple[str, Rate]], now: float) -> Obj:
    told = [
        {"name": name, "usage": {"cpu": f"{round(rate.cores * 1e9)}n", "memory": f"{rate.memory // 1024}Ki"}}
        for name, rate in sorted(containers, key=lambda each: each[0])
    ]
    metadata: Obj = {"name": name_of(pod), "namespace": namespace_of(pod), "creationTimestamp": format_time(now)}
    labels = dig(meta(pod), "labels")
    if labels:
        metadata["labels"] = labels
    return {
        "kind": POD_USAGE.kind,
        "apiVersion": POD_USAGE.api_version,
        "metadata": metadata,
        "timestamp": format_time(now),
        "window": f"{max(rate.window for _, rate in containers):.3f}s",
        "containers": told,
    }
