"""Strict reading of manifests by the Kubernetes client's own models, which are made of the published OpenAPI schema."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kubernetes import client
from pydantic import BaseModel


@functools.cache
def _client() -> client.ApiClient:
    return client.ApiClient(client.Configuration())


def check_object(model: type[BaseModel], manifest: Mapping[str, Any]) -> None:
    """Raises ValidationError for an unknown, missing, misspelt or wrongly typed field, at any depth.

    What was read has to come out as it went in (ValueError): the models take Python's names (``restart_policy``) too.
    """
    loaded = model.model_validate(manifest, strict=True)
    if _client().sanitize_for_serialization(loaded) != manifest:
        raise ValueError("the model does not give back what it was given")


def restricted_faults(pod: Mapping[str, Any]) -> list[str]:
    """What the Pod Security Standard "restricted" has against a pod's specification."""
    security = pod.get("securityContext", {})
    faults = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    faults += [f"volume {volume['name']} is a hostPath" for volume in pod.get("volumes", ()) if "hostPath" in volume]
    if security.get("runAsNonRoot") is not True:
        faults.append("runAsNonRoot is not set")
    if security.get("runAsUser") == 0:
        faults.append("it runs as root")
    if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        faults.append("no seccomp profile")
    for container in pod["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append(f"{container['name']} may gain privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            faults.append(f"{container['name']} has capabilities")
        if own.get("privileged") or "runAsUser" in own or "runAsNonRoot" in own:
            faults.append(f"{container['name']} overrides its pod")
        if any("hostPort" in port for port in container.get("ports", ())):
            faults.append(f"{container['name']} has a port of the host")
    return faults
