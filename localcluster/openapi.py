"""Just enough OpenAPI for kubectl: which types there are, and that the server checks fields itself."""

from __future__ import annotations

from localcluster.objects import Obj
from localcluster.resources import STORED, ResourceType


def document(path: str) -> Obj | None:
    """GET /openapi/v3 and below; None where nothing is served (clients of v2 fall back or do without)."""
    if path == "/openapi/v3":
        groups = sorted({_group_path(kind) for kind in STORED})
        return {"paths": {group: {"serverRelativeURL": f"/openapi/v3/{group}"} for group in groups}}
    wanted = path.removeprefix("/openapi/v3/")
    kinds = [kind for kind in STORED if _group_path(kind) == wanted]
    if not kinds:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "Asperathos localcluster", "version": "v1"},
        "paths": {_object_path(kind): _operations(kind) for kind in kinds},
        "components": {"schemas": {_schema_name(kind): _schema(kind) for kind in kinds}},
    }


def _group_path(kind: ResourceType) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _object_path(kind: ResourceType) -> str:
    scope = "namespaces/{namespace}/" if kind.namespaced else ""
    return f"/{_group_path(kind)}/{scope}{kind.plural}/{{name}}"


def _identity(kind: ResourceType) -> Obj:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _operations(kind: ResourceType) -> Obj:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("dryRun", "fieldValidation")]
    media = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]
    return {
        "patch": {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": _identity(kind),
            "parameters": parameters,
            "requestBody": {"content": {name: {"schema": {"type": "object"}} for name in media}},
            "responses": {"200": {"description": "OK"}},
        }
    }


def _schema_name(kind: ResourceType) -> str:
    return f"io.k8s.api.{kind.group or 'core'}.{kind.version}.{kind.kind}"


def _schema(kind: ResourceType) -> Obj:
    return {
        "type": "object",
        "description": f"{kind.kind}, as in the Kubernetes API",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
        "x-kubernetes-group-version-kind": [_identity(kind)],
    }
