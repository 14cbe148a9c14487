"""The clusters users may name: added, activated, removed; which one a submission gets. No answer holds a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from common.domain.clusters import ACTIVE_ID, CLUSTER_NAME, ActiveCluster, ClusterRecord, inlined, missing
from common.domain.errors import BadRequest, ClusterError, Conflict, Fault, InvalidSubmission, NotFound, Unavailable
from common.domain.parsing import nearest
from common.domain.submission import Submission
from common.http.contracts import Contract
from common.logging import get_logger
from common.ports import Clock, Clusters, Records, Sealing, Versioned
from manager.kubeconfig import NAME_PROBLEM, Kubeconfig, certificate_faults, parse_kubeconfig
from manager.status import HIDDEN

log = get_logger(__name__)
_MOST_CLUSTERS = 200
_MOST_CERTIFICATES = 20
_MOST_TRIES = 20
_SHOWN = ("conf_content", "active", "default", "server", "context", "authentication", "missing", "submissions")
"""What is told of a cluster beside its certificates; no certificate may be called so."""


class NewCluster(Contract):
    """POST /submissions/cluster, the original's fields."""

    cluster_name: str
    cluster_config: str = Field(repr=False)


class NewCertificate(Contract):
    """POST /submissions/cluster/:name/certificate, the original's fields."""

    certificate_name: str
    certificate_content: str = Field(repr=False)


@dataclass(frozen=True)
class ClusterStores:
    """What the registry reads and writes."""

    clusters: Records[ClusterRecord]
    active: Records[ActiveCluster]
    submissions: Records[Submission]
    connections: Clusters
    sealing: Sealing
    clock: Clock


@dataclass(frozen=True)
class Known:
    """A cluster was added or changed. ``version`` is what its server says of itself, '' when it could not be asked."""

    name: str
    version: str
    warnings: tuple[str, ...]


class ClusterRegistry:
    """``default`` names the cluster of the settings: it is always there. ``programs``: whether kubeconfigs may name
    programs to run. All methods may raise Unavailable."""

    def __init__(self, stores: ClusterStores, default: str, programs: bool = False) -> None:
        self._stores = stores
        self._default = default
        self._programs = programs

    def add(self, new: NewCluster) -> Known:
        """Add a cluster, or renew the kubeconfig of one at the same address. Raises BadRequest with every fault, and
        Conflict for another cluster of that name."""
        if not CLUSTER_NAME.fullmatch(new.cluster_name):
            raise BadRequest(f"cluster_name: {NAME_PROBLEM}", [Fault("cluster_name", NAME_PROBLEM)])
        if new.cluster_name == self._default:
            raise Conflict(f"{self._default} is the cluster of the settings: give this one another name")
        config = parse_kubeconfig(new.cluster_config, self._programs)
        for _ in range(_MOST_TRIES):
            if self._stored(new.cluster_name, config):
                log.info("cluster_added", cluster=new.cluster_name, server=config.server)
                return self._checked(new.cluster_name)
        raise Unavailable(f"cluster {new.cluster_name} is being changed by others; try again")

    def add_certificate(self, name: str, new: NewCertificate) -> Known:
        """Keep a file that the cluster's kubeconfig refers to. Raises NotFound, BadRequest and Conflict."""
        faults = certificate_faults(new.certificate_name, new.certificate_content)
        if new.certificate_name in _SHOWN:
            faults.append(Fault("certificate_name", f"must not be one of {', '.join(_SHOWN)}"))
        if faults:
            raise BadRequest(f"invalid certificate: {faults[0].field}: {faults[0].problem}", faults)
        sealed = self._stores.sealing.seal(new.certificate_content)

        def added(record: ClusterRecord) -> ClusterRecord:
            certificates = {**record.certificates, new.certificate_name: sealed}
            if len(certificates) > _MOST_CERTIFICATES:
                raise Conflict(f"cluster {name} has {_MOST_CERTIFICATES} certificates already: remove one first")
            return record.model_copy(update={"certificates": certificates})

        self._change(name, added)
        return self._checked(name)

    def remove_certificate(self, name: str, certificate: str) -> None:
        """Forget a file. Raises NotFound."""

        def removed(record: ClusterRecord) -> ClusterRecord:
            if certificate not in record.certificates:
                near = nearest(certificate, record.certificates)
                hint = f"; did you mean {near}?" if near else ""
                raise NotFound(f"cluster {name} has no certificate {_quoted(certificate)}{hint}")
            kept = {key: value for key, value in record.certificates.items() if key != certificate}
            return record.model_copy(update={"certificates": kept})

        self._change(name, removed)

    def remove(self, name: str) -> None:
        """Forget a cluster. Raises NotFound, and Conflict while submissions use it or for the default one."""
        if name == self._default:
            raise Conflict(f"{name} is the cluster of the settings: it cannot be removed")
        # Marked first, looked second; a submission is recorded first and looks for the mark second: one sees the other.
        self._change(name, lambda record: record.model_copy(update={"removing": True}))
        users = self._users().get(name, [])
        if users:
            self._change(name, lambda record: record.model_copy(update={"removing": False}))
            shown = ", ".join(users[:5]) + (", ..." if len(users) > 5 else "")
            raise Conflict(f"cluster {name} is used by {len(users)} submissions: {shown}")
        active = self._stores.active.get(ACTIVE_ID)
        if active is not None and active.value.name == name:
            self._stores.active.delete(ACTIVE_ID)
        self._stores.clusters.delete(name)
        self._stores.connections.forget(name)
        log.info("cluster_removed", cluster=name)

    def activate(self, name: str) -> None:
        """Have submissions that name no cluster run there from now on. Raises NotFound."""
        self.check(name)
        self._stores.active.put(ACTIVE_ID, ActiveCluster(name=name))
        log.info("cluster_activated", cluster=name)

    def active(self) -> str:
        """The name of the active cluster; the default one when none was activated."""
        found = self._stores.active.get(ACTIVE_ID)
        return found.value.name if found is not None else self._default

    def check(self, name: str) -> None:
        """Raises NotFound when there is no such cluster, with the nearest name there is."""
        problem = self._unknown(name)
        if problem:
            raise NotFound(problem)

    def chosen(self, wanted: str | None) -> str:
        """The cluster a new submission runs on. Raises InvalidSubmission when there is none of that name."""
        name = wanted if wanted is not None else self.active()
        problem = self._unknown(name)
        if problem:
            raise InvalidSubmission([Fault("cluster", problem)])
        return name

    def listing(self, only: str | None = None) -> dict[str, dict[str, Any]]:
        """What may be told of each cluster (or of one), by name: the original's keys and ours."""
        active, users = self.active(), self._users()
        records = {name: record for name, record in self._stores.clusters.all().items() if not record.removing}
        names = [name for name in (self._default, *records) if only in (None, name)]
        return {name: self._shown(name, records.get(name), active, users.get(name, [])) for name in names}

    def _shown(self, name: str, record: ClusterRecord | None, active: str, users: list[str]) -> dict[str, Any]:
        return {
            **(dict.fromkeys(record.certificates, HIDDEN) if record is not None else {}),
            "conf_content": HIDDEN,
            "active": name == active,
            "default": name == self._default,
            "server": record.server if record is not None else "",
            "context": record.context if record is not None else "",
            "authentication": record.authentication if record is not None else "",
            "missing": self._missing(record) if record is not None else [],
            "submissions": len(users),
        }

    def _missing(self, record: ClusterRecord) -> list[str]:
        try:
            config = json.loads(self._stores.sealing.open(record.config))
        except Unavailable:
            return []
        return missing(inlined(config, dict.fromkeys(record.certificates, "")))

    def _unknown(self, name: str) -> str:
        """Why no submission can be sent there, '' when it can."""
        if name == self._default:
            return ""
        found = self._stores.clusters.get(name) if CLUSTER_NAME.fullmatch(name) else None
        if found is not None and not found.value.removing:
            return ""
        names = [self._default, *self._stores.clusters.ids()]
        near = nearest(name, [other for other in names if other != name])
        hint = f"did you mean {near}?" if near else f"there is {', '.join(sorted(names)[:20])}"
        return f"there is no cluster named {_quoted(name)}; {hint}"

    def _users(self) -> dict[str, list[str]]:
        """Submissions that need the cluster still, by cluster: those of which something may be there."""
        users: dict[str, list[str]] = {}
        for id, submission in self._stores.submissions.all().items():
            if not (submission.state.terminal and submission.job_deleted):
                users.setdefault(submission.cluster or self._default, []).append(id)
        return users

    def _stored(self, name: str, config: Kubeconfig) -> bool:
        """Write the record; False when somebody else wrote it meanwhile."""
        kept = self._stores.clusters.get(name)
        if kept is None and len(self._stores.clusters.ids()) >= _MOST_CLUSTERS:
            raise Conflict(f"there are {_MOST_CLUSTERS} clusters already: remove one first")
        if kept is not None and kept.value.server != config.server:
            # Those who use it have their Jobs at the old address.
            raise Conflict(f"cluster {name} is at {kept.value.server}: remove it first, or choose another name")
        record = ClusterRecord(
            name=name,
            config=self._stores.sealing.seal(json.dumps(config.document)),
            certificates=kept.value.certificates if kept is not None else {},
            server=config.server,
            context=config.context,
            authentication=config.authentication,
            added_at=kept.value.added_at if kept is not None else self._stores.clock.now(),
        )
        try:
            if kept is None:
                self._stores.clusters.create(name, record)
            else:
                self._stores.clusters.update(name, record, kept.version)
        except Conflict:
            return False
        return True

    def _checked(self, name: str) -> Known:
        """Whether its server answers, in a few seconds. One that does not may do so later: that is a warning."""
        self._stores.connections.forget(name)
        warnings = []
        if not self._stores.sealing.sealing:
            warnings.append(
                "the kubeconfig is kept in Redis as it is: set ASPERATHOS_SERVICE_TOKEN or ASPERATHOS_CLUSTER_KEY to "
                "have it sealed"
            )
        version = ""
        try:
            version = self._stores.connections.at(name).version()
        except (Unavailable, ClusterError) as error:
            warnings.append(f"cluster {name} does not answer now: {error.message}")
        return Known(name, version, tuple(warnings))

    def _change(self, name: str, change: Callable[[ClusterRecord], ClusterRecord]) -> None:
        for _ in range(_MOST_TRIES):
            kept = self._kept(name)
            changed = change(kept.value)
            try:
                self._stores.clusters.update(name, changed, kept.version)
            except Conflict:
                continue
            self._stores.connections.forget(name)
            return
        raise Unavailable(f"cluster {name} is being changed by others; try again")

    def _kept(self, name: str) -> Versioned[ClusterRecord]:
        kept = self._stores.clusters.get(name) if CLUSTER_NAME.fullmatch(name) else None
        if kept is None:
            if name == self._default:
                raise Conflict(f"{name} is the cluster of the settings: its kubeconfig is not kept here")
            raise NotFound(self._unknown(name))
        return kept


def _quoted(name: str) -> str:
    return ascii(name[:80])
