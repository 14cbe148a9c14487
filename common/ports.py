"""What the services need of the world, as protocols. Adapters implement them; tests bring fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from asperathos_worker.queue.api import ServiceQueue
from pydantic import BaseModel

from common.domain.access import Access
from common.domain.capacity import Capacity
from common.domain.cluster import ClusterEvent, JobView, LogLine, NodeView, SubmissionView
from common.domain.events import Event
from common.domain.metrics import Measurement, Point
from common.domain.progress import Usage
from common.domain.queues import QueueAddress

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Versioned(Generic[M]):
    """A record and the version to name when changing it."""

    value: M
    version: int


class Readings(Protocol):
    """Numbers that others tell over HTTP."""

    def read(self, url: str, parameters: Mapping[str, str]) -> Any:
        """The JSON that is answered. Raises Unavailable when it is not to be had soon."""


class Clock(Protocol):
    """Time. ``now`` is Unix seconds (may step), ``monotonic`` never goes back."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Records(Protocol[M]):
    """Versioned records of one kind. Every method raises Unavailable when the store does not answer."""

    def get(self, id: str) -> Versioned[M] | None:
        """The record, or None."""

    def create(self, id: str, value: M, attachment: str = "") -> int:
        """Store a new record; returns its version. Raises Conflict when the id is taken.

        ``attachment`` is kept as long as the record and is never changed; it is read by itself only.
        """

    def attachment(self, id: str) -> str:
        """What the record was created with beside itself, '' for nothing or no record."""

    def update(self, id: str, value: M, version: int, ttl: float | None = None) -> int:
        """Replace the record if its version still is ``version``; returns the new one. Raises Conflict otherwise.

        ``ttl`` (seconds) lets it expire; None keeps it for ever.
        """

    def put(self, id: str, value: M) -> int:
        """Create or replace whatever is there: for values with one writer."""

    def delete(self, id: str) -> bool:
        """Remove it; whether it was there."""

    def ids(self) -> list[str]:
        """All ids, oldest first."""

    def active_ids(self) -> list[str]:
        """Ids of the records that still need attention, as the store's ``active`` rule says."""

    def all(self, ids: Sequence[str] | None = None) -> dict[str, M]:
        """Many records in one call (all of them when ``ids`` is None); missing ones are left out."""


class Board(Protocol[M]):
    """Entries by board and id that every process sees, and of which each replaces its own. For what is told anew all
    the time: an entry has no version. Every method raises Unavailable when the store does not answer."""

    def exchange(self, name: str, id: str, entry: M) -> dict[str, M]:
        """Put the entry, and read all entries of that board (this one among them) in the same step."""

    def put(self, name: str, id: str, entry: M) -> None:
        """Put the entry."""

    def entries(self, name: str) -> dict[str, M]:
        """All entries of that board."""

    def drop(self, name: str, id: str) -> None:
        """Remove the entry. Idempotent."""


class Journal(Protocol):
    """Append-only, bounded histories: decisions, events."""

    def append(self, stream: str, id: str, entry: BaseModel) -> None:
        """Add an entry; the oldest ones fall off beyond the bound."""

    def read(self, stream: str, id: str, model: type[M], count: int = 1000) -> list[M]:
        """The latest entries, oldest first."""

    def expire(self, stream: str, id: str, ttl: float) -> None:
        """Forget the history after ttl seconds."""


class Leases(Protocol):
    """Time-limited exclusive rights by name, for loops that share work."""

    def hold(self, name: str, owner: str, ttl: float) -> int | None:
        """The fencing token (it grows with each new owner) if the lease is ours for ttl seconds, else None."""

    def release(self, name: str, owner: str) -> None:
        """Give it back if it is ours."""


class Wakeups(Protocol):
    """Nudges between processes: an intention was recorded, look now instead of at the next tick."""

    def notify(self, service: str, id: str) -> None:
        """Nudge a loop of that service. Never raises: the tick comes anyway."""

    def wait(self, service: str, timeout: float) -> str | None:
        """The id of a nudge, or None after timeout seconds."""


class Claims(Protocol):
    """Names that the first comer gives a value, for requests that may arrive twice."""

    def claim(self, name: str, value: str, ttl: float) -> str:
        """The value held under the name: ours if it was free. A new one is forgotten after ttl seconds."""

    def held(self, name: str) -> str | None:
        """The value held under the name, if any."""

    def drop(self, name: str) -> None:
        """Free the name."""


class Attempts(Protocol):
    """Counters of what may be tried a few times only. Methods raise Unavailable when the store does not answer."""

    def count(self, name: str, window: float) -> tuple[int, float]:
        """Count one more attempt under the name; how many there are now, and in how many seconds they are forgotten:
        ``window`` seconds after the first of them."""

    def forgive(self, name: str, attempts: int | None = None) -> None:
        """Take so many back; None: all."""


class Texts(Protocol):
    """Kept texts by submission and name (pod logs), bounded, with expiry."""

    def put(self, id: str, name: str, text: str) -> None:
        """Keep the tail of the text under that name."""

    def get(self, id: str) -> dict[str, str]:
        """All kept texts by name."""

    def names(self, id: str) -> list[str]:
        """The names of the kept texts."""

    def expire(self, id: str, ttl: float) -> None:
        """Forget them after ttl seconds."""

    def delete(self, id: str) -> None:
        """Forget them now."""


class MetricStore(Protocol):
    """Time series."""

    def write(self, points: Sequence[Point]) -> None:
        """Store samples. May buffer; never raises for an outage of the store."""

    def read(self, submission: str, measurement: Measurement, since: float = 0.0) -> list[Point]:
        """Samples of one measurement of one submission after ``since`` (Unix s), oldest first."""

    def read_several(
        self, submission: str, measurements: Sequence[Measurement], since: float = 0.0
    ) -> dict[str, list[Point]]:
        """The same of several measurements, by their names; a store that keeps them together reads them once."""

    def expire(self, submission: str, ttl: float) -> None:
        """Forget a submission's series after ttl seconds, where the store can. Raises Unavailable."""

    def flush(self, timeout: float) -> bool:
        """Wait until what was written before can be read by all, for timeout seconds at most; whether it can."""

    def close(self, timeout: float) -> None:
        """Write what is buffered, for timeout seconds at most, and give up the connections."""


class Annotations(Protocol):
    """Events beside the time series, where dashboards mark them."""

    def annotate(self, submission: str, event: Event) -> None:
        """Keep the event. May buffer; never raises for an outage of the store."""


class Queues(Protocol):
    """Where queues are had."""

    def at(self, address: QueueAddress) -> ServiceQueue:
        """The queue at that address."""


class QueueAccess(Protocol):
    """Users of the shared Redis that may work on one submission's queue and do nothing else there.

    Raises Unavailable, and Forbidden when the suite itself may not manage users.
    """

    def grant(self, submission: str, password: str) -> None:
        """Have the submission's user with that password. Idempotent."""

    def revoke(self, submission: str) -> None:
        """Remove the user; whoever is connected as it is cut off. Idempotent."""

    def granted(self) -> list[str]:
        """Submissions that have a user."""


class Cluster(Protocol):
    """The part of a Kubernetes cluster we use. Raises Unavailable (not answering) and ClusterError (refusing)."""

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        """Create a Job; False when one by that name is there already."""

    def create_deployment(self, manifest: Mapping[str, Any]) -> str:
        """Have a Deployment, new or there already; returns its uid, for what is to go with it."""

    def create_service(self, manifest: Mapping[str, Any]) -> str:
        """Have a Service, new or there already; returns where pods reach it: its address, or its name without one."""

    def create_secret(self, manifest: Mapping[str, Any]) -> bool:
        """Create a secret; False when one by that name is there already."""

    def create_config_map(self, manifest: Mapping[str, Any]) -> bool:
        """Create a config map; False when one by that name is there already."""

    def adopt_secret(self, namespace: str, name: str, job: str) -> bool:
        """Make the Job the only owner of the secret, so that it goes with it. False when one of them is gone."""

    def adopt_config_map(self, namespace: str, name: str, job: str) -> bool:
        """The same for a config map."""

    def scale_job(self, namespace: str, name: str, replicas: int) -> JobView | None:
        """Set completions and parallelism (0: suspend). None when the Job is gone or has ended: nothing is done."""

    def delete_submission(self, namespace: str, submission: str, grace: float | None = None) -> int:
        """Delete everything labelled with the submission; returns how many objects. Idempotent."""

    def delete_job(self, namespace: str, name: str, grace: float | None = None) -> bool:
        """Delete one Job and its pods; False when it is gone already."""

    def view(self, namespace: str, submission: str) -> SubmissionView:
        """The submission's Jobs and pods now (may be served from a watch that is at most a second behind)."""

    def views(self, namespace: str) -> dict[str, SubmissionView]:
        """Those of all submissions of a namespace, in a number of requests that does not grow with them."""

    def usage(self, namespace: str) -> Mapping[str, Usage] | None:
        """What the running pods of submissions use, by pod, as the cluster measured it some seconds ago; None when it
        does not measure (no metrics.k8s.io)."""

    def pod_log(self, namespace: str, pod: str, limit: int = 65536) -> str:
        """The last ``limit`` bytes of a pod's log, '' when it has none (any more)."""

    def pod_log_since(self, namespace: str, pod: str, since: int = 0, tail: int | None = None) -> list[LogLine]:
        """The lines written from ``since`` (Unix s) on, or the last ``tail`` of them; [] when there is no log.

        Of very many lines the oldest come first, the next call has the others.
        """

    def events(self, namespace: str, submission: str) -> list[ClusterEvent]:
        """What Kubernetes told about the submission's objects, oldest first."""

    def nodes(self) -> list[NodeView]:
        """The cluster's nodes."""

    def offer(self) -> Capacity:
        """What the ready nodes have for pods of submissions: what they offer less what other pods ask for. What is
        there for one kind of node only (GPUs, memory) is added up over all: a sum, not a promise that a pod fits."""

    def version(self) -> str:
        """The server's version, to see whether it answers."""

    def has_namespace(self, namespace: str) -> bool:
        """Whether the namespace is there."""

    def allowed(self, namespace: str, access: Access) -> bool:
        """Whether we may do that in the namespace ('' for what belongs to none)."""


class Clusters(Protocol):
    """The clusters by name, each connected to once."""

    def at(self, name: str) -> Cluster:
        """That cluster; '' is the default one. Raises ClusterError for a name that is not known, and Unavailable when
        its kubeconfig cannot be had or used."""

    def forget(self, name: str) -> None:
        """Close the connection of a cluster that was changed or removed; others find out by themselves."""


class Sealing(Protocol):
    """Makes secrets unreadable for whoever has no key."""

    @property
    def sealing(self) -> bool:
        """Whether there is a key: without one texts stay as they are."""

    def seal(self, text: str) -> str:
        """The sealed text."""

    def open(self, sealed: str) -> str:
        """The text again. Raises Unavailable when it was sealed with another key."""
