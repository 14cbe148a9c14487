"""Keeps the tails of pods' logs before the pods go."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from common.domain.cluster import PodView
from common.domain.errors import AsperathosError
from common.logging import get_logger
from common.ports import Clusters, Texts

log = get_logger(__name__)


class LogKeeper:
    """``limit`` characters of at most ``most`` pods of a submission are kept.

    Which pods are done is remembered in this process and found again in what was kept: an ended pod is kept once,
    one on its way out or running as often as it is asked for, for its log still grows. ``cluster`` is where
    they run.
    """

    def __init__(self, clusters: Clusters, texts: Texts, limit: int = 65536, most: int = 500) -> None:
        self._clusters = clusters
        self._texts = texts
        self._limit = limit
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, set[str]] = {}

    def keep_ended(self, id: str, pods: Iterable[PodView], cluster: str = "", most: int = 5) -> list[PodView]:
        """Keep the logs of up to ``most`` pods that have ended or are on their way out; returns those that ended."""
        return self._keep_some(id, [pod for pod in pods if pod.ended or pod.deleting], cluster, most)

    def keep_all(self, id: str, pods: Iterable[PodView], cluster: str = "", most: int = 100) -> list[PodView]:
        """Keep the logs of these pods, running ones too: they are about to go."""
        return self._keep_some(id, [pod for pod in pods if pod.phase != "Pending"], cluster, most)

    def tail(self, id: str, namespace: str, pod: str, limit: int, cluster: str = "") -> str:
        """The end of one pod's log, '' when it cannot be had."""
        try:
            return (self._clusters.at(cluster).pod_log(namespace, pod, limit) or self._texts.get(id).get(pod, ""))[
                -limit:
            ]
        except AsperathosError as error:
            log.warning("log_not_read", id=id, pod=pod, error=error.message)
            return ""

    def forget(self, id: str) -> None:
        """Drop what was remembered of the submission."""
        with self._lock:
            self._kept.pop(id, None)

    def forget_all(self) -> None:
        """Drop what was remembered of all."""
        with self._lock:
            self._kept.clear()

    def _keep_some(self, id: str, pods: list[PodView], cluster: str, most: int) -> list[PodView]:
        if not pods:
            return []
        kept = self._known(id)
        fresh = [pod for pod in pods if pod.name not in kept][: max(0, min(most, self._most - len(kept)))]
        return [pod for pod in fresh if self._keep(id, pod, cluster) and pod.ended]

    def _keep(self, id: str, pod: PodView, cluster: str) -> bool:
        try:
            text = self._clusters.at(cluster).pod_log(pod.namespace, pod.name, self._limit)
        except AsperathosError as error:
            log.warning("log_not_kept", id=id, pod=pod.name, error=error.message)
            return False
        # An empty one too: that it is there says that this pod is done with. But none takes the place of what was kept.
        if text or pod.name not in self._texts.names(id):
            self._texts.put(id, pod.name, text)
        if pod.ended:
            with self._lock:
                self._kept.setdefault(id, set()).add(pod.name)
        return True

    def _known(self, id: str) -> set[str]:
        with self._lock:
            kept = self._kept.get(id)
        if kept is None:
            kept = set(self._texts.names(id))
            with self._lock:
                self._kept[id] = kept
        return kept
