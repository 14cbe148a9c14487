"""Conditions between the fields of a model: all broken ones are reported, and each says which fields it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

RULE = "rule"
"""Type of the error of a broken rule; its context has ``reads``, the fields the rule looks at."""


@dataclass(frozen=True)
class Rule:
    """``holds`` is asked of a model whose fields are valid, one by one. A broken rule is a fault ``at`` a field of
    the model (the first one it reads unless told otherwise; empty: the model itself)."""

    reads: tuple[str, ...]
    holds: Callable[[Any], bool]
    problem: str
    at: str | None = None


class Ruled(BaseModel):
    """A model whose ``rules`` are checked when its fields are valid."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obey(self) -> Self:
        broken = [_broken(rule) for rule in self.rules if not rule.holds(self)]
        if broken:
            raise ValidationError.from_exception_data(type(self).__name__, broken)
        return self


def named_faults(problems: Mapping[str, str | None]) -> None:
    """For the validator of an object of free keys: raises one error at each key that has a problem."""
    faults = [
        InitErrorDetails(type=_error("entry", problem), loc=(str(key),), input=None)
        for key, problem in problems.items()
        if problem is not None
    ]
    if faults:
        raise ValidationError.from_exception_data("object", faults)


def _broken(rule: Rule) -> InitErrorDetails:
    at = rule.reads[0] if rule.at is None else rule.at
    return InitErrorDetails(type=_error(RULE, rule.problem, rule.reads), loc=(at,) if at else (), input=None)


def _error(type: str, problem: str, reads: tuple[str, ...] = ()) -> PydanticCustomError:
    # The problem goes in as context, because braces in a message template would be taken for placeholders.
    context: dict[str, Any] = {"problem": problem, "reads": reads}
    return PydanticCustomError(type, "{problem}", context)
