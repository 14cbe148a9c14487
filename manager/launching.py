"""Makes a submission's objects in the cluster: queue, secret, config map, Job. Each call may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.domain.cluster import ClusterEvent, SubmissionView
from common.domain.errors import ClusterError
from common.domain.submission import Submission
from common.logging import get_logger
from common.ports import Cluster, Clusters
from manager import manifests
from manager.manifests import ManifestSettings

log = get_logger(__name__)
HOPELESS = frozenset({"Invalid", "BadRequest", "NotFound"})
"""Kubernetes' reasons for a refusal that trying again does not change: a wrong manifest, a missing namespace."""


@dataclass(frozen=True)
class _Belonging:
    """An object that goes with the Job: how to make it, and how to make the Job its owner."""

    manifest: dict[str, Any]
    create: Callable[[dict[str, Any]], bool]
    adopt: Callable[[str, str, str], bool]


class Launcher:
    """Raises Unavailable when the submission's cluster does not answer and ClusterError when it refuses.

    ``items_token`` gives the token of a submission's pods for taking items over HTTP ('' for none).
    """

    def __init__(
        self, clusters: Clusters, settings: ManifestSettings, items_token: Callable[[str], str] = lambda _: ""
    ) -> None:
        self._clusters = clusters
        self._settings = settings
        self._items_token = items_token

    def cluster(self, submission: Submission) -> Cluster:
        """The cluster it was accepted for."""
        return self._clusters.at(submission.cluster)

    def namespace(self, submission: Submission) -> str:
        """Where its objects live."""
        return manifests.namespace_of(submission.spec, self._settings)

    def view(self, submission: Submission) -> SubmissionView:
        """Its Jobs and pods."""
        return self.cluster(submission).view(self.namespace(submission), submission.id)

    def start_queue(self, submission: Submission) -> str:
        """Have a dedicated queue's Deployment, and what goes with that; returns the host where it will answer."""
        cluster = self.cluster(submission)
        owner = cluster.create_deployment(manifests.queue_deployment(submission, self._settings))
        # Its pod waits for this.
        cluster.create_secret(manifests.queue_secret(submission, self._settings, owner))
        return cluster.create_service(manifests.queue_service(submission, self._settings, owner))

    def start_job(self, submission: Submission) -> None:
        """Have the Job of the record's generation, and what its pods need; that goes with it, whoever deletes it."""
        cluster = self.cluster(submission)
        belongings = self._belongings(submission)
        for thing in belongings:
            thing.create(thing.manifest)
        cluster.create_job(
            manifests.worker_job(submission, submission.generation, submission.generation_replicas, self._settings)
        )
        for thing in belongings:
            if not self._adopted(submission, thing):
                # The Job before this one owned it, and it went with that between the two calls above.
                thing.create(thing.manifest)
                self._adopted(submission, thing)

    def _belongings(self, submission: Submission) -> list[_Belonging]:
        """What the Job's pods need."""
        cluster = self.cluster(submission)
        found = []
        if submission.spec.queue == "shared":
            token = self._items_token(submission.id)
            secret = manifests.redis_secret(submission, self._settings, token)
            found.append(_Belonging(secret, cluster.create_secret, cluster.adopt_secret))
        config_map = manifests.runner_config_map(submission, self._settings)
        if config_map is not None:
            found.append(_Belonging(config_map, cluster.create_config_map, cluster.adopt_config_map))
        return found

    def _adopted(self, submission: Submission, thing: _Belonging) -> bool:
        """Whether nothing is left to do: a cluster that does not let us change it is no reason not to work."""
        job = manifests.job_name(submission.id, submission.generation)
        try:
            return thing.adopt(self.namespace(submission), thing.manifest["metadata"]["name"], job)
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            log.warning("not_adopted", id=submission.id, kind=thing.manifest["kind"], error=error.message)
            return True

    def remove_job(self, submission: Submission, generation: int, grace: float | None = None) -> None:
        """Delete a generation's Job and its pods; ``grace`` in seconds, None for the pods' own."""
        name = manifests.job_name(submission.id, generation)
        self.cluster(submission).delete_job(self.namespace(submission), name, grace)

    def remove_all(self, submission: Submission) -> None:
        """Delete everything that carries the submission's label."""
        self.cluster(submission).delete_submission(self.namespace(submission), submission.id)

    def told(self, submission: Submission) -> list[ClusterEvent]:
        """What Kubernetes told of the submission's objects."""
        return self.cluster(submission).events(self.namespace(submission), submission.id)

    def trouble(self, submission: Submission) -> str:
        """The latest warning Kubernetes gave about the submission's objects, '' when there is none."""
        warnings = [event for event in self.told(submission) if event.warning]
        return f"{warnings[-1].reason}: {warnings[-1].message}" if warnings else ""


def is_hopeless(error: ClusterError) -> bool:
    """Whether the cluster will refuse this for ever."""
    return error.reason in HOPELESS
