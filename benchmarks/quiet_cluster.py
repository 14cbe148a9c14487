"""A Kubernetes API in which nothing happens: Jobs and running pods of many submissions to list, and silent watches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from common.domain.cluster import GENERATION_LABEL, ROLE_LABEL, SUBMISSION_LABEL, WORKER_ROLE

_BEGAN = "2026-01-01T00:00:00Z"


@contextmanager
def quiet_cluster(directory: Path, submissions: Sequence[str], pods: int) -> Iterator[Path]:
    """Serves a namespace in which each submission has one Job and so many running pods; the kubeconfig's path."""
    answers = {
        "jobs": _list([_job(id, pods) for id in submissions]),
        "pods": _list([_pod(id, index) for id in submissions for index in range(pods)]),
        "metrics": _list([_usage(id, index) for id in submissions for index in range(pods)]),
        "version": json.dumps({"gitVersion": "v1.33.0"}).encode(),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(_kubeconfig(server.server_address[1]))
    try:
        yield kubeconfig
    finally:
        server.shutdown()
        server.server_close()


def _handler(answers: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            query = parse_qs(target.query)
            if query.get("watch", [""])[0] in ("1", "true"):
                self._watch(float(query.get("timeoutSeconds", ["20"])[0]))
                return
            kind = "metrics" if "/apis/metrics.k8s.io/" in target.path else target.path.rsplit("/", 1)[-1]
            self._answer(200 if kind in answers else 404, answers.get(kind, b"{}"))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _watch(self, seconds: float) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            time.sleep(seconds)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _list(items: list[dict[str, Any]]) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()


def _metadata(id: str, name: str) -> dict[str, Any]:
    labels = {SUBMISSION_LABEL: id, GENERATION_LABEL: "1", ROLE_LABEL: WORKER_ROLE}
    return {
        "name": name,
        "namespace": "default",
        "labels": labels,
        "resourceVersion": "1",
        "creationTimestamp": _BEGAN,
    }


def _job(id: str, pods: int) -> dict[str, Any]:
    return {
        "metadata": _metadata(id, f"{id}-g1"),
        "spec": {"completionMode": "Indexed", "completions": pods, "parallelism": pods},
        "status": {"active": pods, "ready": pods},
    }


def _pod(id: str, index: int) -> dict[str, Any]:
    return {
        "metadata": _metadata(id, f"{id}-g1-{index}"),
        "spec": {"nodeName": "quiet"},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "worker", "state": {"running": {"startedAt": _BEGAN}}}],
        },
    }


def _usage(id: str, index: int) -> dict[str, Any]:
    return {
        "metadata": _metadata(id, f"{id}-g1-{index}"),
        "timestamp": _BEGAN,
        "window": "15s",
        "containers": [{"name": "worker", "usage": {"cpu": "250m", "memory": "64Mi"}}],
    }


def _kubeconfig(port: int) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "quiet", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "quiet", "user": {"token": "none"}}],
            "contexts": [{"name": "quiet", "context": {"cluster": "quiet", "user": "quiet"}}],
            "current-context": "quiet",
        }
    )
