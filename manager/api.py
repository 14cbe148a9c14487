"""The manager's routes: parse, ask the service, answer."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from asperathos_worker.queue.records import ItemResult, NewItem
from flask import Flask, Response, jsonify, request

from common.domain.errors import BadRequest, Fault
from common.domain.parsing import listed, plain_faults
from common.domain.states import Intent, State
from common.http.body import read_contract, read_document, read_optional_document
from common.http.gate import current
from common.plugins import list_plugins
from manager.clusters import ClusterRegistry, Known, NewCertificate, NewCluster
from manager.following import Following
from manager.histories import Histories, PastRuns
from manager.report_forms import Asked, in_form, wanted_form
from manager.reports import Reports
from manager.service import Accepted, ManagerService, Request, Selection

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ITEM_ID = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_SWITCH = {"": True, "true": True, "1": True, "false": False, "0": False}
_MOST_RESULTS = 10_000
_MOST_IDS = 1000
_MOST_EVENTS = 5000
_MOST_LISTED = 100_000
_MOST_LINES = 1_000_000
_BATCH = 1000
_LOGIN = frozenset({"enable_auth", "username", "password"})
_Problem = tuple[tuple[str, ...], str]
"""Where in an item, and what is wrong there."""


def register(
    app: Flask,
    service: ManagerService,
    reports: Reports,
    clusters: ClusterRegistry,
    histories: Histories,
    max_item: int,
    cors_origin: str = "",
) -> None:
    """Add the routes to the app. ``max_item`` is the largest item in bytes, ``cors_origin`` whose pages may call."""
    _register_submissions(app, service)
    _register_submission(app, service)
    _register_reports(app, service, reports)
    _register_items(app, service, reports, max_item)
    _register_clusters(app, clusters)
    _register_history(app, histories)
    _register_installation(app, reports, clusters)
    if cors_origin:
        _register_cors(app, cors_origin)


def _register_submissions(app: Flask, service: ManagerService) -> None:
    @app.post("/submissions")
    def submit() -> tuple[Response, int]:
        if _switch("dry_run"):
            return jsonify(service.plan(Request(_document(), by=current()))), 200
        accepted = service.submit(Request(_document(), _idempotency_key(), _digest(), current()))
        return _accepted(accepted)

    @app.get("/submissions")
    def listing() -> Response:
        limit = _whole("limit", -1, -1, _MOST_LISTED)
        most = None if limit < 0 else limit
        selection = Selection(_states(), request.args.get("name"), most, current())
        return jsonify(service.listing(selection, with_forecast=_switch("forecast")))

    @app.delete("/submissions")
    def delete_ended() -> tuple[str, int]:
        _ignored_body()
        service.delete_ended(current())
        return "", 204


def _register_submission(app: Flask, service: ManagerService) -> None:
    @app.get("/submissions/<id>")
    def status(id: str) -> Response:
        return jsonify(service.status(id, with_spec=_switch("spec")))

    @app.patch("/submissions/<id>")
    def change(id: str) -> Response:
        done = service.change(id, read_document(request))
        differences = {each.field: {"old": each.old, "new": each.new} for each in done.differences}
        return jsonify({"job_id": done.id, "changed": differences})

    @app.delete("/submissions/<id>")
    def delete(id: str) -> tuple[str, int]:
        _ignored_body()
        service.delete(id)
        return "", 204

    @app.put("/submissions/<id>/stop")
    def stop(id: str) -> tuple[str, int]:
        _ignored_body()
        service.end(id, Intent.STOP)
        return "", 204

    @app.put("/submissions/<id>/terminate")
    def terminate(id: str) -> tuple[str, int]:
        _ignored_body()
        service.end(id, Intent.TERMINATE)
        return "", 204

    @app.get("/submissions/<id>/forecast")
    def forecast(id: str) -> Response:
        return jsonify(service.forecast(id))

    @app.post("/submissions/<id>/retry")
    def retry(id: str) -> tuple[Response, int]:
        _ignored_body()
        return _accepted(service.retry(id, current()))


def _register_reports(app: Flask, service: ManagerService, reports: Reports) -> None:
    @app.get("/submissions/<id>/log")
    def log(id: str) -> Response:
        pod = request.args.get("pod")
        tail = _whole("tail", -1, -1, _MOST_LINES)
        lines = None if tail < 0 else tail
        if _switch("follow"):
            return _stream(reports.follow(id, pod, lines))
        return jsonify(reports.log(id, pod, lines))

    @app.get("/submissions/<id>/report")
    def report(id: str) -> Response:
        form = wanted_form(request)
        if form is None:
            return jsonify(reports.report(id))
        rows = _whole("rows", -1, 2, _MOST_LINES)
        asked = Asked(id, _switch("partial"), _switch("detailed"), None if rows < 0 else rows)
        return in_form(reports.made, form, asked)

    @app.get("/submissions/<id>/errors")
    def errors(id: str) -> Response:
        return jsonify(reports.errors(id))

    @app.get("/submissions/<id>/results")
    def results(id: str) -> Response:
        form = request.args.get("format", "json")
        if form == "jsonl":
            return Response(_lines(reports.all_results(id)), mimetype="application/jsonl")
        if form != "json":
            raise _bad_parameter("format", "must be json or jsonl")
        page = reports.results(id, _whole("cursor", 0, 0, 2**53), _whole("count", 1000, 1, _MOST_RESULTS))
        return jsonify(
            {"results": [asdict(result) for result in page.results], "cursor": page.cursor, "more": page.more}
        )

    @app.get("/submissions/<id>/events")
    def events(id: str) -> Response:
        return jsonify(reports.events(id, _whole("count", 1000, 1, _MOST_EVENTS)))

    @app.get("/submissions/<id>/decisions")
    def decisions(id: str) -> Response:
        found = service.decisions(id, _whole("count", 100, 1, _MOST_EVENTS))
        return jsonify({"decisions": [decision.model_dump(mode="json") for decision in found]})

    @app.get("/submissions/<id>/visualizer")
    def visualizer(id: str) -> Response:
        return jsonify(reports.visualizer(id))


def _register_items(app: Flask, service: ManagerService, reports: Reports, max_item: int) -> None:
    @app.get("/submissions/<id>/items")
    def items(id: str) -> Response:
        ids = [one for many in request.args.getlist("ids") for one in many.split(",") if one]
        ids += request.args.getlist("id")
        if len(ids) > _MOST_IDS:
            raise _bad_parameter("ids", f"must be at most {_MOST_IDS}")
        return jsonify(reports.items(id, ids))

    @app.post("/submissions/<id>/items")
    def add(id: str) -> tuple[Response, int]:
        service.find(id)
        given = _new_items(read_document(request), max_item)
        added = sum(service.add_items(id, given[start : start + _BATCH]) for start in range(0, len(given), _BATCH))
        return jsonify({"added": added}), 202


def _register_clusters(app: Flask, clusters: ClusterRegistry) -> None:
    @app.post("/submissions/cluster")
    def add_cluster() -> tuple[Response, int]:
        return _known(clusters.add(read_contract(request, NewCluster))), 202

    @app.get("/submissions/cluster")
    def all_clusters() -> Response:
        return jsonify(clusters.listing())

    @app.get("/submissions/cluster/activate")
    def active_cluster() -> Response:
        return jsonify(clusters.listing(clusters.active()))

    @app.put("/submissions/cluster/<name>/activate")
    def activate_cluster(name: str) -> Response:
        _ignored_body()
        clusters.activate(name)
        return jsonify({"cluster_name": name, "status": "success"})

    @app.delete("/submissions/cluster/<name>")
    def remove_cluster(name: str) -> tuple[str, int]:
        _ignored_body()
        clusters.remove(name)
        return "", 204

    @app.post("/submissions/cluster/<name>/certificate")
    def add_certificate(name: str) -> tuple[Response, int]:
        return _known(clusters.add_certificate(name, read_contract(request, NewCertificate))), 202

    @app.delete("/submissions/cluster/<name>/certificate/<certificate>")
    def remove_certificate(name: str, certificate: str) -> tuple[Response, int]:
        _ignored_body()
        clusters.remove_certificate(name, certificate)
        return jsonify({"cluster_name": name, "status": "success"}), 202


def _known(cluster: Known) -> Response:
    return jsonify(
        {
            "cluster_name": cluster.name,
            "status": "success",
            "reachable": bool(cluster.version),
            "version": cluster.version,
            "warnings": list(cluster.warnings),
        }
    )


def _register_installation(app: Flask, reports: Reports, clusters: ClusterRegistry) -> None:
    @app.get("/nodes")
    def nodes() -> Response:
        wanted = request.args.get("cluster")
        if wanted is not None:
            clusters.check(wanted)
        return jsonify(reports.nodes(clusters.active() if wanted is None else wanted))

    @app.get("/plugins")
    def plugins() -> Response:
        return jsonify({"plugins": [asdict(info) for info in list_plugins()]})


def _register_history(app: Flask, histories: Histories) -> None:
    @app.get("/history")
    def all_history() -> Response:
        return jsonify({key: _runs(runs) for key, runs in histories.listing().items()})

    @app.get("/history/<key>")
    def one_history(key: str) -> Response:
        return jsonify(_runs(histories.get(key)))

    @app.delete("/history")
    def forget_all() -> Response:
        _ignored_body()
        return jsonify({"forgotten": histories.forget_all()})

    @app.delete("/history/<key>")
    def forget(key: str) -> tuple[str, int]:
        _ignored_body()
        histories.forget(key)
        return "", 204


def _runs(runs: PastRuns) -> dict[str, Any]:
    service = runs.history.service
    return {
        "name": runs.name,
        "image": runs.image,
        "updated_at": runs.updated_at,
        "submissions": runs.history.submissions,
        "items": service.count,
        "mean": service.mean,
        "deviation": service.deviation,
        "longest": service.longest,
        "failures": runs.history.failures,
        "attempts": runs.history.attempts,
        "startup": runs.history.startup,
    }


def _register_cors(app: Flask, origin: str) -> None:
    @app.after_request
    def allow(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Request-Id"
        if origin != "*":
            response.headers.add("Vary", "Origin")
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
            response.headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, Idempotency-Key, X-Request-Id"
            )
        return response


def _stream(following: Following) -> Response:
    """Text as it comes. A client that has gone is noticed between two looks, not only when there is more to send."""
    peer = request.environ.get("gunicorn.socket")

    def texts() -> Iterator[str]:
        for text in following:
            # An empty text sends the headers at least: a client knows that it is served though nothing is told yet.
            yield text
            if not text and _has_left(peer):
                return

    response = Response(texts(), mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(following.close)
    return response


def _has_left(peer: socket.socket | None) -> bool:
    """Whether the other side closed the connection. Only the server we run under shows it."""
    if peer is None:
        return False
    try:
        return not peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _accepted(accepted: Accepted) -> tuple[Response, int]:
    response = jsonify({"job_id": accepted.id, "warnings": list(accepted.warnings)})
    response.headers["Location"] = f"/submissions/{accepted.id}"
    return response, 202


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if key and not _KEY.fullmatch(key):
        problem = "must be 1 to 255 printable ASCII characters without spaces"
        raise BadRequest(f"Idempotency-Key {problem}", [Fault("Idempotency-Key", problem)])
    return key


def _document() -> Any:
    """The posted document, without the original's credentials where they were what let it in."""
    document = read_document(request)
    if current().kind == "anonymous" or not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name not in _LOGIN}


def _digest() -> str:
    return hashlib.sha256(request.mimetype.encode() + b"\n" + request.get_data()).hexdigest()


def _ignored_body() -> None:
    """The original's clients send credentials along; a body that is none of its form is refused all the same."""
    document = read_optional_document(request)
    if not isinstance(document, Mapping):
        raise BadRequest("the body must be an object", [Fault("body", "must be an object")])


def _new_items(document: Any, max_item: int) -> list[NewItem]:
    given = document.get("items") if isinstance(document, Mapping) else document
    if isinstance(document, Mapping):
        unknown = [Fault(str(name)[:80], "unknown field; known here is items") for name in document if name != "items"]
        if unknown:
            raise _bad_items(unknown)
    if not isinstance(given, list):
        raise _bad_items([Fault("items", "must be a list of texts, or of objects with payload and id")])
    faults: list[Fault] = []
    items: list[NewItem] = []
    for place, entry in enumerate(given):
        problems, item = _new_item(entry, max_item)
        faults += [Fault(".".join(("items", str(place), *path)), problem) for path, problem in problems]
        if item is not None:
            items.append(item)
    if faults:
        raise _bad_items(faults)
    return items


def _new_item(entry: Any, max_item: int) -> tuple[list[_Problem], NewItem | None]:
    if isinstance(entry, str):
        entry = {"payload": entry}
    if not isinstance(entry, Mapping):
        return [((), "must be text, or an object with payload and id")], None
    unknown = sorted(str(name)[:80] for name in entry if name not in ("id", "payload"))
    faults: list[_Problem] = [((name,), "unknown field; known here are id, payload") for name in unknown]
    payload, id = entry.get("payload"), entry.get("id")
    if not isinstance(payload, str) or plain_faults(payload):
        faults.append((("payload",), "must be text without NUL"))
    elif len(payload.encode()) > max_item:
        faults.append((("payload",), f"is longer than {max_item} bytes"))
    if id is not None and (not isinstance(id, str) or not _ITEM_ID.fullmatch(id) or plain_faults(id)):
        faults.append((("id",), "must be 1 to 256 printable characters"))
    return faults, None if faults else NewItem(str(payload), id)


def _bad_items(faults: Iterable[Fault]) -> BadRequest:
    found = listed(faults)
    return BadRequest(f"invalid items: {found[0].field}: {found[0].problem}", found)


def _lines(results: Iterable[ItemResult]) -> Iterator[str]:
    for result in results:
        yield json.dumps(asdict(result), ensure_ascii=False) + "\n"


def _states() -> frozenset[State] | None:
    given = [one for many in request.args.getlist("state") for one in many.split(",") if one]
    known = {state.value for state in State}
    if any(one not in known for one in given):
        raise _bad_parameter("state", f"must be some of {', '.join(sorted(known))}")
    return frozenset(State(one) for one in given) if given else None


def _switch(name: str) -> bool:
    given = request.args.get(name)
    if given is None:
        return False
    if given.lower() not in _SWITCH:
        raise _bad_parameter(name, "must be true or false")
    return _SWITCH[given.lower()]


def _whole(name: str, default: int, least: int, most: int) -> int:
    given = request.args.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or len(given) > 16 or not max(0, least) <= int(given) <= most:
        raise _bad_parameter(name, f"must be a whole number from {max(0, least)} to {most}")
    return int(given)


def _bad_parameter(name: str, problem: str) -> BadRequest:
    return BadRequest(f"{name} {problem}", [Fault(name, problem)])
