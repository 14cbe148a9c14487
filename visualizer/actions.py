"""The one place where the pages act: what a user asks for is handed to the manager, with the user's own credentials.

The visualizer has no right of its own to change anything: it passes on the credentials that the browser brought, never
the services' token, and what the manager answers comes back as it is. Everything that changes something asks for proof
that it is our own page that calls (see ``check_mark``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flask import Flask, Request, Response, request

from common.domain.errors import Forbidden
from common.http.client import Relayed
from common.http.gate import MARK, MARK_VALUE
from visualizer.boards import checked_id
from visualizer.login import shown_session

_PASSED_ON = ("Content-Type", "Idempotency-Key", "X-Request-Id")
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""A report may bring styles and pictures of its own, no script."""


class Door(Protocol):
    """The manager's door."""

    def relay(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Relayed:
        """The answer to a request passed on. Raises Unavailable."""


def register(app: Flask, door: Door, enabled: bool) -> None:
    """Add the routes. Not ``enabled``: the pages show only, and every wish is refused."""
    _register_wishes(app, door, enabled)
    _register_documents(app, door)


def check_mark(asked: Request) -> None:
    """Raises Forbidden unless the request comes from our own pages, or from a program that says so. That no other site
    sends it is looked at with every request: see common.http.gate."""
    if asked.headers.get(MARK) != MARK_VALUE:
        raise Forbidden(f"only the pages themselves may ask for this: send {MARK}: {MARK_VALUE}")


def _register_wishes(app: Flask, door: Door, enabled: bool) -> None:
    def wish(method: str, path: str) -> Response:
        if not enabled:
            raise Forbidden("these pages only show: acting is switched off (ASPERATHOS_PAGE_ACTIONS=false)")
        check_mark(request)
        return _relayed(door, method, path)

    @app.post("/api/submissions")
    def wish_submit() -> Response:
        return wish("POST", "/submissions" + ("?dry_run=true" if request.args.get("dry_run") == "true" else ""))

    @app.patch("/api/submissions/<id>")
    def wish_change(id: str) -> Response:
        return wish("PATCH", f"/submissions/{checked_id(id)}")

    @app.put("/api/submissions/<id>/stop")
    def wish_stop(id: str) -> Response:
        return wish("PUT", f"/submissions/{checked_id(id)}/stop")

    @app.put("/api/submissions/<id>/terminate")
    def wish_terminate(id: str) -> Response:
        return wish("PUT", f"/submissions/{checked_id(id)}/terminate")

    @app.post("/api/submissions/<id>/retry")
    def wish_retry(id: str) -> Response:
        return wish("POST", f"/submissions/{checked_id(id)}/retry")

    @app.delete("/api/submissions/<id>")
    def wish_delete(id: str) -> Response:
        return wish("DELETE", f"/submissions/{checked_id(id)}")


def _register_documents(app: Flask, door: Door) -> None:
    """What the manager keeps of a submission, for people to read or take away."""

    @app.get("/api/submissions/<id>/spec")
    def spec(id: str) -> Response:
        return _relayed(door, "GET", f"/submissions/{checked_id(id)}?spec=true")

    @app.get("/submissions/<id>/report")
    def report(id: str) -> Response:
        form = request.args.get("format", "")
        wanted = f"?format={form}" if form.isalpha() and form.isascii() else ""
        response = _relayed(door, "GET", f"/submissions/{checked_id(id)}/report{wanted}")
        response.headers["Content-Security-Policy"] = _SANDBOX
        return response

    @app.get("/submissions/<id>/results")
    def results(id: str) -> Response:
        response = _relayed(door, "GET", f"/submissions/{checked_id(id)}/results?format=jsonl")
        if response.status_code == 200:
            response.headers["Content-Disposition"] = f'attachment; filename="{id}-results.jsonl"'
        return response


def _relayed(door: Door, method: str, path: str) -> Response:
    headers = {name: value for name in _PASSED_ON if (value := request.headers.get(name))}
    if shown := shown_session().authorization:
        headers["Authorization"] = shown
    told = door.relay(method, path, request.get_data(), headers)
    response = Response(told.chunks, status=told.status, content_type=told.content_type or None)
    response.headers["Cache-Control"] = "no-store"
    return response
