"""The controller's routes: parse, ask the service, answer."""

from __future__ import annotations

import re

from flask import Flask, Response, jsonify, request

from common.domain.clusters import CLUSTER_NAME
from common.domain.errors import BadRequest, Fault
from common.http.body import read_contract
from common.http.contracts import ForecastRequest, LawRequest, ScalingRequest, SetupRequest
from common.http.gate import seen
from controller.service import ScalingService

SPELLINGS = ("scaling", "scailing", "scalinig")
"""The first is right; the others occur in the original's documents and answer too."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MOST_DECISIONS = 5000
_DECISIONS = 100


def register(app: Flask, service: ScalingService) -> None:
    """Add the routes to the app."""

    @app.get("/laws")
    def laws() -> Response:
        return jsonify(service.laws())

    @app.get("/shares")
    def shares() -> Response:
        return jsonify(service.shares(_cluster()).model_dump(mode="json"))

    @app.post("/setup")
    def setup() -> tuple[str, int]:
        service.setup(read_contract(request, SetupRequest))
        return "", 204

    @app.post("/forecast")
    def forecast() -> Response:
        return jsonify(service.forecast(read_contract(request, ForecastRequest)).model_dump(mode="json"))

    def validate() -> tuple[str, int]:
        service.validate(read_contract(request, LawRequest))
        return "", 204

    def views() -> Response:
        found = service.views()
        shown = seen(app, found)
        told = {id: view.model_dump(mode="json", exclude={"decisions"}) for id, view in found.items() if id in shown}
        return jsonify(told)

    def start(id: str) -> tuple[str, int]:
        service.start(_checked(id), read_contract(request, ScalingRequest))
        return "", 204

    def view(id: str) -> Response:
        return jsonify(service.view(_checked(id), _count()).model_dump(mode="json"))

    def stop(id: str) -> tuple[str, int]:
        service.stop(_checked(id))
        return "", 204

    def delete(id: str) -> tuple[str, int]:
        service.delete(_checked(id))
        return "", 204

    for spelling in SPELLINGS:
        app.add_url_rule(f"/{spelling}", f"{spelling}_views", views, methods=["GET"])
        app.add_url_rule(f"/{spelling}/validate", f"{spelling}_validate", validate, methods=["POST"])
        app.add_url_rule(f"/{spelling}/<id>", f"{spelling}_start", start, methods=["POST"])
        app.add_url_rule(f"/{spelling}/<id>", f"{spelling}_view", view, methods=["GET"])
        app.add_url_rule(f"/{spelling}/<id>", f"{spelling}_delete", delete, methods=["DELETE"])
        app.add_url_rule(f"/{spelling}/<id>/stop", f"{spelling}_stop", stop, methods=["PUT"])


def _checked(id: str) -> str:
    if not _ID.fullmatch(id):
        raise BadRequest(
            "the id in the path is not one of a submission",
            [Fault("id", "use 1 to 63 letters, digits, dots, dashes, underscores, starting with a letter or digit")],
        )
    return id


def _cluster() -> str:
    name = request.args.get("cluster", "")
    if name and not CLUSTER_NAME.fullmatch(name):
        raise BadRequest("cluster must be the name of a cluster", [Fault("cluster", "must be the name of a cluster")])
    return name


def _count() -> int:
    given = request.args.get("count", str(_DECISIONS))
    if not given.isascii() or not given.isdigit() or len(given) > 6 or int(given) > _MOST_DECISIONS:
        problem = f"must be a whole number from 0 to {_MOST_DECISIONS}"
        raise BadRequest(f"count {problem}", [Fault("count", problem)])
    return int(given)
