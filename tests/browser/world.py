"""A world for the visualizer to look at: strict doubles of the other services, and a real visualizer process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

from common.domain.events import Event
from common.http.contracts import MonitoringView, ScalingView, SharesView


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@dataclass(frozen=True)
class Wish:
    """A request that would change something: ``asked`` is its method and path with the query."""

    asked: str
    body: str
    headers: dict[str, str]


class World:
    """What manager, controller and monitor answer. Only routes that exist answer; ``strays`` keeps all others asked.

    ``away`` holds the names of services that answer 503.
    """

    def __init__(self) -> None:
        self.submissions: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[Event]] = {}
        self.errors: dict[str, list[str]] = {}
        self.scaling: dict[str, ScalingView] = {}
        self.monitoring: dict[str, MonitoringView] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, dict[str, str]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, list[dict[str, Any]]] = {}
        self.shares: dict[str, SharesView] = {}
        self.replies: dict[str, tuple[Any, int]] = {}
        self.wishes: list[Wish] = []
        self.away: set[str] = set()
        self.strays: list[str] = []
        self.calls: list[str] = []
        self._server = make_server("127.0.0.1", 0, self._app(), threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def reset(self) -> None:
        """Forget everything, be all there."""
        kept = (self.submissions, self.events, self.errors, self.scaling, self.monitoring, self.calls, self.specs)
        more = (self.logs, self.clusters, self.nodes, self.shares, self.replies, self.wishes)
        for part in (*kept, *more):
            part.clear()
        self.away = set()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _app(self) -> Flask:
        app = Flask("world", static_folder=None)

        def answer(service: str, path: str, value: Any) -> tuple[Response, int]:
            self.calls.append(path)
            if service in self.away:
                return jsonify({"error_code": 503, "error_name": "SERVICE_UNAVAILABLE", "error_message": "away"}), 503
            if value is None:
                return jsonify({"error_code": 404, "error_name": "NOT_FOUND", "error_message": "unknown"}), 404
            return jsonify(value), 200

        @app.get("/submissions")
        def submissions() -> tuple[Response, int]:
            return answer("manager", "/submissions", dict(self.submissions))

        @app.get("/submissions/<id>")
        def submission(id: str) -> tuple[Response, int]:
            found = self.submissions.get(id)
            if found is not None and request.args.get("spec") == "true":
                found = {**found, "spec": self.specs.get(id, {})}
            return answer("manager", f"/submissions/{id}", found)

        @app.get("/submissions/<id>/log")
        def log(id: str) -> tuple[Response, int]:
            pods = self.logs.get(id, {})
            asked = request.args.get("pod")
            if asked is not None:
                pods = {asked: pods[asked]} if asked in pods else None
            if pods is not None and request.args.get("tail") == "0":
                pods = dict.fromkeys(pods, "")
            return answer("manager", f"/submissions/{id}/log", None if pods is None else {"pods": pods})

        @app.get("/submissions/cluster")
        def clusters() -> tuple[Response, int]:
            return answer("manager", "/submissions/cluster", dict(self.clusters))

        @app.get("/nodes")
        def nodes() -> tuple[Response, int]:
            name = request.args.get("cluster", "")
            return answer("manager", "/nodes", {"cluster": name, "nodes": self.nodes.get(name, [])})

        @app.get("/shares")
        def shares() -> tuple[Response, int]:
            name = request.args.get("cluster", "")
            view = self.shares.get(name, SharesView(cluster=name))
            return answer("controller", "/shares", view.model_dump(mode="json"))

        def wish() -> tuple[Response, int]:
            """Whatever is asked for is kept, and answered as ``replies`` says for its method and path."""
            body = request.get_data(as_text=True)
            asked = f"{request.method} {request.full_path.rstrip('?')}"
            self.wishes.append(Wish(asked, body, dict(request.headers)))
            if "manager" in self.away:
                return answer("manager", request.path, {})
            value, status = self.replies.get(asked, (None, 204))
            return (Response(status=204), 204) if value is None else (jsonify(value), status)

        app.add_url_rule("/submissions", "submit", wish, methods=["POST"])
        app.add_url_rule("/submissions/<id>", "change", lambda id: wish(), methods=["PATCH", "DELETE"])
        app.add_url_rule("/submissions/<id>/stop", "stop", lambda id: wish(), methods=["PUT"])
        app.add_url_rule("/submissions/<id>/terminate", "terminate", lambda id: wish(), methods=["PUT"])
        app.add_url_rule("/submissions/<id>/retry", "retry", lambda id: wish(), methods=["POST"])

        @app.get("/submissions/<id>/events")
        def events(id: str) -> tuple[Response, int]:
            told = [event.model_dump(mode="json") for event in self.events.get(id, [])]
            return answer("manager", f"/submissions/{id}/events", {"events": told} if id in self.submissions else None)

        @app.get("/submissions/<id>/errors")
        def errors(id: str) -> tuple[Response, int]:
            known = id in self.submissions
            return answer("manager", f"/submissions/{id}/errors", self.errors.get(id, []) if known else None)

        @app.get("/scaling/<id>")
        def scaling(id: str) -> tuple[Response, int]:
            view = self.scaling.get(id)
            return answer("controller", f"/scaling/{id}", None if view is None else view.model_dump(mode="json"))

        @app.get("/monitoring/<id>")
        def monitoring(id: str) -> tuple[Response, int]:
            view = self.monitoring.get(id)
            return answer("monitor", f"/monitoring/{id}", None if view is None else view.model_dump(mode="json"))

        @app.errorhandler(404)
        @app.errorhandler(405)
        def stray(error: Any) -> tuple[Response, int]:
            self.strays.append(f"{request.method} {request.path}")
            return jsonify({"error_code": 500, "error_name": "STRAY", "error_message": "no such route"}), 500

        return app


def any_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class VisualizerProcess:
    """``python -m visualizer`` on a port of its own, in front of a world and a Redis."""

    def __init__(self, port: int, world_url: str, redis_url: str, log: Path, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._environment = {
            **os.environ,
            "ASPERATHOS_REDIS_URL": redis_url,
            "ASPERATHOS_MANAGER_URL": world_url,
            "ASPERATHOS_CONTROLLER_URL": world_url,
            "ASPERATHOS_MONITOR_URL": world_url,
            "ASPERATHOS_VISUALIZER_URL": self.url,
            "ASPERATHOS_PAGE_REFRESH": "0.2",
            **{f"ASPERATHOS_{name.upper()}": value for name, value in settings.items()},
        }
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "visualizer", "--port", str(self._port)],
                env=self._environment,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        end = time.monotonic() + 30
        while True:
            try:
                if requests.get(f"{self.url}/readyz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"the visualizer did not start: {self.log.read_text()}")
            time.sleep(0.05)

    def start_if_stopped(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()

    def terminate(self, within: float = 15.0) -> tuple[int, float]:
        """SIGTERM; the exit code and how long it took in seconds."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(within)
        return code, time.monotonic() - began

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.terminate()
