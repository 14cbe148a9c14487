"""The one specification of a submission, and the record that carries it through its life."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, field_validator

from common.domain.clusters import CLUSTER_NAME
from common.domain.fields import (
    CONTROL_CHARACTER,
    DNS_LABEL,
    NAME,
    Argument,
    Duration,
    Flag,
    Number,
    ObjectName,
    PositiveDuration,
    Strict,
    Text,
    Whole,
    Word,
    label_problem,
    qualified_problem,
    shown_as,
)
from common.domain.pods import Affinity, KeyReference, Resources, Toleration, User, Volume
from common.domain.progress import Counts
from common.domain.queues import QueueAddress
from common.domain.readings import MOST_MONEY, Prices, Query
from common.domain.rules import Rule, named_faults
from common.domain.states import Intent, State

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_ENV = re.compile(r"ASPERATHOS_.*|JOB_COMPLETION_INDEX")
RESERVED_LABEL = re.compile(r"(.*\.)?(asperathos|kubernetes|k8s)\.io")
RESERVED_ANNOTATION = re.compile(r"(.*\.)?asperathos\.io|batch\.kubernetes\.io|(.*\.)?security\.(.*\.)?kubernetes\.io")
MAX_REPLICAS = 10_000
MAX_ITEM = 2**20
MAX_INLINE = 4 * 2**20
MAX_ENV = 256 * 1024
"""Largest item, inline workload and environment, in characters."""
MAX_ANNOTATIONS = 128 * 1024
"""Largest annotations, in characters."""
MAX_VOLUMES = 64
MAX_QUERIES = 8


def _env_form(value: object) -> str:
    return "union[text]" if isinstance(value, str) else "union[reference]"


# The tags are those of unions, which do not show in the path of a fault.
EnvValue = Annotated[
    Annotated[str, Tag("union[text]")] | Annotated[KeyReference, Tag("union[reference]")], Discriminator(_env_form)
]
"""A text, or the key of a secret or config map that holds it."""


class Kind(enum.StrEnum):
    """Batch: a pile with a deadline. Stream: items arrive, each to be handled within a target."""

    BATCH = "batch"
    STREAM = "stream"


class Priority(enum.StrEnum):
    """Who goes first when capacity is short."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


ORIGINS = ("items", "url", "glob", "source")
"""The fields of a workload of which one is given."""


class Workload(Strict):
    """Where the items come from: exactly one of ``items``, ``url``, ``glob``, or a plugin ``source``."""

    rules = (
        Rule(
            ORIGINS,
            lambda self: sum(getattr(self, name) is not None for name in ORIGINS) == 1,
            "give exactly one of items, url, glob, source",
            at="",
        ),
        Rule(
            ("options", "source"),
            lambda self: not self.options or self.source is not None,
            "options belong to a source plugin: give source too",
        ),
    )

    items: tuple[Annotated[str, StringConstraints(max_length=MAX_ITEM)], ...] | None = Field(
        default=None, description="The items themselves, inline."
    )
    url: Word | None = Field(
        default=None, description="http, https, s3 or file URL: one item per line; blank lines are skipped."
    )
    glob: Text | None = Field(default=None, description="A pattern; the path of each matching file is an item.")
    source: Text | None = Field(default=None, description="The name of an installed workload source plugin.")
    options: dict[str, Any] = Field(default_factory=dict, description="Handed to the workload source plugin.")

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"[a-z][a-z0-9+.-]*://[^/]|file:///", value, re.IGNORECASE):
            raise ValueError("must be a URL such as https://host/items.txt, s3://bucket/items.txt or file:///items.txt")
        return value

    @field_validator("items")
    @classmethod
    def _bounded_items(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and sum(map(len, value)) > MAX_INLINE:
            raise ValueError(f"inline items are at most {MAX_INLINE} characters in all: put them behind a url")
        return value


class Target(Strict):
    """A stream's goal: this share of the items is done within ``latency`` seconds of its arrival."""

    latency: PositiveDuration = Field(description="From an item's arrival to its result.")
    percentile: Number = Field(default=95.0, gt=0, lt=100, description="Share of the items in percent.")


class ReplicaBounds(Strict):
    """How many replicas there may be. ``initial`` is the count to start with (the law decides when absent)."""

    rules = (
        Rule(("min", "max"), lambda self: self.min <= self.max, "must not exceed max"),
        Rule(
            ("initial", "min", "max"),
            lambda self: self.initial is None or self.min > self.max or self.min <= self.initial <= self.max,
            "must lie between min and max",
        ),
    )

    min: Whole = Field(default=1, ge=0, le=MAX_REPLICAS, description="Fewest replicas.")
    max: Whole = Field(default=10, ge=1, le=MAX_REPLICAS, description="Most replicas.")
    initial: Whole | None = Field(
        default=None, ge=0, le=MAX_REPLICAS, description="Replicas to start with; the law decides when absent."
    )


class Control(Strict):
    """How replicas are decided. ``settings`` belong to the law; the rest is the guard's, around every law."""

    law: Text | None = Field(default=None, description="Name of a law; deadline for batches, latency for streams.")
    interval: Annotated[PositiveDuration, Field(ge=0.1, description="Seconds between decisions.")] = 5.0
    settings: dict[str, Any] = Field(default_factory=dict, description="The law's own settings.")
    max_step_up: Whole | None = Field(default=None, ge=1, description="Most replicas added by one decision.")
    max_step_down: Whole | None = Field(default=None, ge=1, description="Most replicas removed by one decision.")
    cooldown_up: Duration = Field(default=0.0, description="Least time between two increases.")
    cooldown_down: Duration = Field(default=0.0, description="Least time between a change and a decrease.")
    drain_timeout: Duration = Field(default=30.0, description="How long a busy replica may finish before removal.")


class Monitoring(Strict):
    """How progress is measured."""

    plugin: Text = Field(default="items", description="Name of a monitor: what progress means.")
    interval: Annotated[PositiveDuration, Field(ge=0.1, description="Seconds between observations.")] = 2.0
    settings: dict[str, Any] = Field(default_factory=dict, description="The monitor's own settings.")
    prices: Prices | None = Field(
        default=None, description="What a replica costs: for the law cost, and to tell costs in money."
    )
    queries: dict[Word, Query] = Field(
        default_factory=dict, max_length=MAX_QUERIES, description="Metrics asked of Prometheus, for the law metric."
    )


class Dashboard(Strict):
    """Which dashboard the visualizer makes."""

    enabled: Flag = Field(default=True, description="Whether one is made at all.")
    plugin: Text = Field(default="builtin", description="Name of a visualizer: builtin, grafana, or an installed one.")
    datasource: Text | None = Field(default=None, description="Where the dashboard reads its series.")
    theme: Literal["light", "dark"] | None = Field(default=None, description="light or dark; the reader's when absent.")

    def __bool__(self) -> bool:
        return self.enabled


class SubmissionSpec(Strict):
    """What the user wants done. The native document is exactly this."""

    rules = (
        Rule(
            ("command", "args", "run"),
            lambda self: (self.command is None and not self.args) != (self.run is None),
            "give exactly one of command (or args of the image's own command) and run",
            at="run",
        ),
        Rule(
            ("deadline", "target"),
            lambda self: self.deadline is None or self.target is None,
            "give a deadline (batch) or a target (stream), not both",
        ),
        Rule(
            ("workload", "target"),
            lambda self: self.workload is not None or self.target is not None,
            "a batch needs a workload (items, url or glob); a stream needs a target",
        ),
        Rule(
            ("queue", "run"),
            lambda self: self.queue == "shared" or self.run is None,
            "a dedicated queue serves images of the original contract: give command, not run",
        ),
    )

    name: Annotated[str, shown_as(NAME)] = Field(
        default="job", description="Lower case letters, digits and dashes, at most 40."
    )
    image: Word | None = Field(default=None, description="Container image; the local cluster needs none.")
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When nodes fetch the image: IfNotPresent, Always or Never."
    )
    command: tuple[Argument, ...] | None = Field(
        default=None, description="The container speaks the worker protocol itself and is started so."
    )
    args: tuple[Argument, ...] = Field(default=(), description="Added to the command; without one, to the image's own.")
    run: Text | None = Field(
        default=None, description="Called once per item by our runner: 'python measure.py {item}'."
    )
    working_dir: Text | None = Field(default=None, description="Directory in the container to work in.")
    workload: Workload | None = Field(default=None, description="The items; none for a stream fed over REST.")
    deadline: PositiveDuration | None = Field(default=None, description="Finish within this, from acceptance on.")
    target: Target | None = Field(default=None, description="Makes it a stream with this latency goal.")
    replicas: ReplicaBounds = Field(default=ReplicaBounds(), description="How many replicas there may be.")
    control: Control = Field(default=Control(), description="How replicas are decided.")
    monitoring: Monitoring = Field(default=Monitoring(), description="How progress is measured.")
    resources: Resources = Field(default=Resources(), description="What each replica asks for.")
    queue: Literal["shared", "dedicated"] = Field(
        default="shared", description="dedicated: an own Redis with the original Asperathos' lists."
    )
    retries: Whole = Field(default=3, ge=0, le=1000, description="Failed attempts of an item before it is dead.")
    lease: Annotated[PositiveDuration, Field(ge=1.0)] = Field(
        default=30.0, description="A killed worker's items return after this; workers extend it as they go."
    )
    item_timeout: PositiveDuration | None = Field(default=None, description="An attempt longer than this failed.")
    expected_item_time: PositiveDuration | None = Field(default=None, description="A hint for the first decisions.")
    env: dict[str, EnvValue] = Field(
        default_factory=dict, description="Environment of the container: values, or keys of secrets and config maps."
    )
    secrets: tuple[ObjectName, ...] = Field(default=(), description="Names of image pull secrets.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels a node must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints of nodes that are no obstacle.")
    affinity: Affinity | None = Field(default=None, description="Kubernetes' affinity, in its own words.")
    volumes: Annotated[tuple[Volume, ...], Field(max_length=MAX_VOLUMES)] = Field(
        default=(), description="Directories and files from outside the image."
    )
    user: User = Field(default=None, description="User id to run as, root, or image: the image's own user.")
    service_account: ObjectName | None = Field(
        default=None, description="Service account of the pods, its token mounted; absent: no token."
    )
    namespace: Annotated[str, shown_as(DNS_LABEL)] | None = Field(
        default=None, description="Kubernetes namespace; the manager's when absent."
    )
    cluster: Annotated[str, shown_as(CLUSTER_NAME)] | None = Field(
        default=None, description="Name of the cluster to run on; the active one when absent."
    )
    priority: Priority = Field(default=Priority.NORMAL, description="low, normal or high.")
    grace_period: Annotated[Duration, Field(le=3600)] = Field(
        default=30.0, description="Seconds a replica gets between SIGTERM and SIGKILL."
    )
    job_lifetime: Duration = Field(default=0.0, description="How long the Kubernetes Job is kept after the end.")
    keep: Duration = Field(default=7 * 86400.0, description="How long results, logs and report stay readable.")
    dashboard: Dashboard = Field(default=Dashboard(), description="true, false, or which dashboard is made.")
    labels: dict[str, str] = Field(default_factory=dict, description="Kubernetes labels of everything made for it.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Kubernetes annotations of its Job and pods.")

    @field_validator("workload", mode="before", json_schema_input_type=Workload | str | list[str] | None)
    @classmethod
    def _short_workload(cls, value: object) -> object:
        if isinstance(value, str):
            return {"url": value}
        if isinstance(value, list | tuple):
            return {"items": value}
        return value

    @field_validator("dashboard", mode="before", json_schema_input_type=Dashboard | bool)
    @classmethod
    def _short_dashboard(cls, value: object) -> object:
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("name")
    @classmethod
    def _dns_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("use 1 to 40 lower case letters, digits and dashes, not starting or ending with a dash")
        return value

    @field_validator("namespace")
    @classmethod
    def _dns_label(cls, value: str | None) -> str | None:
        if value is not None and not DNS_LABEL.fullmatch(value):
            raise ValueError("must be a Kubernetes namespace name")
        return value

    @field_validator("cluster")
    @classmethod
    def _cluster_name(cls, value: str | None) -> str | None:
        if value is not None and not CLUSTER_NAME.fullmatch(value):
            raise ValueError("must be the name of a cluster")
        return value

    @field_validator("env", mode="before", json_schema_input_type=dict[str, str | int | float | KeyReference])
    @classmethod
    def _env_values(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        named_faults({name: _env_problem(name, content) for name, content in value.items()})
        if sum(len(str(name)) + len(str(content)) for name, content in value.items()) > MAX_ENV:
            raise ValueError(f"is more than {MAX_ENV} characters in all")
        return {name: str(content) if isinstance(content, int | float) else content for name, content in value.items()}

    @field_validator("labels")
    @classmethod
    def _own_labels(cls, value: dict[str, str]) -> dict[str, str]:
        problems = {key: label_problem(key, content) for key, content in value.items()}
        for key in value:
            if _has_reserved_prefix(key, RESERVED_LABEL):
                problems[key] = "labels of this prefix are reserved"
        named_faults(problems)
        return value

    @field_validator("annotations")
    @classmethod
    def _own_annotations(cls, value: dict[str, str]) -> dict[str, str]:
        problems = {key: qualified_problem(key) for key in value}
        for key, content in value.items():
            if _has_reserved_prefix(key, RESERVED_ANNOTATION):
                problems[key] = "annotations of this prefix are reserved"
            elif CONTROL_CHARACTER.search(content):
                problems[key] = problems[key] or "must not hold control characters"
        named_faults(problems)
        if sum(len(key) + len(content) for key, content in value.items()) > MAX_ANNOTATIONS:
            raise ValueError(f"is more than {MAX_ANNOTATIONS} characters in all")
        return value

    @field_validator("volumes")
    @classmethod
    def _distinct_paths(cls, value: tuple[Volume, ...]) -> tuple[Volume, ...]:
        paths = [PurePosixPath(volume.path) for volume in value]
        twice = sorted({str(path) for path in paths if paths.count(path) > 1})
        if twice:
            raise ValueError(f"two volumes have the path {twice[0]}")
        return value

    @field_validator("node_selector")
    @classmethod
    def _node_labels(cls, value: dict[str, str]) -> dict[str, str]:
        named_faults({key: label_problem(key, content) for key, content in value.items()})
        return value

    @field_validator("command")
    @classmethod
    def _nonempty_command(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or not value[0].strip()):
            raise ValueError("must name a program")
        if value is not None and sum(map(len, value)) > MAX_ENV:
            raise ValueError(f"is more than {MAX_ENV} characters in all")
        return value

    @property
    def kind(self) -> Kind:
        """Batch unless it has a target."""
        return Kind.STREAM if self.target is not None else Kind.BATCH

    @property
    def budget(self) -> float | None:
        """Money an hour that its law may spend; None without such a bound."""
        told = self.control.settings.get("budget") if self.law == "cost" else None
        return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None

    @property
    def prices(self) -> Prices | None:
        """What tells the price of a replica: monitoring.prices, else the price that its law cost is given."""
        if self.monitoring.prices is not None or self.law != "cost":
            return self.monitoring.prices
        told = self.control.settings.get("price")
        if isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told <= MOST_MONEY:
            return None
        return Prices(replica=float(told))

    @property
    def law(self) -> str:
        """The law's name, defaults applied."""
        return self.control.law or ("latency" if self.kind is Kind.STREAM else "deadline")


def _env_problem(name: object, content: object) -> str | None:
    if not isinstance(name, str) or not ENV_NAME.fullmatch(name):
        return "is not a name for an environment variable"
    if RESERVED_ENV.fullmatch(name):
        return "is reserved: the names ASPERATHOS_* and JOB_COMPLETION_INDEX are ours"
    if isinstance(content, Mapping | KeyReference):
        return None
    if isinstance(content, bool) or not isinstance(content, str | int | float):
        return "must be text, a number, or {secret or config_map, key}"
    if CONTROL_CHARACTER.search(str(content)):
        return "must not hold control characters"
    return None


def _has_reserved_prefix(key: str, reserved: re.Pattern[str]) -> bool:
    return "/" in key and reserved.fullmatch(key.split("/")[0]) is not None


class Summary(BaseModel):
    """What remains at the end: the simple report. Times are Unix seconds, errors ``(value, at)``."""

    model_config = ConfigDict(frozen=True)

    counts: Counts = Counts()
    execution_time: float = 0.0
    replica_seconds: float = 0.0
    spent: float | None = None
    """Money for these, None when no price was known."""
    scalings: int = 0
    peak_replicas: int = 0
    final_replicas: int = 0
    final_error: tuple[float, float] | None = None
    max_error: tuple[float, float] | None = None
    min_error: tuple[float, float] | None = None
    deadline_met: bool | None = None
    deadline_margin: float | None = None
    """Seconds left of the deadline at the end; negative when missed."""


class Submission(BaseModel):
    """The manager's record of one submission. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    spec: SubmissionSpec
    cluster: str = ""
    """The cluster it was accepted for, whichever is active later; empty for the default one."""
    form: Literal["native", "compatible"] = "native"
    owner: str = ""
    """The user who handed it in; empty when nobody had to log in."""
    item_quota: int = 0
    """Most items its owner may have in one submission; 0 for no limit."""
    revision: int = 0
    """How often the specification was changed since it was accepted."""
    state: State = State.CREATED
    intent: Intent = Intent.NONE
    waits: bool = False
    """It is in the line of those that wait for their turn: nothing is begun."""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    created_at: float
    started_at: float | None = None
    """When the Job was created."""
    finished_at: float | None = None
    items_apart: int = 0
    """So many inline items are kept beside this record and not in its specification."""
    loaded: int = 0
    """Items put into the queue so far."""
    generation: int = 0
    """Number of the current Job; 0 before the first."""
    generation_taken: int = 0
    """Attempts handed out when the current generation began: tells a Job that works from one that does not."""
    generation_at: float | None = None
    """When the current generation was decided on."""
    generation_replicas: int = 0
    """Replicas the current generation's Job is created with."""
    job_created: bool = False
    """Whether the cluster has taken the current generation's Job."""
    idle_generations: int = 0
    """How many Jobs in a row ended well without having taken an item."""
    lost_generations: int = 0
    """How many Jobs in a row lost all of their pods before one of them had taken an item."""
    ending_at: float | None = None
    """When the end began (queue over, or a stop being carried out): bounds the wait for workers."""
    redis_host: str = ""
    redis_port: int = 0
    queue_at: float | None = None
    """When its dedicated queue was made: bounds the wait for it."""
    queue_password: str = Field(default="", repr=False)
    """Of the workers' own user of the shared Redis (empty when they have none), or of our user of a dedicated one."""
    visualizer_url: str = ""
    summary: Summary | None = None
    request: str = ""
    """Fingerprint of the request that made it: a repeated request finds its own record, not a stranger's."""
    end_told: bool = False
    """Monitor and controller know that it has ended."""
    archived: bool = False
    """A dedicated queue's results were copied into the shared Redis: they are read there from now on."""
    job_deleted: bool = False
    """Nothing of it is left in the cluster."""
    purged: bool = False
    delete_requested: bool = False
    """The user deleted it after its end: nobody sees it any more. The loop removes what is left of it in the cluster,
    the queue and the journals, and then this record."""
    forget_since: float | None = None
    """Since when that, or the forgetting after ``keep``, waits for a service or a metric store that is away."""

    @property
    def queue(self) -> QueueAddress:
        """Where its items are: with a dedicated queue, in its own Redis until the archive of that is made."""
        if self.spec.queue == "dedicated" and not self.archived:
            return self.dedicated_queue
        return QueueAddress(submission=self.id)

    @property
    def dedicated_queue(self) -> QueueAddress:
        """Its own Redis."""
        return QueueAddress(
            submission=self.id,
            kind="dedicated",
            host=self.redis_host,
            port=self.redis_port,
            password=self.queue_password,
        )
