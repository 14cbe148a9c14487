"""What pods use, as metrics.k8s.io tells it: one list of a namespace for all its submissions, now and then.

metrics.k8s.io is an add-on of a cluster (metrics-server): nothing fails because it is absent, or not allowed to us.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from common.adapters.kubernetes_api import KubernetesApi
from common.domain.cluster import SUBMISSION_LABEL
from common.domain.errors import AsperathosError, ClusterError, Unavailable
from common.domain.progress import Usage
from common.domain.units import parse_quantity
from common.ports import Clock

FRESH = 10.0
"""Seconds for which an answer stands; the cluster itself measures about every 15 s."""
_ABSENT = 60.0
"""Seconds until a cluster that refused, or does not serve it, is asked again."""


@dataclass
class _Known:
    """What was read last, and until when that stands."""

    asking: threading.Lock = field(default_factory=threading.Lock)
    usage: Mapping[str, Usage] | None = None
    problem: AsperathosError | None = None
    until: float | None = None


class UsageReader:
    """Threads may share it: one asks, the others go on with what is known. An answer stands for ``fresh`` seconds."""

    def __init__(self, api: KubernetesApi, clock: Clock, fresh: float = FRESH) -> None:
        self._fresh = fresh
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def of(self, namespace: str) -> Mapping[str, Usage] | None:
        """Usage by pod, None when the cluster does not serve it. Raises Unavailable, ClusterError when it refuses."""
        with self._lock:
            known = self._known.setdefault(namespace, _Known())
        is_due = known.until is None or self._clock.monotonic() >= known.until
        if is_due and known.asking.acquire(blocking=False):
            try:
                self._ask(namespace, known)
            finally:
                known.asking.release()
        if known.until is None:
            raise Unavailable("what the pods use is being asked for")
        if known.problem is not None:
            raise known.problem.with_traceback(None)
        return known.usage

    def _ask(self, namespace: str, known: _Known) -> None:
        stands = self._fresh
        try:
            query = [("labelSelector", SUBMISSION_LABEL)]
            listed = self._api.call("GET", f"/apis/metrics.k8s.io/v1beta1/namespaces/{quote(namespace)}/pods", query)
            known.usage, known.problem = usage_by_pod(listed.json()), None
        except ClusterError as error:
            known.usage, stands = None, _ABSENT
            known.problem = None if error.reason == "NotFound" else error
        except Unavailable as error:
            known.usage, known.problem = None, error
        known.until = self._clock.monotonic() + stands


def usage_by_pod(listed: Mapping[str, Any]) -> dict[str, Usage]:
    """A PodMetricsList; what is no quantity is left out."""
    found = {}
    for pod in listed.get("items") or ():
        containers = [container.get("usage") or {} for container in pod.get("containers") or ()]
        try:
            cpu = sum(parse_quantity(used["cpu"]) for used in containers)
            memory = sum(parse_quantity(used["memory"]) for used in containers)
        except (KeyError, ValueError):
            continue
        if containers:
            found[pod["metadata"]["name"]] = Usage(cpu=cpu, memory=memory, pods=1)
    return found
