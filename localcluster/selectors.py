"""Label and field selectors: parsed once, matched often. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcluster.errors import BadRequest
from localcluster.objects import Obj, dig, labels_of

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")
_KEY = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_COMPARISON = re.compile(r"^\s*([^\s!=]+)\s*(==|=|!=)\s*([^\s!=]*)\s*$")

COMMON_FIELDS = ("metadata.name", "metadata.namespace")
FIELDS_BY_RESOURCE: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "jobs.batch": ("status.successful",),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
}


@dataclass(frozen=True)
class Requirement:
    """One condition on one key; ``operator`` is in, notin, exists or absent."""

    key: str
    operator: str
    values: frozenset[str]

    def matches(self, present: bool, value: str) -> bool:
        """Whether a key that is present with that value (or absent) satisfies this."""
        if self.operator == "exists":
            return present
        if self.operator == "absent":
            return not present
        if self.operator == "in":
            return present and value in self.values
        return not present or value not in self.values


@dataclass(frozen=True)
class Selector:
    """Label and field requirements, all of which must hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, obj: Obj) -> bool:
        """Whether the object is selected."""
        if self.labels:
            labels = labels_of(obj)
            for requirement in self.labels:
                if not requirement.matches(requirement.key in labels, labels.get(requirement.key, "")):
                    return False
        return all(item.matches(True, field_value(obj, item.key)) for item in self.fields)

    @property
    def is_everything(self) -> bool:
        """Whether this selects every object."""
        return not self.labels and not self.fields


EVERYTHING = Selector()


def field_value(obj: Obj, path: str) -> str:
    """The text a field selector compares with."""
    if path == "source":
        return str(dig(obj, "source", "component") or "")
    value = dig(obj, *path.split("."))
    if path == "status.phase" and value is None and obj.get("kind") == "Pod":
        return "Pending"
    if path == "status.successful":
        return str(dig(obj, "status", "succeeded") or 0)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(value)


def parse_selector(labels: str | None, fields: str | None, resource_key: str) -> Selector:
    """The selector of a request's query; raises BadRequest when it cannot be parsed."""
    return Selector(parse_labels(labels or ""), parse_fields(fields or "", resource_key))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """``a=b,c!=d,e in (f,g),h,!i`` as requirements; raises BadRequest."""
    return tuple(_label_requirement(term) for term in _split(text))


def parse_fields(text: str, resource_key: str) -> tuple[Requirement, ...]:
    """``metadata.name=x,status.phase!=Running`` as requirements; raises BadRequest for unsupported fields."""
    known = COMMON_FIELDS + FIELDS_BY_RESOURCE.get(resource_key, ())
    result = []
    for term in _split(text):
        match = _COMPARISON.match(term)
        if match is None:
            raise BadRequest(f"invalid field selector {term!r}")
        key, operator, value = match.groups()
        if key not in known:
            raise BadRequest(f"field label not supported: {key}")
        result.append(Requirement(key, "notin" if operator == "!=" else "in", frozenset([value])))
    return tuple(result)


def from_label_selector(selector: Obj) -> Selector:
    """A metav1.LabelSelector (matchLabels and matchExpressions) as a selector."""
    requirements = [
        Requirement(key, "in", frozenset([str(value)])) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    for item in selector.get("matchExpressions") or []:
        operator = operators.get(str(item.get("operator")))
        if operator is not None:
            requirements.append(Requirement(str(item.get("key")), operator, frozenset(item.get("values") or [])))
    return Selector(tuple(requirements))


def _label_requirement(term: str) -> Requirement:
    text = term.strip()
    match = _SET.match(text)
    if match is not None:
        key, operator, values = match.groups()
        return Requirement(_checked(key, term), operator, frozenset(part.strip() for part in values.split(",")))
    match = _COMPARISON.match(text)
    if match is not None:
        key, operator, value = match.groups()
        return Requirement(_checked(key, term), "notin" if operator == "!=" else "in", frozenset([value]))
    if text.startswith("!"):
        return Requirement(_checked(text[1:].strip(), term), "absent", frozenset())
    return Requirement(_checked(text, term), "exists", frozenset())


def _checked(key: str, term: str) -> str:
    if not _KEY.match(key):
        raise BadRequest(f"unable to parse requirement: found {term!r}, expected a label key with an operator")
    return key


def _split(text: str) -> list[str]:
    terms: list[str] = []
    depth = 0
    current = ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            terms.append(current)
            current = ""
        else:
            current += char
    terms.append(current)
    return [term for term in terms if term.strip()]
