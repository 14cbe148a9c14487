"""The four services of this checkout as processes of this machine, with the cluster that TEST_KUBECONFIG names.

Each service has a service account of its own there with the permissions of ``k8s/base/rbac.yaml`` and no others, and
reaches the API server through a relay that can be cut. Everything in the cluster is in one namespace (and carries the
label ``asperathos.io/test``), so that the end of a run leaves nothing.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from common.adapters.kubernetes_api import ApiSettings, KubernetesApi
from common.adapters.kubernetes_views import seconds
from common.clock import SystemClock
from common.domain.errors import ClusterError
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess
from tests.support.stack_process import StackProcess
from tests.support.tcp_relay import TcpRelay

BASE = Path(__file__).resolve().parents[2] / "k8s" / "base"
LABEL = "asperathos.io/test"
RUN = "stack"
SERVICES = ("manager", "controller", "monitor")
LEFT_OVER = 3600.0
"""Seconds after which what carries our label was left behind by a killed run."""
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ClusterSettings:
    """``host``: this machine as pods reach it. ``image`` has Python, ``curl_image`` a shell and curl."""

    kubeconfig: Path
    host: str
    image: str
    curl_image: str

    @classmethod
    def from_environment(cls) -> ClusterSettings | None:
        """What TEST_KUBECONFIG, TEST_HOST, TEST_IMAGE and TEST_CURL_IMAGE say; None when no cluster is named."""
        kubeconfig = os.environ.get("TEST_KUBECONFIG", "")
        if not kubeconfig:
            return None
        return cls(
            kubeconfig=Path(kubeconfig),
            host=os.environ.get("TEST_HOST", "") or _address_towards(Kubeconfig(Path(kubeconfig)).address),
            image=os.environ.get("TEST_IMAGE", "python:3.12-slim"),
            curl_image=os.environ.get("TEST_CURL_IMAGE", "curlimages/curl:8.16.0"),
        )


class Kubeconfig:
    """The current context of a kubeconfig: where its server is and how that is recognised."""

    def __init__(self, path: Path) -> None:
        document = yaml.safe_load(path.read_text())
        context = _named(document["contexts"], document["current-context"])["context"]
        self._cluster = dict(_named(document["clusters"], context["cluster"])["cluster"])
        authority = self._cluster.pop("certificate-authority", None)
        if authority is not None:
            content = (path.parent / authority).read_bytes()
            self._cluster["certificate-authority-data"] = base64.b64encode(content).decode()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of its server."""
        parts = urlsplit(self._cluster["server"])
        return str(parts.hostname), parts.port or 443

    def through(self, port: int, token: str) -> dict[str, Any]:
        """The same server by a port of this machine, as the owner of ``token``."""
        cluster = {"tls-server-name": self.address[0], **self._cluster, "server": f"https://127.0.0.1:{port}"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tested", "cluster": cluster}],
            "users": [{"name": "service", "user": {"token": token}}],
            "contexts": [{"name": "tested", "context": {"cluster": "tested", "user": "service"}}],
            "current-context": "tested",
        }


class Home:
    """A namespace of the cluster for one run, and the service accounts of the services in it."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self.namespace = f"asperathos-test-{uuid.uuid4().hex[:6]}"

    def prepare(self) -> None:
        """Make everything; what killed runs have left is removed first."""
        self._remove_leftovers()
        (_, jobs) = yaml.safe_load_all((BASE / "namespaces.yaml").read_text())
        self._make("/api/v1/namespaces", jobs, self.namespace)
        for service in SERVICES:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {}}
            self._make(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", account, service)
        for document in yaml.safe_load_all((BASE / "rbac.yaml").read_text()):
            self._grant(document)

    def token(self, service: str) -> str:
        """A new token of the service's account."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 4 * 3600},
        }
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{service}/token"
        return str(self._api.call("POST", path, body=request).json()["status"]["token"])

    def remove(self) -> None:
        """Remove all of it, and wait until the namespace is gone."""
        self._delete(f"/api/v1/namespaces/{self.namespace}")
        for plural in ("clusterrolebindings", "clusterroles"):
            path = f"/apis/rbac.authorization.k8s.io/v1/{plural}"
            for made in self._ours(path):
                if made["metadata"]["name"].startswith(f"{self.namespace}-"):
                    self._delete(f"{path}/{made['metadata']['name']}")
        end = time.monotonic() + 120
        while self._exists(f"/api/v1/namespaces/{self.namespace}"):
            assert time.monotonic() < end, f"namespace {self.namespace} does not go"
            time.sleep(0.5)

    def _grant(self, document: dict[str, Any]) -> None:
        """A role or a binding of the base, in our namespace; what belongs to none is named after it."""
        plural = f"{document['kind'].lower()}s"
        is_namespaced = "namespace" in document["metadata"]
        place = f"namespaces/{self.namespace}/{plural}" if is_namespaced else plural
        prefix = "" if is_namespaced else f"{self.namespace}-"
        name = prefix + document["metadata"]["name"]
        if "roleRef" in document:
            document["roleRef"]["name"] = prefix + document["roleRef"]["name"]
        for subject in document.get("subjects", ()):
            subject["namespace"] = self.namespace
        self._make(f"/apis/rbac.authorization.k8s.io/v1/{place}", document, name)

    def _make(self, path: str, document: dict[str, Any], name: str) -> None:
        metadata = document["metadata"]
        labels = {**metadata.get("labels", {}), LABEL: RUN}
        document["metadata"] = {"name": name, "labels": labels}
        self._api.call("POST", path, body=document)

    def _remove_leftovers(self) -> None:
        roles = "/apis/rbac.authorization.k8s.io/v1"
        for path in ("/api/v1/namespaces", f"{roles}/clusterrolebindings", f"{roles}/clusterroles"):
            for left in self._ours(path):
                if time.time() - (seconds(left["metadata"]["creationTimestamp"]) or 0.0) > LEFT_OVER:
                    self._delete(f"{path}/{left['metadata']['name']}")

    def _ours(self, path: str) -> list[dict[str, Any]]:
        """What any run has made there."""
        listed: list[dict[str, Any]] = self._api.call("GET", path, [("labelSelector", f"{LABEL}={RUN}")]).json()[
            "items"
        ]
        return listed

    def _delete(self, path: str) -> None:
        try:
            self._api.call("DELETE", path)
        except ClusterError as error:
            # Somebody else's run may be removing it, too.
            if error.reason not in ("NotFound", "Conflict"):
                raise

    def _exists(self, path: str) -> bool:
        try:
            self._api.call("GET", path)
        except ClusterError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True


class ClusterStack(StackProcess):
    """The services, a Redis that pods reach, and the cluster. ``api`` is the tester's own access to it."""

    def __init__(self, home: Path, settings: ClusterSettings) -> None:
        super().__init__(home)
        self.settings = settings
        self.api = KubernetesApi(
            ApiSettings(kubeconfig=str(settings.kubeconfig), budget=20.0, attempts=5), SystemClock()
        )
        self._kubeconfig = Kubeconfig(settings.kubeconfig)
        self.relay = TcpRelay(self._kubeconfig.address)
        self._home = Home(self.api)
        self.service_token = secrets.token_hex(16)
        self.redis = RedisProcess(home, host=settings.host, password=secrets.token_hex(16))
        self._services: list[ServiceProcess] = []

    @property
    def namespace(self) -> str:
        """Where submissions run."""
        return self._home.namespace

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._home.prepare()
        self.redis.start()
        ports = dict(zip((*SERVICES, "visualizer"), _free_ports(self.settings.host, 4), strict=True))
        hosts = {name: self.settings.host if name == "manager" else "127.0.0.1" for name in ports}
        urls = {name: f"http://{hosts[name]}:{port}" for name, port in ports.items()}
        common = {
            "redis_url": self.redis.url,
            "service_token": self.service_token,
            # Pods of a real cluster reach the manager at an address that is not of loopback.
            "authentication": "off",
            "namespace": self.namespace,
            "log_json": "true",
            "default_image": self.settings.image,
            "host_paths": '["/var"]',
            **{f"{name}_url": url for name, url in urls.items()},
        }
        for name, port in ports.items():
            own = {"bind": hosts[name], "kubeconfig": str(self._write_kubeconfig(name)), **common}
            service = ServiceProcess(name, port, self.home / f"{name}.log", **own)
            self._services.append(service)
            service.start()
        self.addresses = {**urls, "kubeconfig": str(self.settings.kubeconfig)}

    def stop(self) -> int:
        for service in reversed(self._services):
            service.stop()
        self.relay.cut()
        self.redis.stop()
        self._home.remove()
        self.api.close()
        return 0

    def kubeconfig_of(self, service: str) -> dict[str, Any]:
        """A kubeconfig with the rights of one service."""
        return self._kubeconfig.through(self.relay.port, self._home.token(service))

    def logs(self) -> str:
        """What the services have logged."""
        return "".join(service.log.read_text() for service in self._services)

    def _write_kubeconfig(self, service: str) -> Path:
        path = self.home / f"{service}.kubeconfig"
        path.touch(mode=0o600)
        if service in SERVICES:
            path.write_text(json.dumps(self.kubeconfig_of(service)))
        return path


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _address_towards(target: tuple[str, int]) -> str:
    """This machine's address on the way to the target, which pods of its network reach, too, as a rule."""
    if target[0] in _LOCAL:
        raise RuntimeError("the API server is on loopback: TEST_HOST must say by which address pods reach this machine")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def _free_ports(host: str, count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
