"""JSON merge patch (RFC 7386), JSON patch (RFC 6902) and Kubernetes' strategic merge patch. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from localcluster.errors import BadRequest, Cause, Invalid
from localcluster.objects import Obj

# The list fields of the types we serve that Kubernetes merges by key; every other list of objects is replaced whole.
MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
    "hostAliases": "ip",
    "podIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_PRIMITIVE_MERGE = frozenset({"finalizers"})
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge_patch(target: Obj, patch: Obj) -> Obj:
    """Kubernetes' strategic merge: like a merge patch, but known lists merge by key; directives are honoured."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"unknown patch directive {directive!r}")
    result = dict(target)
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE_FROM):
            _delete_from(result, key[len(_DELETE_FROM) :], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_value(key, result.get(key), value)
    retain = patch.get("$retainKeys")
    if isinstance(retain, list):
        result = {key: value for key, value in result.items() if key in retain}
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902; raises BadRequest when malformed, Invalid when it cannot be applied."""
    if not isinstance(operations, list):
        raise BadRequest("a JSON patch must be a list of operations")
    document = copy.deepcopy(target)
    for number, operation in enumerate(operations):
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise BadRequest(f"operation {number} of the JSON patch is malformed")
        try:
            document = _apply(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            cause = Cause("patch", "FieldValueInvalid", f"operation {number} cannot be applied: {error}")
            raise Invalid(
                f"the server rejected our request due to an error in our request: {cause.message}",
                {"causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}]},
            ) from error
    return document


def _strategic_value(key: str, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return strategic_merge_patch(old if isinstance(old, dict) else {}, new)
    if isinstance(new, list):
        if key in _PRIMITIVE_MERGE and isinstance(old, list):
            return old + [item for item in new if item not in old]
        if new and all(isinstance(item, dict) for item in new):
            return _strategic_list(_merge_key(key, old, new), old if isinstance(old, list) else [], new)
    return copy.deepcopy(new)


def _merge_key(key: str, old: Any, new: list[Obj]) -> str | None:
    if key == "ports":
        # Container ports merge by containerPort, service ports by port.
        entries = [*(old or []), *new]
        return "containerPort" if any("containerPort" in item for item in entries) else "port"
    return MERGE_KEYS.get(key)


def _strategic_list(merge_key: str | None, old: list[Obj], new: list[Obj]) -> list[Obj]:
    if any(item.get("$patch") == "replace" for item in new):
        return [copy.deepcopy(item) for item in new if item.get("$patch") != "replace"]
    if merge_key is None:
        return [strategic_merge_patch({}, item) for item in new if item.get("$patch") != "delete"]
    result = list(old)
    for item in new:
        identity = item.get(merge_key)
        if identity is None:
            raise BadRequest(f"map does not contain declared merge key: {merge_key}")
        position = next((i for i, known in enumerate(result) if known.get(merge_key) == identity), None)
        if item.get("$patch") == "delete":
            if position is not None:
                del result[position]
        elif position is None:
            result.append(strategic_merge_patch({}, item))
        else:
            result[position] = strategic_merge_patch(result[position], item)
    return result


def _delete_from(result: Obj, field: str, values: Any) -> None:
    current = result.get(field)
    if isinstance(current, list) and isinstance(values, list):
        left = [item for item in current if item not in values]
        if left:
            result[field] = left
        else:
            result.pop(field)


def _apply(document: Any, operation: Obj) -> Any:
    kind, path = operation.get("op"), _tokens(operation["path"])
    if kind == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if kind == "remove":
        return _remove(document, path)
    if kind == "replace":
        _resolve(document, path)
        if not path:
            return copy.deepcopy(operation["value"])
        return _add(_remove(document, path), path, copy.deepcopy(operation["value"]))
    if kind == "test":
        if _resolve(document, path) != operation["value"]:
            raise ValueError(f"test failed at {operation['path']}")
        return document
    source = _tokens(operation["from"]) if kind in ("move", "copy") else []
    if kind == "move":
        value = _resolve(document, source)
        return _add(_remove(document, source), path, value)
    if kind == "copy":
        return _add(document, path, copy.deepcopy(_resolve(document, source)))
    raise ValueError(f"unknown operation {kind!r}")


def _tokens(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _resolve(document: Any, path: list[str]) -> Any:
    for token in path:
        document = document[_index(token, len(document))] if isinstance(document, list) else document[token]
    return document


def _index(token: str, length: int) -> int:
    if not token.isdigit() or int(token) >= length:
        raise IndexError(f"no element {token}")
    return int(token)


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _resolve(document, path[:-1])
    if isinstance(parent, list):
        position = len(parent) if path[-1] == "-" else _index(path[-1], len(parent) + 1)
        parent.insert(position, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise TypeError(f"nothing can be added below {'/'.join(path[:-1])!r}")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise ValueError("the whole document cannot be removed")
    parent = _resolve(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(path[-1], len(parent))]
    else:
        del parent[path[-1]]
    return document
