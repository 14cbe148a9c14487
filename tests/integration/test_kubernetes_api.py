"""The adapter against a server that misbehaves on purpose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.domain.errors import ClusterError, Unavailable
from tests.fakes.clock import FakeClock


class Script:
    """Answers in order: (status, body, headers); the last one is repeated. ``seen`` holds (method, path, body)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any, dict[str, str]]] = [(200, {"gitVersion": "v1.36.0", "items": []}, {})]
        self.seen: list[tuple[str, str, Any]] = []
        self.tokens: list[str] = []

    def will(self, *answers: tuple[int, Any] | tuple[int, Any, dict[str, str]]) -> None:
        self.answers = [(answer[0], answer[1], answer[2] if len(answer) == 3 else {}) for answer in answers]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def cluster(script: Script, tmp_path: Path) -> Iterator[KubernetesCluster]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.seen.append((self.command, self.path, json.loads(body) if body else None))
            script.tokens.append(self.headers.get("Authorization", ""))
            status, document, headers = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: our-token}}]\n"
        f"clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{server.server_port}'}}}}]\n"
    )
    yield KubernetesCluster(str(kubeconfig), clock=CLOCK.renew())
    server.shutdown()
    server.server_close()
    thread.join()


class _Clock(FakeClock):
    def renew(self) -> _Clock:
        self.slept.clear()
        return self


CLOCK = _Clock()


def status(code: int, reason: str, message: str = "no") -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


def job(version: str = "7", **fields: Any) -> tuple[int, dict[str, Any]]:
    return 200, {
        "metadata": {"name": "kj-1-g1", "namespace": "default", "resourceVersion": version, "labels": {}},
        "spec": {"parallelism": 2, "completions": 2, **fields.pop("spec", {})},
        "status": {},
        **fields,
    }


def test_the_kubeconfigs_token_is_shown(script: Script, cluster: KubernetesCluster) -> None:
    assert cluster.version() == "v1.36.0"
    assert script.tokens == ["Bearer our-token"]


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(script: Script, cluster: KubernetesCluster, code: int) -> None:
    script.will((code, b"<html>oh</html>"), (200, {"gitVersion": "v1.30.0"}))
    assert cluster.version() == "v1.30.0"
    assert len(script.seen) == 2


def test_an_overloaded_server_is_given_the_time_it_asks_for(script: Script, cluster: KubernetesCluster) -> None:
    script.will((*status(429, "TooManyRequests"), {"Retry-After": "2"}), (200, {"gitVersion": "v1.30.0"}))
    assert cluster.version() == "v1.30.0"
    assert CLOCK.slept == [2.0]


def test_patience_has_an_end(script: Script, cluster: KubernetesCluster) -> None:
    script.will((503, status(503, "ServiceUnavailable", "etcd is gone")[1]))
    with pytest.raises(Unavailable, match="etcd is gone"):
        cluster.version()
    assert len(script.seen) == 3
    script.seen.clear()
    script.will((*status(429, "TooManyRequests"), {"Retry-After": "3600"}))
    with pytest.raises(Unavailable):
        cluster.version()
    assert len(script.seen) == 1


def test_a_refusal_is_not_repeated_and_keeps_its_reason(script: Script, cluster: KubernetesCluster) -> None:
    script.will(status(403, "Forbidden", "jobs is forbidden"))
    with pytest.raises(ClusterError, match="jobs is forbidden") as refused:
        cluster.create_job({"metadata": {"namespace": "default", "name": "x"}})
    assert refused.value.reason == "Forbidden"
    assert len(script.seen) == 1


def test_a_lost_answer_to_a_creation_is_no_error(script: Script, cluster: KubernetesCluster) -> None:
    script.will((502, b""), status(409, "AlreadyExists"))
    assert not cluster.create_job({"metadata": {"namespace": "default", "name": "x"}})


def test_scaling_reads_again_when_the_job_changed_meanwhile(script: Script, cluster: KubernetesCluster) -> None:
    script.will(job("7"), status(409, "Conflict"), job("8"), job("9", spec={"parallelism": 5, "completions": 5}))
    scaled = cluster.scale_job("default", "kj-1-g1", 5)
    assert scaled is not None
    assert scaled.requested == 5
    patches = [body for method, _, body in script.seen if method == "PATCH"]
    assert [patch["metadata"]["resourceVersion"] for patch in patches] == ["7", "8"]
    assert patches[-1]["spec"] == {"suspend": False, "completions": 5, "parallelism": 5}


def test_scaling_patches_nothing_when_nothing_changes(script: Script, cluster: KubernetesCluster) -> None:
    script.will(job())
    assert cluster.scale_job("default", "kj-1-g1", 2) is not None
    script.will(job(spec={"suspend": True}))
    assert cluster.scale_job("default", "kj-1-g1", 0) is not None
    assert [method for method, _, _ in script.seen] == ["GET", "GET"]


@pytest.mark.parametrize("condition", ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"])
def test_a_job_that_ends_is_never_patched(script: Script, cluster: KubernetesCluster, condition: str) -> None:
    script.will(job(status={"conditions": [{"type": condition, "status": "True"}]}))
    assert cluster.scale_job("default", "kj-1-g1", 9) is None
    ended = job(status={"conditions": [{"type": condition, "status": "True"}]})
    script.will(job(), status(409, "Conflict"), ended)
    assert cluster.scale_job("default", "kj-1-g1", 9) is None
    assert [method for method, _, _ in script.seen] == ["GET", "GET", "PATCH", "GET"]


def test_a_job_that_always_changes_is_an_error_in_the_end(script: Script, cluster: KubernetesCluster) -> None:
    script.will(*[job(), status(409, "Conflict")] * 20)
    with pytest.raises(ClusterError) as refused:
        cluster.scale_job("default", "kj-1-g1", 9)
    assert refused.value.reason == "Conflict"


def test_something_else_than_kubernetes_is_an_error(script: Script, cluster: KubernetesCluster) -> None:
    script.will((200, b"<html>welcome</html>"))
    with pytest.raises(ClusterError, match="not JSON"):
        cluster.version()
