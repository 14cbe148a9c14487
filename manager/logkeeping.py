"""Keeps the tails of pods' logs before the pods go."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from common.domain.cluster import PodView
from common.domain.errors import AsperathosError
from common.logging import get_logger
from common.ports import Cluster, Texts

log = get_logger(__name__)


class LogKeeper:
    """``limit`` characters of at most ``most`` pods of a submission are kept. Which pods are done is remembered in
    this process only: keeping one again changes nothing."""

    def __init__(self, cluster: Cluster, texts: Texts, limit: int = 65536, most: int = 500) -> None:
        self._cluster = cluster
        self._texts = texts
        self._limit = limit
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, set[str]] = {}

    def keep_ended(self, id: str, pods: Iterable[PodView], most: int = 5) -> None:
        """Keep the logs of up to ``most`` pods that have ended or are on their way out."""
        for pod in pods:
            if most <= 0:
                return
            if (pod.ended or pod.deleting) and not self._is_kept(id, pod.name):
                self._keep(id, pod)
                most -= 1

    def keep_all(self, id: str, pods: Iterable[PodView], most: int = 100) -> None:
        """Keep the logs of all these pods, running ones too: they are about to go."""
        for pod in pods:
            if most <= 0:
                return
            if pod.phase != "Pending" and not self._is_kept(id, pod.name):
                self._keep(id, pod)
                most -= 1

    def tail(self, id: str, namespace: str, pod: str, limit: int) -> str:
        """The end of one pod's log, '' when it cannot be had."""
        try:
            return (self._cluster.pod_log(namespace, pod, limit) or self._texts.get(id).get(pod, ""))[-limit:]
        except AsperathosError as error:
            log.warning("log_not_read", id=id, pod=pod, error=error.message)
            return ""

    def forget(self, id: str) -> None:
        """Drop what was remembered of the submission."""
        with self._lock:
            self._kept.pop(id, None)

    def _keep(self, id: str, pod: PodView) -> None:
        try:
            text = self._cluster.pod_log(pod.namespace, pod.name, self._limit)
        except AsperathosError as error:
            log.warning("log_not_kept", id=id, pod=pod.name, error=error.message)
            return
        if text:
            self._texts.put(id, pod.name, text)
        if pod.ended:
            with self._lock:
                self._kept.setdefault(id, set()).add(pod.name)

    def _is_kept(self, id: str, pod: str) -> bool:
        with self._lock:
            kept = self._kept.get(id, set())
            return pod in kept or len(kept) >= self._most
