"""Strict validation of Kubernetes objects against the official client's models, made from the published OpenAPI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "bytes": (str,),
    "datetime": (str,),
    "object": (object,),
}
_LIST = re.compile(r"[Ll]ist\[(.+)]")
_MAP = re.compile(r"[Dd]ict[\[(]\s*str,\s*(.+)[\])]")


def faults(document: Mapping[str, Any]) -> list[str]:
    """Everything wrong with an object, as 'path: problem'; empty when it is valid."""
    model = model_of(document)
    if model is None:
        return [f"unknown kind: {document.get('apiVersion')} {document.get('kind')}"]
    found = list(_faults(document, model, ""))
    if not found:
        try:
            # Builds the models, which refuse missing required fields and values outside of an enumeration.
            client.ApiClient().deserialize(json.dumps(document), model, "application/json")
        except ValueError as error:
            found.append(str(error))
    return found


def model_of(document: Mapping[str, Any]) -> str | None:
    """The model's name (apps/v1 Deployment: V1Deployment), None when that API has no such kind."""
    group, _, version = str(document.get("apiVersion", "")).rpartition("/")
    kind = str(document.get("kind", ""))
    family = "".join(part.title() for part in group.removesuffix(".k8s.io").split(".")) or "Core"
    api = getattr(client, f"{family}{version.title()}Api", None)
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    offered = hasattr(api, f"create_namespaced_{snake}") or hasattr(api, f"create_{snake}")
    return f"{version.title()}{kind}" if offered else None


def _faults(value: Any, kind: str, path: str) -> Iterator[str]:
    item = _LIST.fullmatch(kind)
    entry = _MAP.fullmatch(kind)
    if item:
        if not isinstance(value, list):
            yield f"{path}: must be a list"
            return
        for place, one in enumerate(value):
            yield from _faults(one, item[1], f"{path}[{place}]")
    elif entry:
        if not isinstance(value, dict):
            yield f"{path}: must be an object"
            return
        for name, one in value.items():
            yield from _faults(one, entry[1], f"{path}.{name}")
    elif kind in _SCALARS:
        wrong = not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind in ("int", "float"))
        if wrong:
            yield f"{path}: must be {kind}, is {value!r}"
    else:
        yield from _object_faults(value, kind, path)


def _object_faults(value: Any, kind: str, path: str) -> Iterator[str]:
    model = getattr(client, kind)
    if not isinstance(value, dict):
        yield f"{path}: must be an object ({kind})"
        return
    attributes = {wire: name for name, wire in model.attribute_map.items()}
    for wire, one in value.items():
        if wire not in attributes:
            yield f"{path}.{wire}: unknown field of {kind}"
        elif one is not None:
            yield from _faults(one, model.openapi_types[attributes[wire]], f"{path}.{wire}")
