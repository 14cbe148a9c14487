"""The Kubernetes clusters that operators add: their records, and kubeconfigs without references to files. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CLUSTER_RECORDS = "cluster"
"""Kind of the records of added clusters."""
ACTIVE_RECORDS = "cluster-active"
"""Kind of the one record that says which cluster is active; its id is ACTIVE_ID."""
ACTIVE_ID = "active"
CLUSTER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,62}")
"""Names of clusters, and of the certificates a kubeconfig refers to: no path can be made of them."""

CLUSTER_FILES = ("certificate-authority",)
USER_FILES = ("client-certificate", "client-key")
TOKEN_FILE = "tokenFile"


class ClusterRecord(BaseModel):
    """An added cluster. ``config`` is the sealed kubeconfig (JSON), ``certificates`` sealed contents by file name.

    ``server``, ``context`` and ``authentication`` say what may be shown of it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    config: str = Field(repr=False)
    certificates: dict[str, str] = Field(default_factory=dict, repr=False)
    server: str
    context: str
    authentication: str
    added_at: float
    removing: bool = False
    """Its removal was begun: no submission is accepted for it any more."""


class ActiveCluster(BaseModel):
    """Which cluster takes the submissions that name none."""

    model_config = ConfigDict(frozen=True)

    name: str


def inlined(config: Mapping[str, Any], certificates: Mapping[str, str]) -> dict[str, Any]:
    """The kubeconfig with the contents of ``certificates`` in the place of the files it refers to, by their last name.

    References without a content stay: see ``missing``.
    """
    document = dict(config)
    for kind, entry, names in (("clusters", "cluster", CLUSTER_FILES), ("users", "user", (*USER_FILES, TOKEN_FILE))):
        changed = []
        for holder in document.get(kind) or ():
            body = dict(holder[entry])
            for name in names:
                content = certificates.get(file_name(body[name])) if name in body else None
                if content is None:
                    continue
                del body[name]
                if name == TOKEN_FILE:
                    body["token"] = content.strip()
                else:
                    body[f"{name}-data"] = base64.b64encode(content.encode()).decode()
            changed.append({**holder, entry: body})
        document[kind] = changed
    return document


def missing(config: Mapping[str, Any]) -> list[str]:
    """Names of the files that an (inlined) kubeconfig still refers to. They are never read from a disk."""
    found = []
    for kind, entry, names in (("clusters", "cluster", CLUSTER_FILES), ("users", "user", (*USER_FILES, TOKEN_FILE))):
        for holder in config.get(kind) or ():
            found += [file_name(holder[entry][name]) for name in names if name in holder[entry]]
    return found


def runs_programs(config: Mapping[str, Any]) -> bool:
    """Whether connecting with it would run a program or a plugin."""
    return any("exec" in holder["user"] or "auth-provider" in holder["user"] for holder in config.get("users") or ())


def file_name(path: str) -> str:
    """The last part of a path of either kind of system."""
    return re.split(r"[/\\]", path)[-1]
