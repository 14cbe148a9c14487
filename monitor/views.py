"""What the cluster shows of a submission, without waiting time and again for a cluster that does not answer."""

from __future__ import annotations

import threading

from common.domain.cluster import SubmissionView
from common.domain.errors import ClusterError, Unavailable
from common.domain.progress import Usage
from common.logging import get_logger
from common.ports import Clock, Clusters
from monitor.measure import usage_of

log = get_logger(__name__)
_LEAST_PAUSE = 1.0
_MOST_PAUSE = 20.0
"""Seconds for which a namespace whose cluster failed us is not asked again."""


class Views:
    """Asks the cluster. After a failure that took long it pauses for twice as long, so that steps stay short."""

    def __init__(self, clusters: Clusters, clock: Clock) -> None:
        self._clusters = clusters
        self._clock = clock
        self._lock = threading.Lock()
        self._paused: dict[tuple[str, str], float] = {}

    def get(self, namespace: str, id: str, cluster: str = "") -> SubmissionView | None:
        """The submission's Jobs and pods, None when the cluster does not answer (or did not a moment ago)."""
        began = self._clock.monotonic()
        place = cluster, namespace
        with self._lock:
            if began < self._paused.get(place, began):
                return None
        try:
            view = self._clusters.at(cluster).view(namespace, id)
        except (Unavailable, ClusterError) as error:
            took = self._clock.monotonic() - began
            pause = min(_MOST_PAUSE, max(_LEAST_PAUSE, 2.0 * took))
            with self._lock:
                is_news = place not in self._paused
                self._paused[place] = self._clock.monotonic() + pause
            if is_news:
                log.warning("cluster_unavailable", cluster=cluster, namespace=namespace, error=error.message)
            return None
        with self._lock:
            was_paused = self._paused.pop(place, None) is not None
        if was_paused:
            log.info("cluster_back", cluster=cluster, namespace=namespace)
        return view

    def usage(self, namespace: str, view: SubmissionView | None, cluster: str = "") -> tuple[Usage | None, str]:
        """What the submission's running workers use, or None and why that is not known ('' when none runs)."""
        if view is None:
            return None, "the cluster does not answer"
        if not any(pod.running for pod in view.workers()):
            return None, ""
        try:
            by_pod = self._clusters.at(cluster).usage(namespace)
        except (Unavailable, ClusterError) as error:
            return None, error.message
        if by_pod is None:
            return None, "the cluster does not serve metrics.k8s.io"
        used = usage_of(view, by_pod)
        return used, "" if used is not None else "the cluster has not measured these pods yet"
