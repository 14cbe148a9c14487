"""The kubeconfig that clients use: address, certificate authority and token, readable by its owner only."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from localcluster.errors import ConfigError
from localcluster.objects import random_suffix

NAME = "asperathos-local"


def render(server: str, authority_pem: bytes, token: str) -> str:
    """A kubeconfig document (JSON, which is YAML)."""
    authority = base64.b64encode(authority_pem).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
        "current-context": NAME,
    }
    return json.dumps(document, indent=2) + "\n"


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, mode 0600; raises ConfigError."""
    temporary = path.with_name(f".{path.name}.{random_suffix(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error}") from error
