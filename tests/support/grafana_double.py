"""A strict double of Grafana's HTTP API: it checks what it is sent, keeps it, and notes whatever it does not know.

Grafana's own server cannot be had from the registries the tests use; this plays, after Grafana's documentation, what we
use of it. Dashboards are checked against Grafana's own types.

As a program (with PyYAML only) it stands in for Grafana's image: it reads the provisioning files as Grafana does, and
passes queries on to the data source that they name.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN, USER, PASSWORD = "glsa_of_a_test", "admin", "of-a-test"


class GrafanaDouble(ThreadingHTTPServer):
    """``version`` is what it tells; what ``provisioned`` names was provisioned from files and is not to be changed."""

    daemon_threads = True

    def __init__(self, port: int = 0, version: str = "11.6.0", host: str = "127.0.0.1") -> None:
        super().__init__((host, port), _Handler)
        self.version = version
        self.user, self.password = USER, PASSWORD
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
        basic = base64.b64encode(f"{self.server.user}:{self.server.password}".encode()).decode()
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
            case "GET", _ if self.path == "/api/search?type=dash-db":
                listed = [{"uid": uid, "title": one["title"]} for uid, one in grafana.dashboards.items()]
                self._answer(200, listed)
            case "GET", _ if self.path.startswith("/api/datasources/proxy/uid/"):
                self._pass_on(*self.path.removeprefix("/api/datasources/proxy/uid/").split("/", 1))
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

    def _pass_on(self, uid: str, path: str) -> None:
        """A query to the data source, with the credentials that Grafana keeps."""
        source = self.server.datasources[uid]
        header = {source["jsonData"]["httpHeaderName1"]: source["secureJsonData"]["httpHeaderValue1"]}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{source['url']}/{path}", headers=header), timeout=5
            ) as answer:
                self._answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            self._answer(error.code, {"message": error.read().decode()})

    def _store_dashboard(self, body: dict[str, Any]) -> None:
        # Not imported above: where this stands in for an image there is no jsonschema, and all dashboards are files.
        from tests.support.grafana_schema import faults

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


def provision(grafana: GrafanaDouble, directory: Path) -> None:
    """Read the provisioning files: variables of the environment are filled in, in YAML only."""
    import yaml

    for path in (directory / "datasources").glob("*.yaml"):
        for source in yaml.safe_load(os.path.expandvars(path.read_text()))["datasources"]:
            grafana.datasources[source["uid"]] = source
    for path in (directory / "dashboards").glob("*.yaml"):
        for provider in yaml.safe_load(os.path.expandvars(path.read_text()))["providers"]:
            grafana.folders[provider["folderUid"]] = provider["folder"]
            for file in Path(provider["options"]["path"]).glob("*.json"):
                dashboard = json.loads(file.read_text())
                grafana.dashboards[dashboard["uid"]] = dashboard
    grafana.provisioned = {*grafana.datasources, *grafana.dashboards}


def main() -> None:
    """Be a Grafana that was started with provisioning files."""
    grafana = GrafanaDouble(3000, host="0.0.0.0")
    grafana.user, grafana.password = os.environ["GF_SECURITY_ADMIN_USER"], os.environ["GF_SECURITY_ADMIN_PASSWORD"]
    provision(grafana, Path("/etc/grafana/provisioning"))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()


if __name__ == "__main__":
    main()
