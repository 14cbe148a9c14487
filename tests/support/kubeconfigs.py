"""Kubeconfigs to give away."""

from __future__ import annotations

import base64
import json
from typing import Any

SECRET = "a-most-secret-token"
KEY = "-----BEGIN PRIVATE KEY-----\na-most-secret-key\n-----END PRIVATE KEY-----\n"


def kubeconfig(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    """One cluster, one user, one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "admin@east",
        "contexts": [{"name": "admin@east", "context": {"cluster": "east", "user": "admin"}}],
        "clusters": [{"name": "east", "cluster": {"server": "https://east.example:6443", **cluster}}],
        "users": [{"name": "admin", "user": {"token": SECRET} if user is None else user}],
    }


def text(user: dict[str, Any] | None = None, **cluster: Any) -> str:
    """The same as text."""
    return json.dumps(kubeconfig(user, **cluster))


def data(content: str) -> str:
    """As a kubeconfig holds it inline."""
    return base64.b64encode(content.encode()).decode()
