"""The monitor's routes: parse, ask the service, answer."""

from __future__ import annotations

import re

from flask import Flask, Response, jsonify, request

from common.domain.errors import BadRequest, Fault
from common.http.body import read_contract
from common.http.contracts import MonitoringRequest
from common.http.gate import seen
from monitor.service import MonitorService

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SWITCH = {"": True, "true": True, "1": True, "false": False, "0": False}
_ROWS = re.compile(r"[0-9]{1,7}", re.ASCII)
_LEAST_ROWS = 2
_RUNNING = {"message": "Job is running yet!"}


def register(app: Flask, service: MonitorService) -> None:
    """Add the routes to the app."""

    @app.get("/monitoring")
    def all_monitoring() -> Response:
        found = service.views()
        shown = seen(app, found)
        return jsonify({id: view.model_dump(mode="json") for id, view in found.items() if id in shown})

    @app.post("/monitoring/<id>")
    def start(id: str) -> tuple[Response, int]:
        service.start(_checked(id), read_contract(request, MonitoringRequest))
        return jsonify({"id": id}), 202

    @app.get("/monitoring/<id>")
    def view(id: str) -> Response:
        return jsonify(service.view(_checked(id)).model_dump(mode="json"))

    @app.put("/monitoring/<id>/stop")
    def stop(id: str) -> tuple[str, int]:
        service.stop(_checked(id))
        return "", 204

    @app.delete("/monitoring/<id>")
    def delete(id: str) -> tuple[str, int]:
        service.delete(_checked(id))
        return "", 204

    @app.get("/monitoring/<id>/report")
    def report(id: str) -> tuple[Response, int]:
        found = service.report(_checked(id))
        return (jsonify(_RUNNING), 202) if found is None else (jsonify(found.model_dump(mode="json")), 200)

    @app.get("/monitoring/<id>/report/detailed")
    def detailed(id: str) -> tuple[Response, int]:
        found = service.detailed_report(_checked(id), _switch("partial"), _most_rows())
        return (jsonify(_RUNNING), 202) if found is None else (jsonify(found), 200)


def _checked(id: str) -> str:
    if not _ID.fullmatch(id):
        raise BadRequest(
            "the id in the path is not one of a submission",
            [Fault("id", "use 1 to 63 letters, digits, dots, dashes, underscores, starting with a letter or digit")],
        )
    return id


def _switch(name: str) -> bool:
    given = request.args.get(name)
    if given is None:
        return False
    if given.lower() not in _SWITCH:
        raise BadRequest(f"{name} must be true or false", [Fault(name, "must be true or false")])
    return _SWITCH[given.lower()]


def _most_rows() -> int | None:
    given = request.args.get("rows")
    if given is None:
        return None
    if not _ROWS.fullmatch(given) or int(given) < _LEAST_ROWS:
        problem = f"must be a whole number from {_LEAST_ROWS} to 9999999"
        raise BadRequest(f"rows {problem}", [Fault("rows", problem)])
    return int(given)
