"""Bodies that go between the services. The original's fields keep their names; ours are beside them.

All routes and codes: see docs/architecture.md. Every POST is idempotent: the same body again changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from common.domain.capacity import Capacity, Requests
from common.domain.forecast import Forecast
from common.domain.history import History
from common.domain.progress import Counts, Decision, Observation
from common.domain.queues import QueueAddress
from common.domain.readings import Prices, Query
from common.domain.submission import MAX_REPLICAS, Control, Kind, Priority, ReplicaBounds, Target


class Contract(BaseModel):
    """A body. Fields we do not know are ignored, so that services of neighbouring versions understand each other."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class MonitoringInfo(Contract):
    """What the monitor must know to measure a submission. Times are Unix seconds, durations seconds."""

    queue: QueueAddress
    namespace: str
    cluster: str = ""
    """Name of the submission's cluster, empty for the default one."""
    created_at: float = Field(ge=0)
    deadline: float | None = Field(default=None, gt=0)
    target: float | None = Field(default=None, gt=0)
    name: str = ""
    kind: Kind = Kind.BATCH
    law: str = ""
    """These three are told with the time series, for whoever looks for a submission there."""
    settings: dict[str, Any] = Field(default_factory=dict)
    prices: Prices | None = None
    queries: dict[str, Query] = Field(default_factory=dict)
    requests: Requests = Requests()
    """What one replica asks for, to tell its price."""
    budget: float | None = Field(default=None, ge=0)
    """Money an hour that the submission may cost."""
    revision: int = 0
    """Of the submission's specification: what belongs to an earlier one than is known is out of date."""
    keep: float = Field(default=30 * 86400.0, ge=0)
    """How long what was measured stays readable after the end, though never less than ten minutes."""


class MonitoringRequest(Contract):
    """POST /monitoring/:id. ``plugin`` names the monitor (what progress means)."""

    plugin: str = "items"
    collect_period: float = Field(default=2.0, ge=0.1)
    plugin_info: MonitoringInfo


class MonitoringView(Contract):
    """GET /monitoring/:id."""

    active: bool
    plugin: str
    collect_period: float
    observation: Observation | None = None
    reason: str = ""


class MonitoringReport(Contract):
    """GET /monitoring/:id/report, once monitoring has ended. Errors are ``(value, Unix seconds)``, or None."""

    counts: Counts
    execution_time: float
    """Seconds from acceptance to the last observation."""
    replica_seconds: float
    """Observed replicas integrated over time."""
    spent: float | None = None
    """Money for these, None when no price was known."""
    peak_replicas: int
    final_replicas: int
    final_error: tuple[float, float] | None = None
    max_error: tuple[float, float] | None = None
    min_error: tuple[float, float] | None = None


class Steering(Contract):
    """What the controller must know to decide for a submission. Durations in seconds."""

    cluster: str = ""
    """Name of the submission's cluster, empty for the default one."""
    kind: Kind
    law: str
    control: Control
    replicas: ReplicaBounds
    initial: int = Field(ge=0, le=MAX_REPLICAS)
    """Replicas the Job was created with."""
    target: Target | None = None
    """A stream's goal; without it the percentile is taken to be 95."""
    expected_item_time: float | None = None
    item_timeout: float | None = None
    priority: Priority = Priority.NORMAL
    requests: Requests = Requests()
    """What one replica asks of its node."""
    history: History | None = None
    """What earlier submissions of the same name and image taught."""


class ScalingRequest(Steering):
    """POST /scaling/:id."""

    namespace: str
    job: str
    """Name of the Job now to be scaled; a new generation is a new POST."""
    queue: QueueAddress
    grace_period: float = 30.0
    revision: int = 0
    """Of the submission's specification: what belongs to an earlier one than is known is out of date."""


class ForecastRequest(Steering):
    """POST /forecast: what would become of a submission that were accepted now."""

    deadline: float | None = Field(default=None, gt=0)
    items: int | None = Field(default=None, ge=0)
    """How many there are, None when that is not known."""
    price: float | None = Field(default=None, gt=0)
    """Money that a replica costs in an hour, None when that is not known."""


class ForecastAnswer(Contract):
    """The answer to POST /forecast."""

    forecast: Forecast
    law: str
    wanted: int
    """Replicas the law would ask for at first."""
    granted: int
    """... and what it would get beside the submissions that are there."""
    endangered: tuple[str, ...] = ()
    """Submissions that would meet their deadline without this one, but not beside it."""
    fits: bool = True
    """False when it cannot meet its own deadline beside the others."""
    capacity: Capacity | None = None
    """What the cluster has for all submissions, None when that is not known."""


class ListedScaling(Contract):
    """One of GET /scaling."""

    active: bool
    law: str
    desired: int
    requested: int
    reason: str
    scalings: int
    peak: int
    job: str = ""
    draining: bool = False
    """Whether workers are being asked to finish, so that the Job can be lowered."""
    problem: str = ""
    """Why the cluster refused the last change, empty when it did not."""


class ScalingView(ListedScaling):
    """GET /scaling/:id."""

    decisions: tuple[Decision, ...] = ()


class ShareView(Contract):
    """What one submission asks of its cluster, and what it was granted last. Counts are replicas."""

    wanted: int
    """What law and guard ask for."""
    granted: int
    minimum: int = 0
    priority: Priority = Priority.NORMAL
    requests: Requests = Requests()
    """What one replica asks of its node."""
    deadline_at: float | None = None
    """Unix seconds."""
    waiting_since: float | None = None
    """Since when it has been kept below its least count (Unix seconds)."""


class SharesView(Contract):
    """GET /shares: how a cluster is divided. ``capacity`` is None where no limit is known: nothing is divided there."""

    cluster: str
    capacity: Capacity | None = None
    shares: dict[str, ShareView] = Field(default_factory=dict)


class LawRequest(Contract):
    """POST /scaling/validate: 204 when the law is there and takes these settings, else 400 with every fault."""

    law: str
    settings: dict[str, Any] = Field(default_factory=dict)


class SetupRequest(Contract):
    """POST /setup: caps by instance, as the original's. Ours caps what we scale: submission id to most replicas."""

    actuator_plugin: str = "k8s_replicas"
    instances_cap: dict[str, Annotated[float, Field(ge=0, le=MAX_REPLICAS)]]


class VisualizingRequest(Contract):
    """POST /visualizing/:id. The original's fields; a dashboard is made when ``enable_visualizer``."""

    plugin: str = "kubejobs"
    enable_visualizer: bool = True
    visualizer_plugin: str = "builtin"
    datasource_type: str = "redis"
    username: str = ""
    password: str = Field(default="", repr=False)
    theme: str = ""
    name: str = ""
    kind: Kind = Kind.BATCH


class VisualizingView(Contract):
    """GET /visualizing/:id."""

    url: str
    active: bool = True
    reason: str = ""
