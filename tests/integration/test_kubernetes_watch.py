"""The watch against a server that misbehaves on purpose: what is told is right and of known age, or Unavailable."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from common.adapters.kubernetes_cluster import KubernetesCluster
from common.adapters.kubernetes_watch import WatchSettings
from common.domain.errors import ClusterError, Unavailable

Eventually = Callable[..., None]
QUICK = WatchSettings(watch=30.0, broken=0.3, silence=30.0, failure=0.2, pause_base=0.02, pause_cap=0.1, idle=300.0)


def job(name: str, version: int, parallelism: int = 1) -> dict[str, Any]:
    labels = {"asperathos.io/submission": name.rpartition("-")[0], "asperathos.io/generation": "1"}
    return {
        "metadata": {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": labels},
        "spec": {"parallelism": parallelism, "completions": parallelism},
        "status": {},
    }


class Server:
    """Jobs with versions, lists and watches; pods there are none. ``refuse`` answers everything with that code, and
    ``refuse_watches`` the watches; ``expired`` versions are answered with 410."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.version = 10
        self.expired = 0
        self.refuse = 0
        self.refuse_watches = 0
        self.retry_after = ""
        self.cut = 0
        self.frozen = False
        self.muted = False
        self.lists = 0
        self.looks: list[str] = []
        """The submissions whose Jobs alone were listed."""
        self.resumed: list[int] = []
        """One for each watch that the client said was open again."""
        self.watches: list[dict[str, str]] = []
        self.asked: list[float] = []

    def put(self, name: str, parallelism: int = 1, quietly: bool = False) -> dict[str, Any]:
        with self.lock:
            self.version += 1
            kind = "MODIFIED" if name in self.jobs else "ADDED"
            self.jobs[name] = job(name, self.version, parallelism)
            if not quietly:
                self.events.append((self.version, kind, self.jobs[name]))
            self.lock.notify_all()
            return self.jobs[name]

    def drop(self, name: str, quietly: bool = False) -> None:
        with self.lock:
            self.version += 1
            gone = self.jobs.pop(name)
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
            if not quietly:
                self.events.append((self.version, "DELETED", gone))
            self.lock.notify_all()

    def tell(self, kind: str, document: dict[str, Any]) -> None:
        """An event of its own kind."""
        with self.lock:
            self.version += 1
            self.events.append((self.version, kind, document))
            self.lock.notify_all()

    def cut_watches(self) -> None:
        with self.lock:
            self.cut += 1
            self.lock.notify_all()

    def job_watches(self) -> int:
        return sum("jobs" in watch["path"] for watch in self.watches)


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            server.asked.append(time.monotonic())
            while server.frozen:
                time.sleep(0.01)
            if server.refuse:
                self.answer(server.refuse, {"kind": "Status", "message": "not now", "code": server.refuse})
            elif query.get("watch"):
                self.watch(url.path, query)
            elif url.path.endswith("/jobs"):
                _, _, submission = query["labelSelector"].partition("=")
                with server.lock:
                    server.lists += not submission
                    server.looks += [submission] if submission else []
                    jobs = [each for name, each in server.jobs.items() if name.startswith(submission)]
                    listed = {"metadata": {"resourceVersion": str(server.version)}, "items": jobs}
                self.answer(200, listed)
            elif url.path.endswith("/pods"):
                self.answer(200, {"metadata": {"resourceVersion": str(server.version)}, "items": []})
            else:
                self.answer(200, {"gitVersion": "v1.36.0"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, server.put(body["metadata"]["name"], quietly=server.muted))

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.drop(self.path.rpartition("/")[2], quietly=server.muted)
            self.answer(200, {"kind": "Status", "status": "Success"})

        def watch(self, path: str, query: dict[str, str]) -> None:
            server.watches.append({**query, "path": path})
            since = int(query["resourceVersion"])
            if server.refuse_watches:
                self.answer(server.refuse_watches, {"kind": "Status", "message": "no watch", "reason": "Forbidden"})
                return
            if since < server.expired:
                self.answer(410, {"kind": "Status", "reason": "Expired", "message": "too old", "code": 410})
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            end, cut = time.monotonic() + float(query["timeoutSeconds"]), server.cut
            while time.monotonic() < end:
                with server.lock:
                    due = [] if "pods" in path else [event for event in server.events if event[0] > since]
                    if not due:
                        server.lock.wait(0.02)
                for version, kind, document in due:
                    since = version
                    data = json.dumps({"type": kind, "object": document}).encode() + b"\n"
                    half = len(data) // 2
                    for part in (data[:half], data[half:]):
                        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                if server.cut != cut:
                    self.close_connection = True
                    return
            self.wfile.write(b"0\r\n\r\n")

        def answer(self, status: int, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", server.retry_after)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go in the middle of answers here."""


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def connect(server: Server, tmp_path: Path) -> Iterator[Callable[[WatchSettings], KubernetesCluster]]:
    http = Quiet(("127.0.0.1", 0), handler_of(server))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: t}}]\n"
        f"clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{http.server_port}'}}}}]\n"
    )
    made: list[KubernetesCluster] = []

    def new(settings: WatchSettings) -> KubernetesCluster:
        made.append(
            KubernetesCluster(str(kubeconfig), timeout=0.5, watching=settings, resumed=lambda: server.resumed.append(1))
        )
        return made[-1]

    yield new
    server.frozen = False
    for cluster in made:
        cluster.close()
    server.cut_watches()
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def cluster(connect: Callable[[WatchSettings], KubernetesCluster]) -> KubernetesCluster:
    return connect(QUICK)


def size(cluster: KubernetesCluster, id: str) -> int | None:
    seen = cluster.views("default").get(id)
    return seen.jobs[0].parallelism if seen and seen.jobs else None


def test_one_list_and_one_watch_however_many_ask(
    server: Server, cluster: KubernetesCluster, eventually: Eventually
) -> None:
    server.put("kj-1-g1")
    threads = [threading.Thread(target=cluster.views, args=("default",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(200):
        assert cluster.view("default", "kj-1").jobs
    eventually(lambda: server.job_watches() == 1)
    assert server.lists == 1
    watch = next(watch for watch in server.watches if "jobs" in watch["path"])
    assert watch["labelSelector"] == "asperathos.io/submission"
    assert watch["allowWatchBookmarks"] == "true"
    assert watch["resourceVersion"] == "11"


def test_events_arrive_without_asking_again(server: Server, cluster: KubernetesCluster, eventually: Eventually) -> None:
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    server.put("kj-1-g1", 4)
    eventually(lambda: size(cluster, "kj-1") == 4)
    server.drop("kj-1-g1")
    eventually(lambda: size(cluster, "kj-1") is None)
    assert server.lists == 1


def test_a_watch_resumes_where_it_broke(server: Server, cluster: KubernetesCluster, eventually: Eventually) -> None:
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    eventually(lambda: server.job_watches() == 1)
    server.tell("BOOKMARK", {"metadata": {"resourceVersion": "12"}})
    eventually(lambda: cluster._mirrors("default").jobs.mirror.version == 12)
    server.cut_watches()
    server.put("kj-1-g1", 7)
    eventually(lambda: size(cluster, "kj-1") == 7)
    assert server.lists == 1
    assert [watch["resourceVersion"] for watch in server.watches if "jobs" in watch["path"]][1] == "12"


@pytest.mark.parametrize("told", ["in the answer", "in an event"])
def test_an_expired_version_is_listed_anew(
    server: Server, cluster: KubernetesCluster, eventually: Eventually, told: str
) -> None:
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    eventually(lambda: server.job_watches() == 1)
    server.put("kj-1-g1", 3, quietly=True)
    if told == "in the answer":
        server.expired = server.version
        server.cut_watches()
    else:
        server.tell("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
    eventually(lambda: size(cluster, "kj-1") == 3)
    assert server.lists == 2


def test_a_server_that_began_anew_is_believed(
    server: Server, cluster: KubernetesCluster, eventually: Eventually
) -> None:
    server.version = 5000
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    server.refuse = 503
    server.cut_watches()
    server.jobs.clear()
    server.events.clear()
    server.version = 3
    server.put("kj-2-g1", 2)
    with pytest.raises(Unavailable):
        eventually(lambda: size(cluster, "kj-1") is None, within=5)
    server.refuse = 0

    def is_new() -> bool:
        try:
            return size(cluster, "kj-2") == 2 and size(cluster, "kj-1") is None
        except Unavailable:
            return False

    eventually(is_new)


def test_own_writes_are_seen_though_the_watch_is_late(server: Server, cluster: KubernetesCluster) -> None:
    assert cluster.views("default") == {}
    server.muted = True
    labels = {"asperathos.io/submission": "kj-1"}
    manifest = {"metadata": {"name": "kj-1-g1", "namespace": "default", "labels": labels}}
    assert cluster.create_job(manifest)
    assert size(cluster, "kj-1") == 1
    assert cluster.delete_job("default", "kj-1-g1")
    assert size(cluster, "kj-1") is None


def test_a_write_to_one_submission_is_no_reason_to_list_all(server: Server, cluster: KubernetesCluster) -> None:
    for number in range(1, 4):
        server.put(f"kj-{number}-g1")
    assert len(cluster.views("default")) == 3
    server.muted = True
    assert cluster.delete_job("default", "kj-1-g1")
    assert cluster.view("default", "kj-2").jobs
    assert (server.lists, server.looks) == (1, [])
    assert cluster.view("default", "kj-1").jobs == ()
    assert (server.lists, server.looks) == (1, ["kj-1"])
    assert sorted(cluster.views("default")) == ["kj-2", "kj-3"]
    assert server.lists == 1, "what was looked at is known"


def test_what_was_looked_at_counts_until_the_watch_has_come_as_far(
    server: Server, cluster: KubernetesCluster, eventually: Eventually
) -> None:
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    server.muted = True
    labels = {"asperathos.io/submission": "kj-2"}
    assert cluster.create_job({"metadata": {"name": "kj-2-g1", "namespace": "default", "labels": labels}})
    assert cluster.view("default", "kj-2").jobs[0].parallelism == 1
    server.put("kj-2-g1", 5)
    eventually(lambda: cluster.view("default", "kj-2").jobs[0].parallelism == 5)
    assert server.lists == 1


def test_writes_that_nobody_looks_at_are_forgotten_by_a_list(
    server: Server, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.adapters.kubernetes_watch._MOST_OWED", 2)
    for number in range(1, 5):
        server.put(f"kj-{number}-g1")
    assert len(cluster.views("default")) == 4
    server.muted = True
    for number in range(1, 4):
        assert cluster.delete_job("default", f"kj-{number}-g1")
    assert cluster.view("default", "kj-4").jobs
    assert (server.lists, server.looks) == (2, [])
    assert cluster._mirrors("default").jobs._owed == {}


def test_absence_is_checked_before_it_is_told(server: Server, cluster: KubernetesCluster) -> None:
    assert cluster.view("default", "kj-1").jobs == ()
    server.put("kj-1-g1", 2, quietly=True)
    time.sleep(0.55)
    assert cluster.view("default", "kj-1").jobs[0].parallelism == 2


def test_a_watch_that_stays_broken_tells_nothing_and_resumes(
    server: Server, cluster: KubernetesCluster, eventually: Eventually
) -> None:
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    server.refuse = 503
    server.cut_watches()
    server.put("kj-1-g1", 2)

    def is_told() -> bool:
        try:
            cluster.views("default")
        except Unavailable as error:
            return "not now" in error.message
        return False

    eventually(is_told)
    server.refuse = 0
    eventually(lambda: not is_told())
    assert size(cluster, "kj-1") == 2
    eventually(lambda: server.resumed)


def test_a_server_that_falls_silent_is_noticed(
    server: Server, connect: Callable[[WatchSettings], KubernetesCluster], eventually: Eventually
) -> None:
    cluster = connect(WatchSettings(watch=30.0, silence=0.2, failure=0.1))
    server.put("kj-1-g1", 1)
    assert size(cluster, "kj-1") == 1
    server.frozen = True
    time.sleep(0.25)
    with pytest.raises(Unavailable, match="timed out"):
        cluster.views("default")
    server.frozen = False
    eventually(lambda: _answers(cluster))
    assert server.lists == 1


def test_a_watch_that_is_never_ended_is_broken(
    server: Server, connect: Callable[[WatchSettings], KubernetesCluster], eventually: Eventually
) -> None:
    cluster = connect(WatchSettings(watch=1.0, broken=0.3, silence=60.0))
    cluster.views("default")
    eventually(lambda: server.job_watches() == 3, within=20)
    assert _answers(cluster)
    assert server.lists == 1


def test_a_refused_watch_keeps_its_reason(server: Server, cluster: KubernetesCluster, eventually: Eventually) -> None:
    server.refuse_watches = 403

    def is_refused() -> bool:
        try:
            cluster.views("default")
        except ClusterError as error:
            return error.reason == "Forbidden"
        return False

    eventually(is_refused)


def test_many_clients_do_not_come_back_at_once(
    server: Server, connect: Callable[[WatchSettings], KubernetesCluster], eventually: Eventually
) -> None:
    settings = WatchSettings(watch=30.0, broken=5.0, silence=60.0, pause_base=0.2, pause_cap=1.0)
    clusters = [connect(settings) for _ in range(8)]
    for cluster in clusters:
        cluster.views("default")
    eventually(lambda: server.job_watches() == 8)
    server.refuse = 503
    server.asked.clear()
    server.cut_watches()
    time.sleep(2.0)
    # Sixteen watches. Without growing pauses each would have come back eight times by now.
    assert 16 <= len(server.asked) < 16 * 7
    server.refuse = 0
    eventually(lambda: server.job_watches() >= 16)


def test_an_overloaded_server_is_left_alone_as_long_as_it_asks(
    server: Server, connect: Callable[[WatchSettings], KubernetesCluster], eventually: Eventually
) -> None:
    cluster = connect(WatchSettings(watch=30.0, broken=5.0, silence=60.0, pause_base=0.02, pause_cap=0.04))
    cluster.views("default")
    eventually(lambda: server.job_watches() == 1)
    server.refuse_watches, server.retry_after = 429, "1"
    server.cut_watches()
    eventually(lambda: server.job_watches() == 2)
    refused_at = time.monotonic()
    server.refuse_watches = 0
    eventually(lambda: server.job_watches() == 3)
    assert time.monotonic() - refused_at > 0.9, "without Retry-After it would have come back within 0.04 s"


def test_a_watch_nobody_looks_at_ends(
    server: Server, connect: Callable[[WatchSettings], KubernetesCluster], eventually: Eventually
) -> None:
    cluster = connect(WatchSettings(watch=1.0, idle=0.5))
    cluster.views("default")
    follower = cluster._mirrors("default").jobs
    eventually(lambda: follower._thread is None)
    server.put("kj-1-g1", 2)
    assert size(cluster, "kj-1") == 2


def test_closing_ends_the_threads(server: Server, cluster: KubernetesCluster, eventually: Eventually) -> None:
    cluster.views("default")
    eventually(lambda: len(server.watches) == 2)
    names = [thread for thread in threading.enumerate() if thread.name.startswith("watch ")]
    assert len(names) == 2
    began = time.monotonic()
    cluster.close()
    assert not any(thread.is_alive() for thread in names)
    assert time.monotonic() - began < 4


def _answers(cluster: KubernetesCluster) -> bool:
    try:
        cluster.views("default")
    except Unavailable:
        return False
    return True
