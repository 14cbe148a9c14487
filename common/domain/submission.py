"""The one specification of a submission, and the record that carries it through its life."""

from __future__ import annotations

import enum
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from common.domain.progress import Counts
from common.domain.states import Intent, State
from common.domain.units import parse_duration, parse_quantity

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
RESERVED_ENV = re.compile(r"^(ASPERATHOS_.*|JOB_COMPLETION_INDEX)$")
MAX_REPLICAS = 10_000
MAX_DURATION = 366 * 86400.0


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds > MAX_DURATION:
        raise ValueError("must be at most 366 days")
    return seconds


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def _quantity(value: object) -> str:
    if parse_quantity(value) <= 0:
        raise ValueError("must be more than 0")
    return str(value).strip()


Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds, written as 90s, 30m, 1h30m or a number."""


def _positive_duration(value: object) -> float:
    return _positive(_duration(value))


PositiveDuration = Annotated[float, BeforeValidator(_positive_duration)]
Quantity = Annotated[str, BeforeValidator(_quantity)]
"""A Kubernetes quantity, kept as written."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Strict(BaseModel):
    """A part of the specification: immutable, and an unknown field is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Kind(enum.StrEnum):
    """Batch: a pile with a deadline. Stream: items arrive, each to be handled within a target."""

    BATCH = "batch"
    STREAM = "stream"


class Priority(enum.StrEnum):
    """Who goes first when capacity is short."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Workload(Strict):
    """Where the items come from: exactly one of ``items``, ``url``, ``glob``, or a plugin ``source``."""

    items: tuple[Annotated[str, StringConstraints(max_length=1_048_576)], ...] | None = Field(
        default=None, description="The items themselves, inline."
    )
    url: Text | None = Field(default=None, description="http, https, s3 or file URL: one item per line.")
    glob: Text | None = Field(default=None, description="A pattern; the path of each matching file is an item.")
    source: Text | None = Field(default=None, description="The name of an installed workload source plugin.")
    options: dict[str, Any] = Field(default_factory=dict, description="Handed to the workload source plugin.")

    @model_validator(mode="after")
    def _one_origin(self) -> Workload:
        given = [name for name in ("items", "url", "glob", "source") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of items, url, glob, source")
        if self.options and self.source is None:
            raise ValueError("options belong to a source plugin: give source too")
        return self


class Target(Strict):
    """A stream's goal: this share of the items is done within ``latency`` seconds of its arrival."""

    latency: PositiveDuration
    percentile: float = Field(default=95.0, gt=0, lt=100)


class ReplicaBounds(Strict):
    """How many replicas there may be. ``initial`` is the count to start with (the law decides when absent)."""

    min: int = Field(default=1, ge=0, le=MAX_REPLICAS)
    max: int = Field(default=10, ge=1, le=MAX_REPLICAS)
    initial: int | None = Field(default=None, ge=0, le=MAX_REPLICAS)

    @model_validator(mode="after")
    def _ordered(self) -> ReplicaBounds:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not exceed max ({self.max})")
        if self.initial is not None and not self.min <= self.initial <= self.max:
            raise ValueError(f"initial ({self.initial}) must lie between min ({self.min}) and max ({self.max})")
        return self


class Control(Strict):
    """How replicas are decided. ``settings`` belong to the law; the rest is the guard's, around every law."""

    law: Text | None = Field(default=None, description="Name of a law; deadline for batches, latency for streams.")
    interval: Annotated[PositiveDuration, Field(ge=0.1, description="Seconds between decisions.")] = 5.0
    settings: dict[str, Any] = Field(default_factory=dict, description="The law's own settings.")
    max_step_up: int | None = Field(default=None, ge=1, description="Most replicas added by one decision.")
    max_step_down: int | None = Field(default=None, ge=1, description="Most replicas removed by one decision.")
    cooldown_up: Duration = Field(default=0.0, description="Least time between two increases.")
    cooldown_down: Duration = Field(default=0.0, description="Least time between a change and a decrease.")
    drain_timeout: Duration = Field(default=30.0, description="How long a busy replica may finish before removal.")


class Monitoring(Strict):
    """How progress is measured."""

    plugin: Text = Field(default="items", description="Name of a monitor: what progress means.")
    interval: Annotated[PositiveDuration, Field(ge=0.1, description="Seconds between observations.")] = 2.0
    settings: dict[str, Any] = Field(default_factory=dict)


class Resources(Strict):
    """What each replica asks for and may use; ``*_limit`` defaults to no limit."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory_limit: Quantity | None = None
    gpu: int = Field(default=0, ge=0, le=64)


class Toleration(Strict):
    """A Kubernetes toleration."""

    key: Text | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class SubmissionSpec(Strict):
    """What the user wants done. The native document is exactly this."""

    name: str = Field(default="job", description="Lower case letters, digits and dashes, at most 40.")
    image: Text | None = Field(default=None, description="Container image; the local cluster needs none.")
    command: tuple[str, ...] | None = Field(
        default=None, description="The container speaks the worker protocol itself and is started so."
    )
    run: Text | None = Field(
        default=None, description="Called once per item by our runner: 'python measure.py {item}'."
    )
    working_dir: Text | None = Field(default=None, description="Directory in the container to work in.")
    workload: Workload | None = Field(default=None, description="The items; none for a stream fed over REST.")
    deadline: PositiveDuration | None = Field(default=None, description="Finish within this, from acceptance on.")
    target: Target | None = Field(default=None, description="Makes it a stream with this latency goal.")
    replicas: ReplicaBounds = ReplicaBounds()
    control: Control = Control()
    monitoring: Monitoring = Monitoring()
    resources: Resources = Resources()
    queue: Literal["shared", "dedicated"] = Field(
        default="shared", description="dedicated: an own Redis with the original Asperathos' lists."
    )
    retries: int = Field(default=3, ge=0, le=1000, description="Failed attempts of an item before it is dead.")
    lease: Annotated[PositiveDuration, Field(ge=1.0)] = Field(
        default=30.0, description="A killed worker's items return after this; workers extend it as they go."
    )
    item_timeout: PositiveDuration | None = Field(default=None, description="An attempt longer than this failed.")
    expected_item_time: PositiveDuration | None = Field(default=None, description="A hint for the first decisions.")
    env: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[Text, ...] = Field(default=(), description="Names of image pull secrets.")
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    namespace: str | None = Field(default=None, description="Kubernetes namespace; the manager's when absent.")
    priority: Priority = Priority.NORMAL
    grace_period: Annotated[Duration, Field(le=3600)] = Field(
        default=30.0, description="Seconds a replica gets between SIGTERM and SIGKILL."
    )
    job_lifetime: Duration = Field(default=0.0, description="How long the Kubernetes Job is kept after the end.")
    keep: Duration = Field(default=7 * 86400.0, description="How long results, logs and report stay readable.")
    dashboard: bool = Field(default=True, description="Whether the visualizer makes a dashboard.")
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("workload", mode="before")
    @classmethod
    def _short_workload(cls, value: object) -> object:
        if isinstance(value, str):
            return {"url": value}
        if isinstance(value, list | tuple):
            return {"items": value}
        return value

    @field_validator("name")
    @classmethod
    def _dns_name(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError("use 1 to 40 lower case letters, digits and dashes, not starting or ending with a dash")
        return value

    @field_validator("namespace")
    @classmethod
    def _dns_label(cls, value: str | None) -> str | None:
        if value is not None and (len(value) > 63 or not re.match(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", value)):
            raise ValueError("must be a Kubernetes namespace name")
        return value

    @field_validator("env", mode="before")
    @classmethod
    def _env_values(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for name, content in value.items():
            if not isinstance(name, str) or not ENV_NAME.match(name):
                raise ValueError(f"{name!r} is not a name for an environment variable")
            if RESERVED_ENV.match(name):
                raise ValueError(f"{name} is reserved: the names ASPERATHOS_* and JOB_COMPLETION_INDEX are ours")
            if isinstance(content, bool) or not isinstance(content, str | int | float):
                raise ValueError(f"the value of {name} must be text or a number")
            if "\0" in str(content):
                raise ValueError(f"the value of {name} holds a NUL byte")
        return {name: str(content) for name, content in value.items()}

    @field_validator("command")
    @classmethod
    def _nonempty_command(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or not value[0]):
            raise ValueError("must name a program")
        return value

    @model_validator(mode="after")
    def _coherent(self) -> SubmissionSpec:
        if (self.command is None) == (self.run is None):
            raise ValueError("give exactly one of command and run")
        if self.deadline is not None and self.target is not None:
            raise ValueError("give a deadline (batch) or a target (stream), not both")
        if self.kind is Kind.BATCH and self.workload is None:
            raise ValueError("a batch needs a workload (items, url or glob); a stream needs a target")
        if self.queue == "dedicated" and self.run is not None:
            raise ValueError("a dedicated queue serves images of the original contract: give command, not run")
        return self

    @property
    def kind(self) -> Kind:
        """Batch unless it has a target."""
        return Kind.STREAM if self.target is not None else Kind.BATCH

    @property
    def law(self) -> str:
        """The law's name, defaults applied."""
        return self.control.law or ("latency" if self.kind is Kind.STREAM else "deadline")


class Summary(BaseModel):
    """What remains at the end: the simple report. Times are Unix seconds, errors ``(value, at)``."""

    model_config = ConfigDict(frozen=True)

    counts: Counts = Counts()
    execution_time: float = 0.0
    replica_seconds: float = 0.0
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
    form: Literal["native", "compatible"] = "native"
    state: State = State.CREATED
    intent: Intent = Intent.NONE
    reason: str = ""
    warnings: tuple[str, ...] = ()
    created_at: float
    started_at: float | None = None
    """When the Job was created."""
    finished_at: float | None = None
    loaded: int = 0
    """Items put into the queue so far."""
    generation: int = 0
    """Number of the current Job; 0 before the first."""
    generation_taken: int = 0
    """Attempts handed out when the current generation began: tells a Job that works from one that does not."""
    redis_host: str = ""
    redis_port: int = 0
    visualizer_url: str = ""
    summary: Summary | None = None
    job_deleted: bool = False
    purged: bool = False
