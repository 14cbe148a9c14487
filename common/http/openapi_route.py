"""The route by which a service describes itself."""

from __future__ import annotations

import functools
import json

from flask import Flask, Response

from common.domain.policy import need_of
from common.http.openapi import JSON, Table, describe


def register_openapi(app: Flask, table: Table, version: str) -> None:
    """Add ``GET /openapi.json``. The document is made when it is first asked for: few ever do."""

    @functools.cache
    def document() -> bytes:
        return text_of(table, version).encode()

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document(), mimetype=JSON)


def text_of(table: Table, version: str) -> str:
    """The document as it is served, and as it is kept in docs/openapi."""
    return json.dumps(describe(table, version, need_of), indent=1) + "\n"
