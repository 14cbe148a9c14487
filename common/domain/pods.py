"""What a user may say about the pods of a submission: resources, environment, volumes, placement.

Kubernetes' own rules are checked here, so that what is accepted makes a Job that the cluster accepts.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from common.domain.fields import (
    DNS_LABEL,
    Flag,
    ObjectName,
    Quantity,
    Strict,
    Text,
    Whole,
    label_problem,
    label_value_problem,
    qualified_problem,
)
from common.domain.rules import Rule, named_faults
from common.domain.units import parse_quantity

IMAGE_USER: Literal["image"] = "image"
"""The user that the image itself names."""
ORIGINS = ("claim", "config_map", "secret", "empty_dir", "host_path")
"""The fields of a volume of which one is given."""
_DATA_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_MOST_ID = 2**31 - 1
_WHOLE_TEXT = re.compile(r"[0-9]{1,18}")


def _within(request: str | None, limit: str | None) -> bool:
    return request is None or limit is None or parse_quantity(request) <= parse_quantity(limit)


def _checked(problem: str | None, value: str) -> str:
    if problem is not None:
        raise ValueError(problem)
    return value


def _data_key(value: str) -> str:
    if not _DATA_KEY.fullmatch(value) or value in (".", ".."):
        raise ValueError("must be a key of a secret or config map: letters, digits, dashes, dots and underscores")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be an absolute path without ..")
    return value


def _mount_path(value: str) -> str:
    if ":" in value:
        raise ValueError("must not hold a colon")
    if PurePosixPath(_absolute(value)) in (PurePosixPath("/"), PurePosixPath("//")):
        raise ValueError("must not be the root directory")
    return value


def _relative(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a relative path without ..")
    return value


def _namespace(value: str) -> str:
    if not DNS_LABEL.fullmatch(value):
        raise ValueError("must be a Kubernetes namespace name")
    return value


def _user(value: object) -> object:
    if value in (None, IMAGE_USER):
        return value
    if value == "root":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_ID:
        raise ValueError(f"must be image, root, or a user id from 0 to {_MOST_ID}")
    return value


UserId = Annotated[int, Field(ge=0, le=_MOST_ID)]
User = Annotated[
    int | Literal["image"] | None,
    BeforeValidator(
        _user, json_schema_input_type=Annotated[int, Field(ge=0, le=_MOST_ID)] | Literal["image", "root"] | None
    ),
]
Key = Annotated[str, AfterValidator(lambda value: _checked(qualified_problem(value), value))]
LabelValue = Annotated[str, AfterValidator(lambda value: _checked(label_value_problem(value), value))]
Weight = Annotated[Whole, Field(ge=1, le=100)]


class Resources(Strict):
    """What each replica asks for and may use; ``*_limit`` defaults to no limit."""

    rules = (
        Rule(("cpu", "cpu_limit"), lambda self: _within(self.cpu, self.cpu_limit), "must not exceed cpu_limit"),
        Rule(
            ("memory", "memory_limit"),
            lambda self: _within(self.memory, self.memory_limit),
            "must not exceed memory_limit",
        ),
    )

    cpu: Quantity | None = Field(default=None, description="Cores asked for, such as 500m or 2.")
    memory: Quantity | None = Field(default=None, description="Bytes asked for, such as 512Mi.")
    cpu_limit: Quantity | None = Field(default=None, description="Most cores.")
    memory_limit: Quantity | None = Field(default=None, description="Most bytes.")
    gpu: Whole = Field(default=0, ge=0, le=64, description="GPUs of each replica.")
    gpu_vendor: Literal["nvidia", "amd", "intel"] = Field(
        default="nvidia", description="Whose they are: nvidia, amd or intel."
    )


class Toleration(Strict):
    """A Kubernetes toleration."""

    rules = (
        Rule(("key", "operator"), lambda self: self.key is not None or self.operator == "Exists", "Equal needs a key"),
        Rule(("value", "operator"), lambda self: not self.value or self.operator == "Equal", "Exists takes no value"),
        Rule(
            ("seconds", "effect"),
            lambda self: self.seconds is None or self.effect == "NoExecute",
            "only the effect NoExecute takes seconds",
        ),
    )

    key: Key | None = Field(default=None, description="The taint's key; absent: every key.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="Exists or Equal.")
    value: LabelValue | None = Field(default=None, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="NoSchedule, PreferNoSchedule or NoExecute; absent: every effect."
    )
    seconds: Annotated[Whole, Field(ge=0)] | None = Field(
        default=None, description="How long NoExecute is tolerated; absent: for ever."
    )


class KeyReference(Strict):
    """The value of an environment variable: one key of a secret or a config map of the namespace."""

    rules = (
        Rule(
            ("secret", "config_map"),
            lambda self: (self.secret is None) != (self.config_map is None),
            "give exactly one of secret and config_map",
            at="",
        ),
    )

    secret: ObjectName | None = Field(default=None, description="Name of a secret.")
    config_map: ObjectName | None = Field(default=None, description="Name of a config map.")
    key: Annotated[str, AfterValidator(_data_key)] = Field(description="The key in it.")
    optional: Flag = Field(default=False, description="Start also when it is missing.")


class EmptyDir(Strict):
    """A directory that lives as long as its pod."""

    size: Quantity | None = Field(default=None, description="Most bytes; more evicts the pod.")
    memory: Flag = Field(default=False, description="Kept in memory, counted as the container's.")


class Volume(Strict):
    """A directory or file that each replica finds at ``path``."""

    rules = (
        Rule(
            ORIGINS,
            lambda self: sum(getattr(self, name) is not None for name in ORIGINS) == 1,
            "give exactly one of claim, config_map, secret, empty_dir, host_path",
            at="",
        ),
        Rule(
            ("optional", "secret", "config_map"),
            lambda self: not self.optional or self.secret is not None or self.config_map is not None,
            "only a secret or config_map can be optional",
        ),
    )

    path: Annotated[Text, AfterValidator(_mount_path)] = Field(description="Where the container finds it.")
    claim: ObjectName | None = Field(default=None, description="Name of a PersistentVolumeClaim.")
    config_map: ObjectName | None = Field(default=None, description="Name of a config map: each key is a file.")
    secret: ObjectName | None = Field(default=None, description="Name of a secret: each key is a file.")
    empty_dir: EmptyDir | None = Field(default=None, description="true or {size, memory}: an own empty directory.")
    host_path: Annotated[Text, AfterValidator(_absolute)] | None = Field(
        default=None, description="A directory of the node; the operator has to allow it."
    )
    sub_path: Annotated[Text, AfterValidator(_relative)] | None = Field(
        default=None, description="Only this file or directory of it."
    )
    read_only: Flag = Field(default=False, description="Refuse writes.")
    optional: Flag = Field(default=False, description="Start also when the secret or config map is missing.")

    @field_validator("empty_dir", mode="before", json_schema_input_type=EmptyDir | bool | None)
    @classmethod
    def _short_empty_dir(cls, value: object) -> object:
        if value is True:
            return {}
        return None if value is False else value


# Affinity: Kubernetes' own words, so that what works in a pod's manifest works here.


class NodeRequirement(Strict):
    """A condition on a node's labels."""

    rules = (
        Rule(
            ("values", "operator"),
            lambda self: self.operator not in ("In", "NotIn") or len(self.values) > 0,
            "In and NotIn need values",
        ),
        Rule(
            ("values", "operator"),
            lambda self: self.operator not in ("Exists", "DoesNotExist") or not self.values,
            "Exists and DoesNotExist take no values",
        ),
        Rule(
            ("values", "operator"),
            lambda self: (
                self.operator not in ("Gt", "Lt")
                or (len(self.values) == 1 and _WHOLE_TEXT.fullmatch(self.values[0]) is not None)
            ),
            "Gt and Lt need one whole number, as text",
        ),
    )

    key: Key
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[LabelValue, ...] = ()


class NodeTerm(Strict):
    """Conditions that hold together."""

    rules = (Rule(("matchExpressions",), lambda self: len(self.matchExpressions) > 0, "must not be empty"),)

    matchExpressions: tuple[NodeRequirement, ...]


class NodeTerms(Strict):
    """Terms of which one holds."""

    rules = (Rule(("nodeSelectorTerms",), lambda self: len(self.nodeSelectorTerms) > 0, "must not be empty"),)

    nodeSelectorTerms: tuple[NodeTerm, ...]


class PreferredNodes(Strict):
    """Nodes one would rather have."""

    weight: Weight
    preference: NodeTerm


class NodeAffinity(Strict):
    """Which nodes, by their labels."""

    requiredDuringSchedulingIgnoredDuringExecution: NodeTerms | None = None
    preferredDuringSchedulingIgnoredDuringExecution: tuple[PreferredNodes, ...] = ()


class LabelRequirement(Strict):
    """A condition on a pod's labels."""

    rules = (
        Rule(
            ("values", "operator"),
            lambda self: (self.operator in ("In", "NotIn")) == (len(self.values) > 0),
            "In and NotIn need values, Exists and DoesNotExist take none",
        ),
    )

    key: Key
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = ()


class LabelSelector(Strict):
    """Pods, or namespaces, by their labels."""

    matchLabels: dict[str, str] = Field(default_factory=dict)
    matchExpressions: tuple[LabelRequirement, ...] = ()

    @field_validator("matchLabels")
    @classmethod
    def _labels(cls, value: dict[str, str]) -> dict[str, str]:
        named_faults({key: label_problem(key, content) for key, content in value.items()})
        return value


class PodTerm(Strict):
    """Pods, and how near: nodes with the same value of the label ``topologyKey`` are one place."""

    topologyKey: Key
    labelSelector: LabelSelector | None = None
    namespaces: tuple[Annotated[str, AfterValidator(_namespace)], ...] = ()
    namespaceSelector: LabelSelector | None = None


class WeightedPodTerm(Strict):
    """Pods one would rather be near to, or away from."""

    weight: Weight
    podAffinityTerm: PodTerm


class PodAffinity(Strict):
    """Near which pods, or away from which."""

    requiredDuringSchedulingIgnoredDuringExecution: tuple[PodTerm, ...] = ()
    preferredDuringSchedulingIgnoredDuringExecution: tuple[WeightedPodTerm, ...] = ()


class Affinity(Strict):
    """Kubernetes' affinity, without ``matchFields`` and ``matchLabelKeys``."""

    nodeAffinity: NodeAffinity | None = None
    podAffinity: PodAffinity | None = None
    podAntiAffinity: PodAffinity | None = None
