"""The visualizer's routes: boards for the other services, pages and their data for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, render_template, request
from pydantic import Field
from werkzeug.exceptions import NotFound as NoSuchRoute

from common.domain.accounts import Role
from common.domain.errors import BadRequest, Fault, NotFound
from common.http.app import error_response
from common.http.body import read_contract
from common.http.contracts import VisualizingRequest
from common.http.gate import current, seen
from visualizer.actions import Door
from visualizer.actions import register as register_actions
from visualizer.assets import Asset, load_assets
from visualizer.documents import Changes, ClusterDocument, ListDocument, SubmissionDocument, fingerprint
from visualizer.login import Login, register_login, wants_page
from visualizer.series import reach
from visualizer.service import BoardService, Watching
from visualizer.streams import Message, Streams

_STATIC = Path(__file__).parent / "static"
_MOST_SPARKS = 100
_TAIL = 200
_MOST_TAIL = 5000
LATEST = 1e11
"""No moment of ours is later (Unix seconds); stores of time series know none that are much later."""
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Not no-referrer: forms would then be sent with no origin to know them by.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Pages:
    """What the pages are made from."""

    watching: Watching
    streams: Streams
    login: Login
    door: Door
    actions: bool = True
    """Whether the pages may act."""


class NamedRequest(VisualizingRequest):
    """POST /visualizing: the id is in the body, as ``app_id`` or ``id``."""

    app_id: str = Field(default="", max_length=64)
    id: str = Field(default="", max_length=64)


def register(app: Flask, boards: BoardService, pages: Pages) -> None:
    """Add all routes to the app."""

    @app.context_processor
    def who_acts() -> dict[str, bool]:
        """Whether the page offers to whoever sees it what changes something."""
        return {"acting": pages.actions and current().role is not Role.VIEWER}

    _register_boards(app, boards)
    _register_pages(app, pages)
    _register_data(app, pages)
    register_actions(app, pages.door, pages.actions)
    register_login(app, pages.login, _page)


def _register_boards(app: Flask, boards: BoardService) -> None:
    @app.post("/visualizing")
    def show_named() -> tuple[Response, int]:
        body = read_contract(request, NamedRequest)
        id = body.app_id or body.id
        if not id:
            raise BadRequest("invalid body: app_id: is required", [Fault("app_id", "is required")])
        return jsonify(boards.show(id, body).model_dump(mode="json")), 202

    @app.post("/visualizing/<id>")
    def show(id: str) -> tuple[Response, int]:
        return jsonify(boards.show(id, read_contract(request, VisualizingRequest)).model_dump(mode="json")), 202

    @app.put("/visualizing/<id>/stop")
    def stop(id: str) -> tuple[str, int]:
        boards.stop(id)
        return "", 204

    @app.delete("/visualizing/<id>")
    def drop(id: str) -> tuple[str, int]:
        boards.drop(id)
        return "", 204

    @app.get("/visualizing/<id>")
    def view(id: str) -> Response:
        return jsonify(boards.view(id).model_dump(mode="json"))

    @app.get("/visualizing")
    def views() -> Response:
        found = boards.views()
        shown = seen(app, found)
        return jsonify({id: view.model_dump(mode="json") for id, view in found.items() if id in shown})


def _register_pages(app: Flask, pages: Pages) -> None:
    @app.get("/")
    @app.get("/submissions")
    def overview() -> Response:
        return _page("list.html", here="list")

    @app.get("/submissions/<id>")
    def one(id: str) -> Response:
        try:
            document = pages.watching.submission(id)
        except (NotFound, BadRequest):
            return _page("missing.html", 404, what=f"There is no submission {id}.")
        return _page("submission.html", id=id, name=document.row.name or id)

    @app.get("/clusters")
    def clusters_page() -> Response:
        return _page("clusters.html", here="clusters")

    @app.get("/submit")
    def submit_page() -> Response:
        if not pages.actions:
            return _page("missing.html", 404, what="These pages only show: nothing can be submitted here.")
        return _page("submit.html", here="submit")

    assets = load_assets(_STATIC)

    @app.get("/favicon.ico")
    def favicon() -> Response:
        return _asset(assets["favicon.svg"])

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        found = assets.get(name)
        if found is None:
            raise NotFound(f"there is no file {name}")
        return _asset(found)

    @app.errorhandler(NoSuchRoute)
    def missing(error: NoSuchRoute) -> Response:
        if request.method == "GET" and wants_page():
            return _page("missing.html", 404, what="There is no such page.")
        return error_response(404, "NOT_FOUND", error.description or "there is nothing here")


def _register_data(app: Flask, pages: Pages) -> None:
    watching = pages.watching

    @app.get("/api/submissions")
    def submissions() -> Response:
        return _document(watching.listing().seen_by(current()))

    @app.get("/api/submissions/<id>")
    def submission(id: str) -> Response:
        return _document(watching.submission(id))

    @app.get("/api/submissions/<id>/series")
    def series(id: str) -> Response:
        return jsonify(watching.series(id, _since()).parts())

    @app.get("/api/submissions/<id>/log")
    def log(id: str) -> Response:
        return jsonify({"pods": watching.log(id, request.args.get("pod", ""), _tail())})

    @app.get("/api/sparks")
    def sparks() -> Response:
        ids = [id for id in request.args.get("ids", "").split(",") if id]
        if len(ids) > _MOST_SPARKS:
            raise BadRequest(f"ids must be at most {_MOST_SPARKS}", [Fault("ids", f"must be at most {_MOST_SPARKS}")])
        visible = seen(app, ids)
        return jsonify(watching.sparks([id for id in ids if id in visible]).parts())

    @app.get("/api/clusters")
    def clusters() -> Response:
        return _document(watching.clusters().seen_by(current()))

    @app.get("/api/stream/clusters")
    def stream_clusters() -> Response:
        viewer = current()
        return _stream(pages.streams, _look_at("clusters", lambda: watching.clusters().seen_by(viewer).parts()))

    @app.get("/api/stream/submissions")
    def stream_submissions() -> Response:
        viewer = current()
        return _stream(pages.streams, _look_at("list", lambda: watching.listing().seen_by(viewer).parts()))

    @app.get("/api/stream/submissions/<id>")
    def stream_submission(id: str) -> Response:
        watching.submission(id)
        return _stream(pages.streams, _submission_look(watching, id, _since()))


def _look_at(event: str, parts: Callable[[], Mapping[str, Any]]) -> Callable[[], Iterable[Message]]:
    changes = Changes()

    def look() -> Iterable[Message]:
        changed = changes.of(parts())
        return [Message(event, changed)] if changed else []

    return look


def _submission_look(watching: Watching, id: str, since: float) -> Callable[[], Iterable[Message]]:
    changes = Changes()
    problem = ""
    reached: dict[str, float] = {}

    def look() -> Iterable[Message]:
        nonlocal problem
        try:
            changed = changes.of(watching.submission(id).parts())
        except NotFound:
            yield Message("gone", {}, last=True)
            return
        if changed:
            yield Message("submission", changed)
        fresh = watching.series(id, since, reached)
        newer = reach(fresh.series)
        if newer or fresh.problem != problem:
            problem = fresh.problem
            reached.update(newer)
            yield Message("series", fresh.parts(), id=repr(min(reached.values(), default=since)))

    return look


def _stream(streams: Streams, look: Callable[[], Iterable[Message]]) -> Response:
    place = streams.enter()
    response = Response(streams.live(look), mimetype="text/event-stream")
    response.call_on_close(place.leave)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _document(document: ListDocument | SubmissionDocument | ClusterDocument) -> Response:
    parts = document.parts()
    response = jsonify(parts)
    response.set_etag(fingerprint(parts))
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def _page(template: str, status: int = 200, **values: str) -> Response:
    who = current()
    text = render_template(template, **{"user": "" if who.kind == "anonymous" else who.name, **values})
    return Response(text, status=status, mimetype="text/html", headers=_PAGE_HEADERS)


def _asset(asset: Asset) -> Response:
    response = Response(asset.content, mimetype=asset.mimetype)
    response.set_etag(asset.etag)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def _tail() -> int:
    """How many lines of a log."""
    text = request.args.get("tail", str(_TAIL))
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) > _MOST_TAIL:
        problem = f"must be a whole number from 0 to {_MOST_TAIL}"
        raise BadRequest(f"tail {problem}", [Fault("tail", problem)])
    return int(text)


def _since() -> float:
    """The moment (Unix seconds) the browser has its points up to; after a broken connection it says so itself."""
    text = request.headers.get("Last-Event-ID") or request.args.get("since") or "0"
    try:
        since = float(text)
    except ValueError:
        since = math.nan
    if math.isnan(since) or not 0 <= since <= LATEST:
        raise BadRequest("since must be a moment in Unix seconds", [Fault("since", "must be Unix seconds")])
    return since
