"""Makes a submission's objects in the cluster: queue pod, secret, Job. Each call may be repeated."""

from __future__ import annotations

from common.domain.cluster import SubmissionView
from common.domain.errors import ClusterError
from common.domain.submission import Submission
from common.ports import Cluster, Clusters
from manager import manifests
from manager.manifests import ManifestSettings

HOPELESS = frozenset({"Invalid", "BadRequest", "NotFound"})
"""Kubernetes' reasons for a refusal that trying again does not change: a wrong manifest, a missing namespace."""


class Launcher:
    """Raises Unavailable when the submission's cluster does not answer and ClusterError when it refuses."""

    def __init__(self, clusters: Clusters, settings: ManifestSettings) -> None:
        self._clusters = clusters
        self._settings = settings

    def cluster(self, submission: Submission) -> Cluster:
        """The cluster it was accepted for."""
        return self._clusters.at(submission.cluster)

    def namespace(self, submission: Submission) -> str:
        """Where its objects live."""
        return manifests.namespace_of(submission.spec, self._settings)

    def view(self, submission: Submission) -> SubmissionView:
        """Its Jobs and pods."""
        return self.cluster(submission).view(self.namespace(submission), submission.id)

    def start_queue(self, submission: Submission) -> None:
        """Have the pod of a dedicated queue."""
        self.cluster(submission).create_pod(manifests.queue_pod(submission, self._settings))

    def start_job(self, submission: Submission) -> None:
        """Have the Job of the record's generation, and what its pods need."""
        if submission.spec.queue == "shared":
            self.cluster(submission).create_secret(manifests.redis_secret(submission, self._settings))
        self.cluster(submission).create_job(
            manifests.worker_job(submission, submission.generation, submission.generation_replicas, self._settings)
        )

    def remove_job(self, submission: Submission, generation: int, grace: float | None = None) -> None:
        """Delete a generation's Job and its pods; ``grace`` in seconds, None for the pods' own."""
        name = manifests.job_name(submission.id, generation)
        self.cluster(submission).delete_job(self.namespace(submission), name, grace)

    def remove_all(self, submission: Submission) -> None:
        """Delete everything that carries the submission's label."""
        self.cluster(submission).delete_submission(self.namespace(submission), submission.id)

    def trouble(self, submission: Submission) -> str:
        """The latest warning Kubernetes gave about the submission's objects, '' when there is none."""
        warnings = [
            event
            for event in self.cluster(submission).events(self.namespace(submission), submission.id)
            if event.warning
        ]
        return f"{warnings[-1].reason}: {warnings[-1].message}" if warnings else ""


def is_hopeless(error: ClusterError) -> bool:
    """Whether the cluster will refuse this for ever."""
    return error.reason in HOPELESS
