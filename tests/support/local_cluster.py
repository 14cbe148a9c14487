"""A localcluster process of a test's own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 20.0


@dataclass
class LocalClusterProcess:
    """Start, kill and restart ``python -m localcluster`` on one state directory; ``call`` speaks to its API."""

    state_dir: Path
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    token: str = ""
    _context: ssl.SSLContext | None = None

    @property
    def kubeconfig(self) -> Path:
        """What clients are configured with."""
        return self.state_dir / "kubeconfig"

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.state_dir.parent / f"{self.state_dir.name}.log"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> LocalClusterProcess:
        """Start and wait until it answers."""
        self.kubeconfig.unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "localcluster", "--state-dir", str(self.state_dir), *self.flags],
                cwd=ROOT,
                stderr=log,
                stdout=log,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **self.environment},
            )
        end = time.monotonic() + START_SECONDS
        while not self.kubeconfig.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"localcluster did not start: {self.log_path.read_text()}")
            time.sleep(0.01)
        document = json.loads(self.kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self.url, self.token = cluster["server"], document["users"][0]["user"]["token"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        return self

    def kill(self) -> None:
        """kill -9 of the server."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            # The fault handler writes down where every thread is.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(STOP_SECONDS)
            raise AssertionError(f"localcluster did not stop: {self.log_path.read_text()[-8000:]}") from error

    def agent_pid(self) -> int:
        """The node agent's process id."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        found = [int(pid) for pid in children] or _children(self.pid)
        assert len(found) == 1, found
        return found[0]

    def open(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", timeout: float = 20.0
    ) -> Any:
        """An open response; HTTP errors raise urllib's HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=timeout, context=self._context)

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The decoded answer, success or Status."""
        try:
            with self.open(method, path, body, content_type) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())

    def text(self, path: str) -> str:
        """A text answer."""
        with self.open("GET", path) as response:
            return str(response.read().decode())

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        """The pods of the default namespace."""
        query = f"?labelSelector={selector}" if selector else ""
        found: list[dict[str, Any]] = self.call("GET", f"/api/v1/namespaces/default/pods{query}")["items"]
        return found

    def pod(self, name: str) -> dict[str, Any]:
        """One pod (or the Status that says there is none)."""
        found: dict[str, Any] = self.call("GET", f"/api/v1/namespaces/default/pods/{name}")
        return found

    def job(self, name: str) -> dict[str, Any]:
        """One Job."""
        found: dict[str, Any] = self.call("GET", f"/apis/batch/v1/namespaces/default/jobs/{name}")
        return found

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about an object."""
        path = f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={name}"
        return [(item["reason"], item["message"]) for item in self.call("GET", path)["items"]]

    def marked_processes(self) -> list[int]:
        """Processes that belong to containers of any local cluster with this state directory in their environment."""
        found = []
        needle = str(self.state_dir).encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environ = (entry / "environ").read_bytes()
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if b"ASPERATHOS_LOCALCLUSTER_POD=" in environ and needle in environ and state != "Z":
                    found.append(int(entry.name))
        return found


def _children(pid: int) -> list[int]:
    """Children of every thread of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def python_container(code: str, **fields: Any) -> dict[str, Any]:
    """A container that runs Python code."""
    return {"name": "main", "image": "python:3.12", "command": ["python3", "-u", "-c", code], **fields}


def pod_object(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod that is not restarted and ends quickly."""
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def job_object(name: str, container: dict[str, Any], count: int = 1, **spec: Any) -> dict[str, Any]:
    """An elastic Indexed Job as the suite makes it."""
    template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]}}
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [143]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    body = {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": count,
        "backoffLimitPerIndex": 1000,
        "podFailurePolicy": {"rules": rules},
        "template": template,
        **spec,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"app": name}}, "spec": body}
