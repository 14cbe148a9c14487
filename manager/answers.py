"""What the manager answers, as types: what /openapi.json says of it. Tests hold the answers against it.

Times are Unix seconds, durations seconds; None means that it is not known (yet).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from asperathos_worker.queue.records import ItemFailure, ItemResult, ItemState
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from common.domain.accounts import Quota, Role
from common.domain.audit import AuditEntry
from common.domain.cluster import NodeView
from common.domain.events import Event
from common.domain.progress import Counts, Decision, Replicas
from common.domain.states import Intent, State
from common.domain.submission import Kind, Target
from common.plugins import PluginInfo
from manager.reporting.economy import Economy
from manager.reporting.spreads import Spread

Stamped = Annotated[
    tuple[float, str], Field(description="A value, and when it was measured as `YYYY-mm-ddTHH:MM:SSZ`.")
]
DetailedRow = dict[str, float | None]
DetailedSeries = Annotated[
    dict[str, DetailedRow], Field(description="What was measured, by the second since acceptance.")
]


class StillRunning(TypedDict):
    """The original's answer to who asks for a report too early."""

    message: str


class AcceptedAnswer(TypedDict):
    """A submission was taken in."""

    job_id: str
    warnings: list[str]


class Change(TypedDict):
    """A field's value before and after."""

    old: Any
    new: Any


class ChangedAnswer(TypedDict):
    """What a change came to, by field."""

    job_id: str
    changed: dict[str, Change]


class Quantiles(TypedDict):
    """Of the time of the end: 5, 10, 50, 90 and 95 percent."""

    p5: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    p95: float | None


class Spent(TypedDict):
    """Replica seconds, and the money for them where a price is known."""

    replica_seconds: float | None
    replica_hours: float | None
    money: float | None


class Cost(Spent):
    """What is still to be spent, what has been, and what it will have come to."""

    price: float | None
    so_far: Spent
    projected: Spent


class WantedReplicas(Replicas):
    """Replicas by reality, what the law wants, what was granted, and why."""

    wanted: int | None
    granted: int | None
    law: str
    reason: str
    decided_at: float | None


class ForecastDocument(TypedDict):
    """When it is expected to end. ``finish`` is counted from acceptance."""

    at: float
    state: str
    progress: float
    outstanding: int | None
    rate: float
    rate_per_replica: float | None
    finish: Quantiles
    finish_at: Quantiles
    ends_at: float | None
    deadline_at: float | None
    margin: float | None
    chance: float | None
    late_by: float | None
    made_at: float | None
    age: float | None
    cost: Cost
    eta: float | None
    feasible: bool | None
    basis: str
    replicas: WantedReplicas


class Limits(TypedDict, total=False):
    """What there is for all submissions together: of what is limited only."""

    replicas: int
    cpu: float
    memory: float
    gpus: int


class PlannedForecast(ForecastDocument):
    """The same of something that was not submitted."""

    fits: bool
    endangered: list[str]
    capacity: Limits | None


class Plan(TypedDict):
    """What would become of a document."""

    dry_run: Literal[True]
    name: str
    kind: Kind
    cluster: str
    items: int | None
    deadline: float | None
    warnings: list[str]
    forecast: PlannedForecast


class ListedStatus(TypedDict):
    """A submission as a listing has it: the original's keys and ours. The last ones are there when it has ended."""

    app_id: str
    status: State
    starting_time: str
    visualizer_url: str
    redis_ip: str
    redis_port: int
    id: str
    name: str
    kind: Kind
    form: Literal["native", "compatible"]
    owner: str
    cluster: str
    state: State
    intent: Intent
    reason: str
    position: Annotated[int | None, Field(description="In the line of those that wait for their turn, from 1 on.")]
    warnings: list[str]
    law: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    deadline: float | None
    target: Target | None
    elapsed: float
    time_progress: float
    progress: float
    error: float
    counts: Counts
    replicas: Replicas
    throughput: float
    observed_at: float | None
    eta: float | None
    ends_at: float | None
    feasible: bool | None
    deadline_met: bool | None
    deadline_margin: float | None
    execution_time: NotRequired[float]
    final_replicas: NotRequired[int]
    final_error: NotRequired[Stamped | None]
    max_error: NotRequired[Stamped | None]
    min_error: NotRequired[Stamped | None]
    scaling_strategy: NotRequired[str]
    heuristic_options: NotRequired[dict[str, Any] | None]
    replica_seconds: NotRequired[float]
    spent: NotRequired[float | None]
    scalings: NotRequired[int]
    peak_replicas: NotRequired[int]


class Status(ListedStatus):
    """One submission, with its forecast. In a listing the forecast is there when it was asked for."""

    forecast: NotRequired[ForecastDocument]
    spec: NotRequired[Annotated[dict[str, Any], Field(description="The specification, secrets hidden.")]]


class LogAnswer(TypedDict):
    """The original's three texts, and the log of each pod by name."""

    execution: str
    stderr: str
    stdout: str
    pods: dict[str, str]


class ReportedFailures(TypedDict):
    """Dead items and failed attempts: the totals of all, and the latest ones."""

    dead_total: int
    failed_attempts: int
    dead: list[ItemFailure]
    failed: list[ItemFailure]


class ReportDocument(Status):
    """The status object, and what it came to. The last four are there when detail was asked for."""

    headline: str
    complete: bool
    made_at: float
    kept_until: float | None
    service_time: Spread | None
    queue_wait: Spread | None
    sampled_items: int
    kept_items: int
    economy: Economy
    failures: ReportedFailures
    series: NotRequired[DetailedSeries]
    decisions: NotRequired[list[Decision]]
    events: NotRequired[list[Event]]


class ResultsPage(TypedDict):
    """Results in order of completion; ``cursor`` is where to go on."""

    results: list[ItemResult]
    cursor: int
    more: bool


class ToldEvent(TypedDict):
    """A line of the story: ours, or what Kubernetes told."""

    at: float
    kind: str
    message: str
    warning: bool


class EventsAnswer(TypedDict):
    """The story, oldest first."""

    events: list[ToldEvent]


class DecisionsAnswer(TypedDict):
    """Decisions on replicas, oldest first."""

    decisions: list[Decision]


class VisualizerAnswer(TypedDict):
    """The dashboard's address, '' before there is one."""

    visualizer_url: str


class ItemsAnswer(TypedDict):
    """Where the named items are; how many are where, when none was named."""

    counts: NotRequired[Counts]
    items: NotRequired[list[ItemState]]


class AddedAnswer(TypedDict):
    """How many of the items were new."""

    added: int


@with_config(ConfigDict(extra="forbid"))
class GivenItem(TypedDict):
    """An item of a stream. The same id again adds nothing; without one the queue numbers it."""

    payload: str
    id: NotRequired[Annotated[str | None, Field(min_length=1, max_length=256)]]


@with_config(ConfigDict(extra="forbid"))
class GivenItems(TypedDict):
    """Items for a stream."""

    items: list[str | GivenItem]


class ClaimedItem(TypedDict):
    """An item under a lease. What is said about it has to name the attempt."""

    id: str
    payload: str
    attempt: int
    failures: int


class ClaimAnswer(TypedDict):
    """What to do: work on the items, wait and ask again, take no more (drain), or end (over, stopped)."""

    verdict: Literal["items", "wait", "drain", "over", "stopped"]
    lease_seconds: float
    items: list[ClaimedItem]


class JudgedOutcome(TypedDict):
    """Whether the attempt still held its item."""

    id: str
    attempt: int
    accepted: bool


class OutcomesAnswer(TypedDict):
    """Item by item, in the order of the request."""

    items: list[JudgedOutcome]


class ClusterAnswer(TypedDict):
    """The cluster that was changed."""

    cluster_name: str
    status: Literal["success"]


class KnownCluster(ClusterAnswer):
    """... and whether its server answers now."""

    reachable: bool
    version: str
    warnings: list[str]


@with_config(ConfigDict(extra="allow"))
class ClusterDocument(TypedDict):
    """A cluster. Its certificates are there by name, as the original has them; nothing secret is shown."""

    conf_content: str
    active: bool
    default: bool
    server: str
    context: str
    authentication: str
    missing: list[str]
    submissions: int


class NodesAnswer(TypedDict):
    """A cluster's nodes."""

    cluster: str
    nodes: list[NodeView]


class PluginsAnswer(TypedDict):
    """What is installed."""

    plugins: list[PluginInfo]


class PastRunsDocument(TypedDict):
    """What earlier submissions of one name and image taught. Seconds an item took."""

    name: str
    image: str
    updated_at: float
    submissions: int
    items: int
    mean: float
    deviation: float
    longest: float
    failures: int
    attempts: int
    startup: float | None


class ForgottenAnswer(TypedDict):
    """How many histories were forgotten."""

    forgotten: int


class WhoAnswer(TypedDict):
    """Who asks."""

    name: str
    kind: Literal["anonymous", "user", "operator", "service", "scraper"]
    role: Role
    quota: Quota


class UserDocument(TypedDict):
    """A user."""

    name: str
    role: Role
    has_password: bool
    quota: Quota
    created_at: float


class TokenDocument(TypedDict):
    """An API token, without what it is."""

    id: str
    user: str
    label: str
    created_at: float
    expires_at: float | None


class IssuedToken(TokenDocument):
    """A new one. What it is is told this once."""

    token: str


class TokensAnswer(TypedDict):
    """A user's tokens."""

    tokens: list[TokenDocument]


class AuditAnswer(TypedDict):
    """Who changed what, oldest first."""

    entries: list[AuditEntry]
