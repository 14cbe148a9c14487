"""The route by which a service tells whether its cluster is as it needs it."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, jsonify

from common.domain.access import ClusterReport

CLUSTER_CHECK = "/cluster/check"


def register_cluster_check(
    app: Flask, check: Callable[[], ClusterReport], probed: Callable[[], ClusterReport] | None = None
) -> None:
    """Add ``GET /cluster/check``: 200 with a ClusterReport, whatever it says; and ``POST``, which may make objects in
    the cluster to find out more."""

    @app.get(CLUSTER_CHECK)
    def cluster_check() -> Response:
        return jsonify(check().model_dump())

    if probed is not None:

        @app.post(CLUSTER_CHECK)
        def cluster_check_with_probe() -> Response:
            return jsonify(probed().model_dump())
