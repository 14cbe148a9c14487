"""A strict double of Grafana's HTTP API: it checks what it is sent, keeps it, and notes whatever it does not know.

Grafana's own server cannot be had from the registries the tests use; this plays, after Grafana's documentation, what we
use of it. Dashboards are checked against Grafana's own types.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.grafana_schema import faults

TOKEN, USER, PASSWORD = "glsa_of_a_test", "admin", "of-a-test"


class GrafanaDouble(ThreadingHTTPServer):
    """``version`` is what it tells; what ``provisioned`` names was provisioned from files and is not to be changed."""

    daemon_threads = True

    def __init__(self, port: int = 0, version: str = "11.6.0") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.version = version
        self.may_edit = True
        self.failing = 0
        self.folders: dict[str, str] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.provisioned: set[str] = set()
        self.strays: list[str] = []
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: GrafanaDouble
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        grafana = self.server
        grafana.asked.append(f"{self.command} {self.path}")
        if grafana.failing:
            grafana.failing -= 1
            self._answer(502, {"message": "bad gateway"})
        elif self.path == "/api/health":
            self._answer(200, {"commit": "0", "database": "ok", "version": grafana.version})
        elif not self._is_known():
            self._answer(401, {"message": "Invalid username or password"})
        elif self.command != "GET" and not grafana.may_edit:
            self._answer(403, {"message": "You'll need additional permissions to perform this action."})
        else:
            self._routed(json.loads(body) if body else None)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _is_known(self) -> bool:
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") in (f"Bearer {TOKEN}", f"Basic {basic}")

    def _routed(self, body: Any) -> None:
        grafana = self.server
        kind, _, uid = self.path.removeprefix("/api/").rpartition("/")
        match self.command, kind:
            case "GET", "folders":
                self._found("folder not found", grafana.folders, uid, {"uid": uid, "title": grafana.folders.get(uid)})
            case "POST", "" if self.path == "/api/folders":
                assert set(body) == {"uid", "title"}
                grafana.folders[body["uid"]] = body["title"]
                self._answer(200, body)
            case "GET", "datasources/uid":
                told = {**grafana.datasources.get(uid, {}), "readOnly": uid in grafana.provisioned}
                told.pop("secureJsonData", None)
                self._found("Data source not found", grafana.datasources, uid, told)
            case ("POST", "") | ("PUT", "datasources/uid") if uid == "datasources" or kind:
                self._store_datasource(body)
            case "GET", "dashboards/uid":
                meta = {"provisioned": uid in grafana.provisioned, "folderUid": "asperathos"}
                self._found(
                    "Dashboard not found",
                    grafana.dashboards,
                    uid,
                    {"dashboard": grafana.dashboards.get(uid), "meta": meta},
                )
            case "POST", "dashboards":
                self._store_dashboard(body)
            case _:
                grafana.strays.append(f"{self.command} {self.path}")
                self._answer(404, {"message": "Not found"})

    def _store_datasource(self, body: dict[str, Any]) -> None:
        required = {"name", "uid", "type", "access", "url", "database", "user", "jsonData", "secureJsonData"}
        if set(body) != required or body["type"] != "influxdb" or body["access"] != "proxy":
            self._answer(400, {"message": f"bad request data: {sorted(set(body) ^ required)}"})
        elif body["uid"] in self.server.provisioned:
            self._answer(403, {"message": "Cannot update read-only data source"})
        else:
            self.server.datasources[body["uid"]] = body
            self._answer(200, {"datasource": body, "message": "Datasource added"})

    def _store_dashboard(self, body: dict[str, Any]) -> None:
        assert set(body) == {"dashboard", "folderUid", "overwrite", "message"}
        dashboard, grafana = body["dashboard"], self.server
        wrong = faults(dashboard)
        if wrong or body["folderUid"] not in grafana.folders:
            self._answer(400, {"message": f"bad request data: {wrong}"})
        elif dashboard["uid"] in grafana.provisioned:
            self._answer(400, {"message": "Cannot save provisioned dashboard"})
        else:
            version = grafana.versions.get(dashboard["uid"], 0) + 1
            grafana.versions[dashboard["uid"]] = version
            grafana.dashboards[dashboard["uid"]] = {**dashboard, "id": 7, "version": version}
            self._answer(200, {"uid": dashboard["uid"], "status": "success", "version": version})

    def _found(self, missing: str, kept: dict[str, Any], uid: str, told: Any) -> None:
        self._answer(200, told) if uid in kept else self._answer(404, {"message": missing})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
