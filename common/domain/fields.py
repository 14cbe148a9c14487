"""The kinds of values that documents hold: durations, quantities, names. Each refuses with a remedy."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo

from common.domain.rules import Ruled
from common.domain.units import parse_duration, parse_quantity

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
MAX_DAYS = 36_525
MAX_QUANTITY = 2.0**60


def shown_as(pattern: re.Pattern[str]) -> FieldInfo:
    """Have schemas tell the form of a text that a validator checks, in words of its own, anyway."""
    told: FieldInfo = Field(json_schema_extra={"pattern": f"^({pattern.pattern})$"})
    return told


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds > MAX_DAYS * 86400.0:
        raise ValueError(f"must be at most {MAX_DAYS} days")
    return seconds


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def _quantity(value: object) -> str:
    if not 0 < parse_quantity(value) <= MAX_QUANTITY:
        raise ValueError("must be more than 0 and at most 1024Pi")
    return str(value).strip()


def _printable(text: str) -> str:
    if CONTROL_CHARACTER.search(text):
        raise ValueError("must not hold control characters")
    return text


def _word(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError("must not hold white space")
    return text


def _subdomain(text: str) -> str:
    if not DNS_SUBDOMAIN.fullmatch(text):
        raise ValueError("must be a Kubernetes object name: lower case letters, digits, dashes and dots")
    return text


Seconds = (
    Annotated[float, Field(ge=0)]
    | Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", examples=["90s", "30m", "1h30m"])]
)
"""How a duration is written."""
Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=Seconds)]
"""Seconds, written as 90s, 30m, 1h30m or a number."""


def _positive_duration(value: object) -> float:
    return _positive(_duration(value))


Amount = (
    Annotated[float, Field(gt=0)]
    | Annotated[
        str,
        Field(pattern=r"^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", examples=["500m", "2", "512Mi"]),
    ]
)
"""How a quantity is written."""
PositiveDuration = Annotated[float, BeforeValidator(_positive_duration, json_schema_input_type=Seconds)]
Quantity = Annotated[str, BeforeValidator(_quantity, json_schema_input_type=Amount)]
"""A Kubernetes quantity, kept as written."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_printable)]
Word = Annotated[Text, AfterValidator(_word)]
ObjectName = Annotated[str, AfterValidator(_subdomain), shown_as(DNS_LABEL)]
Argument = Annotated[str, StringConstraints(max_length=131_072)]
Whole = Annotated[int, Field(strict=True)]
"""A number without fraction: neither text nor true nor 5.0."""
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class Strict(Ruled):
    """A part of the specification: immutable, and an unknown field is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def label_problem(key: str, value: str) -> str | None:
    """What is wrong with a Kubernetes label, None when nothing is."""
    return qualified_problem(key) or label_value_problem(value)


def qualified_problem(key: str) -> str | None:
    """What is wrong with a key of labels, annotations and taints."""
    prefix, slash, name = key.rpartition("/")
    if not LABEL_NAME.fullmatch(name) or (slash and not DNS_SUBDOMAIN.fullmatch(prefix)):
        return "is not a Kubernetes label key: [prefix/]name, name of at most 63 letters, digits, - _ ."
    return None


def label_value_problem(value: str) -> str | None:
    """What is wrong with the value of a label."""
    if value and not LABEL_NAME.fullmatch(value):
        return "is not a Kubernetes label value: at most 63 letters, digits, - _ . and a letter or digit at both ends"
    return None
