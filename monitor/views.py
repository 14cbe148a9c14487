"""What the cluster shows of a submission, without waiting time and again for a cluster that does not answer."""

from __future__ import annotations

import threading

from common.domain.cluster import SubmissionView
from common.domain.errors import ClusterError, Unavailable
from common.logging import get_logger
from common.ports import Clock, Cluster

log = get_logger(__name__)
_LEAST_PAUSE = 1.0
_MOST_PAUSE = 20.0
"""Seconds for which a namespace whose cluster failed us is not asked again."""


class Views:
    """Asks the cluster. After a failure that took long it pauses for twice as long, so that steps stay short."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = threading.Lock()
        self._paused: dict[str, float] = {}

    def get(self, namespace: str, id: str) -> SubmissionView | None:
        """The submission's Jobs and pods, None when the cluster does not answer (or did not a moment ago)."""
        began = self._clock.monotonic()
        with self._lock:
            if began < self._paused.get(namespace, began):
                return None
        try:
            view = self._cluster.view(namespace, id)
        except (Unavailable, ClusterError) as error:
            took = self._clock.monotonic() - began
            pause = min(_MOST_PAUSE, max(_LEAST_PAUSE, 2.0 * took))
            with self._lock:
                is_news = namespace not in self._paused
                self._paused[namespace] = self._clock.monotonic() + pause
            if is_news:
                log.warning("cluster_unavailable", namespace=namespace, error=error.message)
            return None
        with self._lock:
            was_paused = self._paused.pop(namespace, None) is not None
        if was_paused:
            log.info("cluster_back", namespace=namespace)
        return view
