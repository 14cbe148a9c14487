"""What InfluxDB 2 and 3 have and Debian's 1.6 has not, as a strict double in front of a real InfluxDB 1.6.

Tokens, organizations, buckets with retention, DBRP mappings, ``/api/v2/write``, ``/api/v2/delete`` and InfluxDB 3's
``/api/v3/configure/database`` are played here after their documentation; points and InfluxQL go to the real server
behind it. Anything unexpected is answered as the real one would, and noted in ``strays``.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

TOKEN = "of-a-test"
ORG = {"id": "00000000000000aa", "name": "house"}
_LINE = re.compile(r'[^\s,]+(,[^\s,=]+=[^\s,=]+)+ ([^\s,="]+=(-?[0-9.e+-]+|"[^"\n]*"),?)+ \d{10,19}')


class InfluxDouble(ThreadingHTTPServer):
    """``version`` is what ``/ping`` tells: 2.7.6 or 3.2.0. ``backend`` is the real server's address."""

    daemon_threads = True

    def __init__(self, version: str, backend: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version = version
        self.backend = backend
        self.buckets: dict[str, dict[str, Any]] = {}
        self.mappings: list[dict[str, Any]] = []
        self.has_virtual_mappings = True
        self.orgs = [ORG]
        self.strays: list[str] = []
        self.writes = 0
        self.may_make_buckets = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def make_bucket(self, name: str, seconds: int) -> dict[str, Any]:
        rules = [{"type": "expire", "everySeconds": seconds}] if seconds else []
        self.buckets[name] = {
            "id": f"{len(self.buckets) + 1:016x}",
            "orgID": ORG["id"],
            "name": name,
            "retentionRules": rules,
        }
        requests.post(f"{self.backend}/query", data={"q": f'CREATE DATABASE "{name}"'}, timeout=5).raise_for_status()
        return self.buckets[name]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: InfluxDouble
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _any(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.version.startswith("2") and split.path == "/ping":
            self._answer(204, None)
        elif self.headers.get("Authorization") not in (f"Token {TOKEN}", f"Bearer {TOKEN}"):
            self._answer(401, {"code": "unauthorized", "message": "unauthorized access"})
        else:
            self._routed(split.path, query, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _routed(self, path: str, query: Mapping[str, str], body: bytes) -> None:
        is_3 = self.server.version.startswith("3")
        routes = {
            ("GET", "/query"): self._query,
            ("POST", "/api/v2/write"): self._write,
            **(
                {("GET", "/ping"): self._ping_3, ("POST", "/api/v3/configure/database"): self._configure}
                if is_3
                else {
                    ("GET", "/api/v2/orgs"): self._orgs,
                    ("POST", "/api/v2/buckets"): self._create_bucket,
                    ("GET", "/api/v2/dbrps"): self._list_mappings,
                    ("POST", "/api/v2/dbrps"): self._create_mapping,
                    ("POST", "/api/v2/delete"): self._delete,
                }
            ),
        }
        route = routes.get((self.command, path))
        if route is None:
            self.server.strays.append(f"{self.command} {path}")
            self._answer(404, {"code": "not found", "message": "path not found"})
        else:
            route(query, body)

    def _ping_3(self, query: Mapping[str, str], body: bytes) -> None:
        self._answer(200, {"version": self.server.version, "revision": "double", "process_id": "1"})

    def _configure(self, query: Mapping[str, str], body: bytes) -> None:
        asked = json.loads(body)
        assert set(asked) <= {"db", "retention_period"}
        if asked["db"] in self.server.buckets:
            self._answer(409, {"error": "attempted to create a resource that already exists"})
            return
        seconds = int(re.fullmatch(r"(\d+)s", asked.get("retention_period", "0s"))[1])  # type: ignore[index]
        self.server.make_bucket(asked["db"], seconds)
        self._answer(200, None)

    def _orgs(self, query: Mapping[str, str], body: bytes) -> None:
        named = query.get("org")
        self._answer(200, {"orgs": [org for org in self.server.orgs if named in (None, org["name"])]})

    def _create_bucket(self, query: Mapping[str, str], body: bytes) -> None:
        asked = json.loads(body)
        if not self.server.may_make_buckets:
            self._answer(403, {"code": "forbidden", "message": "insufficient permissions for write"})
            return
        if asked["orgID"] != ORG["id"] or asked["name"] in self.server.buckets:
            self._answer(422, {"code": "conflict", "message": "bucket exists, or no such organization"})
            return
        seconds = sum(rule["everySeconds"] for rule in asked["retentionRules"])
        self._answer(201, self.server.make_bucket(asked["name"], seconds))

    def _list_mappings(self, query: Mapping[str, str], body: bytes) -> None:
        listed = [one for one in self.server.mappings if one["database"] == query.get("db", one["database"])]
        if self.server.has_virtual_mappings:
            listed += [
                _mapping(bucket["id"], bucket["id"], name, virtual=True)
                for name, bucket in self.server.buckets.items()
                if name == query.get("db", name)
            ]
        self._answer(200, {"content": listed})

    def _create_mapping(self, query: Mapping[str, str], body: bytes) -> None:
        asked = json.loads(body)
        assert asked["orgID"] == ORG["id"] and asked["default"] is True
        assert asked["bucketID"] in {bucket["id"] for bucket in self.server.buckets.values()}
        made = _mapping("00000000000000ff", asked["bucketID"], asked["database"], virtual=False)
        self.server.mappings.append(made)
        self._answer(201, made)

    def _write(self, query: Mapping[str, str], body: bytes) -> None:
        is_3 = self.server.version.startswith("3")
        assert query["precision"] == "ns" and self.headers.get("Content-Encoding") == "gzip"
        if query["bucket"] not in self.server.buckets or (not is_3 and query["org"] != ORG["name"]):
            self._answer(404, {"code": "not found", "message": f'bucket "{query["bucket"]}" not found'})
            return
        wrong = [line for line in body.decode().splitlines() if not _LINE.fullmatch(line)]
        if wrong:
            self._answer(400, {"code": "invalid", "message": f"unable to parse {wrong[0]!r}"})
            return
        self.server.writes += 1
        passed = requests.post(
            f"{self.server.backend}/write", params={"db": query["bucket"], "precision": "ns"}, data=body, timeout=5
        )
        self._answer(passed.status_code, None if passed.status_code == 204 else passed.json())

    def _query(self, query: Mapping[str, str], body: bytes) -> None:
        if not self._is_mapped(query["db"]):
            self._answer(404, {"code": "not found", "message": "dbrp mapping not found"})
            return
        passed = requests.get(f"{self.server.backend}/query", params=query, timeout=5)
        self._answer(passed.status_code, passed.json())

    def _is_mapped(self, database: str) -> bool:
        virtual = self.server.has_virtual_mappings and database in self.server.buckets
        return virtual or any(one["database"] == database for one in self.server.mappings)

    def _delete(self, query: Mapping[str, str], body: bytes) -> None:
        asked = json.loads(body)
        found = re.fullmatch(r'submission="([^"]+)"', asked["predicate"])
        assert found is not None and query["org"] == ORG["name"] and asked["start"] < asked["stop"]
        statement = f"DROP SERIES WHERE \"submission\" = '{found[1]}'"
        requests.post(
            f"{self.server.backend}/query", params={"db": query["bucket"]}, data={"q": statement}, timeout=5
        ).raise_for_status()
        self._answer(204, None)

    def _answer(self, status: int, content: Any) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("X-Influxdb-Build", "OSS")
        if self.server.version.startswith("2"):
            self.send_header("X-Influxdb-Version", f"v{self.server.version}")
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _mapping(id: str, bucket: str, database: str, virtual: bool) -> dict[str, Any]:
    return {
        "id": id,
        "orgID": ORG["id"],
        "bucketID": bucket,
        "database": database,
        "retention_policy": "autogen",
        "default": True,
        "virtual": virtual,
    }
