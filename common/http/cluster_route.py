"""The route by which a service tells whether its cluster is as it needs it."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, jsonify

from common.domain.access import ClusterReport

CLUSTER_CHECK = "/cluster/check"


def register_cluster_check(app: Flask, check: Callable[[], ClusterReport]) -> None:
    """Add ``GET /cluster/check``: 200 with a ClusterReport, whatever it says."""

    @app.get(CLUSTER_CHECK)
    def cluster_check() -> Response:
        return jsonify(check().model_dump())
