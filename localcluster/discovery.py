"""Discovery documents, as data made from the resource table. Unaggregated: clients fall back to these by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from localcluster.objects import Obj
from localcluster.resources import ResourceType

# Subresources whose bodies are of another type: kind, group and version.
_FOREIGN = {"eviction": ("Eviction", "policy", "v1"), "scale": ("Scale", "autoscaling", "v1")}


def api_versions() -> Obj:
    """GET /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    }


def api_group_list(served: Sequence[ResourceType]) -> Obj:
    """GET /apis."""
    names = _groups(served)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(served, name) for name in names]}


def api_group(served: Sequence[ResourceType], name: str) -> Obj | None:
    """GET /apis/<group>."""
    if name not in _groups(served):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(served, name)}


def api_resource_list(served: Sequence[ResourceType], group: str, version: str) -> Obj | None:
    """GET /api/v1 or /apis/<group>/<version>."""
    kinds = [kind for kind in served if kind.group == group and kind.version == version]
    if not kinds:
        return None
    resources: list[Obj] = []
    for kind in kinds:
        resources.append(_resource(kind))
        resources += [_subresource(kind, name) for name in kind.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _groups(served: Sequence[ResourceType]) -> list[str]:
    return sorted({kind.group for kind in served if kind.group})


def _group(served: Sequence[ResourceType], name: str) -> Obj:
    versions = sorted({kind.version for kind in served if kind.group == name})
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: ResourceType) -> Obj:
    made: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        made["shortNames"] = list(kind.short_names)
    if kind.categories:
        made["categories"] = list(kind.categories)
    return made


def _subresource(kind: ResourceType, name: str) -> Obj:
    verbs = {"log": ["get"], "eviction": ["create"], "finalize": ["update"]}.get(name, ["get", "patch", "update"])
    made: Obj = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs,
    }
    if name in _FOREIGN:
        made["kind"], made["group"], made["version"] = _FOREIGN[name]
    return made
