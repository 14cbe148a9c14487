"""Removes what no record knows: objects in the cluster, and users of Redis, of submissions that Redis has lost.

A record is written before anything is made for it, so an object of ours without a record has lost it: Redis was
replaced by an empty one, or lost its last second with a failing machine. Nobody else would ever end such a Job. A user
may have been granted to the new Redis by a step that had read the record in the old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

from common.domain.cluster import SubmissionView
from common.domain.errors import ClusterError, Unavailable
from common.logging import get_logger
from common.ports import Clock, Clusters
from manager.keyring import Keyring

log = get_logger(__name__)
GRACE = 15.0
"""Seconds that objects stay without a record before they are removed: a Redis that is put back may know them."""
EVERY = 10.0
REMEMBERED = 3600.0
"""Seconds that a place is looked at after the last look at a submission there."""


@dataclass(frozen=True)
class Place:
    """A namespace of a cluster; '' is the default one."""

    cluster: str
    namespace: str


def installation_of(key: str) -> str:
    """A name for the installation that has this secret key, '' without one: to tell our objects from those of another
    installation in the same namespace. It does not tell the key."""
    return hashlib.sha256(f"asperathos installation\n{key}".encode()).hexdigest()[:16] if key else ""


class Orphans:
    """Looks at one namespace of the default cluster, and wherever submissions were seen lately. ``is_known`` asks
    whether there is a record of a submission; ``installation`` is what our objects are labelled with, and '' means that
    none are looked for."""

    def __init__(
        self,
        clusters: Clusters,
        namespace: str,
        installation: str,
        is_known: Callable[[str], bool],
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._clusters = clusters
        self._home = Place("", namespace)
        self._installation = installation
        self._is_known = is_known
        self._keyring = keyring
        self._clock = clock
        self._noted: dict[Place, float] = {}
        self._seen: dict[str, float] = {}

    def note(self, cluster: str, namespace: str) -> None:
        """A submission has objects there: those that are lost are to be looked for there, too, for a while."""
        self._noted[Place(cluster, namespace)] = self._clock.monotonic()

    def sweep(self) -> list[str]:
        """Remove what has had no record for the grace; returns the submissions removed. Raises Unavailable and
        ClusterError."""
        now = self._clock.monotonic()
        found = self._in_clusters(now)
        unknown = {*found, *self._keyring.strangers(self._is_known)}
        self._seen = {id: self._seen.get(id, now) for id in sorted(unknown)}
        removed = [id for id, since in self._seen.items() if now - since >= GRACE]
        for id in removed:
            places = found.get(id, [])
            deleted = sum(self._clusters.at(at.cluster).delete_submission(at.namespace, id) for at in places)
            self._keyring.expel(id)
            log.warning("orphans_removed", id=id, objects=deleted, why="no record of this submission is left in Redis")
        return removed

    def _in_clusters(self, now: float) -> dict[str, list[Place]]:
        """Where there is something of submissions that are not known."""
        found: dict[str, list[Place]] = {}
        if not self._installation:
            return found
        for place in {self._home, *self._noted_lately(now)}:
            try:
                views = self._clusters.at(place.cluster).views(place.namespace)
            except (ClusterError, Unavailable) as error:
                # Nobody waits for it, and whose work it concerns tells of a cluster that is away.
                log.debug("orphans_not_looked_for", error=error.message, **asdict(place))
                continue
            for id, view in views.items():
                if self._is_ours(view) and not self._is_known(id):
                    found.setdefault(id, []).append(place)
        return found

    def _noted_lately(self, now: float) -> list[Place]:
        # Other threads note meanwhile.
        for place, at in list(self._noted.items()):
            if now - at > REMEMBERED:
                self._noted.pop(place, None)
        return list(self._noted)

    def _is_ours(self, view: SubmissionView) -> bool:
        labels = {job.installation for job in view.jobs} | {pod.installation for pod in view.pods}
        return self._installation in labels
