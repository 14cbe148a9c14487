"""A Kubernetes API server that does nothing but write down which access each request would have taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from common.domain.access import Access

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class ApiRecorder:
    """``seen`` are the accesses asked for so far; access reviews and the version are free for everybody."""

    def __init__(self) -> None:
        self.seen: set[Access] = set()

    @contextmanager
    def serving(self, directory: Path) -> Iterator[Path]:
        """Serve on loopback; the kubeconfig's path."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(server.server_address[1]))
        try:
            yield kubeconfig
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                access = access_of(self.command, self.path)
                if access is not None:
                    recorder.seen.add(access)
                body = json.dumps(_object(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def access_of(method: str, target: str) -> Access | None:
    """What Kubernetes' authorization makes of a request; None for what every account may do."""
    parts = urlsplit(target)
    steps = [step for step in parts.path.split("/") if step]
    if steps[0] == "version" or "authorization.k8s.io" in steps:
        return None
    group = "" if steps[0] == "api" else steps[1]
    rest = steps[2:] if steps[0] == "api" else steps[3:]
    namespaced = rest[0] == "namespaces"
    if namespaced and len(rest) > 2:
        rest = rest[2:]
    resource, name, subresource = [*rest, "", "", ""][:3]
    verb = _VERBS.get(method)
    if method == "GET":
        watches = parse_qs(parts.query).get("watch", [""])[0] in ("1", "true", "True")
        verb = "watch" if watches else "get" if name else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    assert verb is not None, method
    return Access(verb, resource, group, subresource, namespaced)


def _object(target: str) -> dict[str, Any]:
    """Something a client can read: any single object or list at once."""
    return {
        "metadata": {"name": "x", "namespace": "default", "uid": "x", "resourceVersion": "1", "labels": {}},
        "spec": {"completions": 1, "parallelism": 1},
        "status": {"allowed": True, "conditions": [{"type": "Suspended", "status": "True"}]},
        "items": [],
        "gitVersion": "v1.33.0",
    }


def _kubeconfig(port: int) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "x", "user": {"token": "x"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
    )
