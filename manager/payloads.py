"""The original Asperathos' payload as a type: what /openapi.json says of it. ``translate`` reads it, and says more.

Fields that are not here are accepted and named in a warning.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from common.domain.fields import Duration, PositiveDuration, Quantity

_Count = Annotated[int, Field(ge=0)]


class OldHeuristic(TypedDict, total=False):
    """Gains of the strategy pid."""

    proportional_gain: float
    derivative_gain: float
    integral_gain: float


class OldControl(TypedDict):
    """How replicas are decided."""

    min_rep: Annotated[int, Field(ge=1)]
    max_rep: Annotated[int, Field(ge=1)]
    schedule_strategy: NotRequired[Literal["default", "pid"]]
    actuator: NotRequired[Literal["k8s_replicas", "nop"]]
    metric_source: NotRequired[Literal["redis", "nop"]]
    check_interval: NotRequired[PositiveDuration]
    actuation_size: NotRequired[Annotated[int, Field(ge=1)]]
    trigger_up: NotRequired[float]
    trigger_down: NotRequired[float]
    heuristic_options: NotRequired[OldHeuristic]


class OldMonitoring(TypedDict, total=False):
    """What is aimed at."""

    expected_time: PositiveDuration
    cluster_info_url: str
    desired_cost: float


class OldQuantities(TypedDict, total=False):
    """Of one replica."""

    cpu: Quantity
    memory: Quantity


class OldResources(TypedDict, total=False):
    """What one replica asks for and may use."""

    requests: OldQuantities
    limits: OldQuantities


class OldSelector(TypedDict):
    """A label that nodes must have."""

    key: str
    value: str


class OldVisualizing(TypedDict, total=False):
    """How the dashboard is made."""

    datasource_type: str
    theme: Literal["light", "dark"]


class OldInfo(TypedDict):
    """What is to be done."""

    cmd: list[str]
    img: str
    init_size: Annotated[int, Field(ge=1)]
    redis_workload: str
    control_parameters: OldControl
    env_vars: NotRequired[dict[str, str | int | float]]
    control_plugin: NotRequired[str]
    monitor_plugin: NotRequired[Literal["kubejobs", "kubejobs_cost"]]
    monitor_info: NotRequired[OldMonitoring]
    enable_visualizer: NotRequired[bool]
    visualizer_plugin: NotRequired[str]
    visualizer_info: NotRequired[OldVisualizing]
    username: NotRequired[str]
    password: NotRequired[str]
    enable_detailed_report: NotRequired[bool]
    job_resources_lifetime: NotRequired[Duration]
    config_id: NotRequired[str]
    k8s_resources_control: NotRequired[OldResources]
    selectors: NotRequired[list[OldSelector]]
    secrets: NotRequired[list[str]]
    termination_grace_period_seconds: NotRequired[Duration]
    cluster_name: NotRequired[str]


@with_config(ConfigDict(extra="allow"))
class OldPayload(TypedDict):
    """A submission in the form of the original Asperathos."""

    plugin: Literal["kubejobs"]
    plugin_info: OldInfo
    enable_auth: NotRequired[Any]
    username: NotRequired[str]
    password: NotRequired[str]
