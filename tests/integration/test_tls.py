"""TLS between everything: services, Redis, the command line; real servers with a certificate of the test's own."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import redis
import requests

from cli.stack.redis_server import find_redis_server
from common.domain.errors import Unavailable
from common.http.client import ServiceClient
from localcluster.tls import make
from tests.integration.test_cluster_check import free_ports
from tests.support.guard import ADMIN_TOKEN, SERVICE_TOKEN, bearer
from tests.support.service_process import ServiceProcess


class SecureService(ServiceProcess):
    """One that is spoken to with TLS."""

    def __init__(self, name: str, port: int, directory: Path, **settings: str) -> None:
        super().__init__(name, port, directory / f"{name}.log", **settings)
        self.url = f"https://127.0.0.1:{port}"
        self._ca = str(directory / "ca.crt")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=2, verify=self._ca).ok
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make(str(directory), ["127.0.0.1"])
    return directory


@pytest.fixture(scope="module")
def redis_url(directory: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    options = ("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory))
    identity = (
        *("--tls-cert-file", str(directory / "server.crt"), "--tls-key-file", str(directory / "server.key")),
        *("--tls-ca-cert-file", str(directory / "ca.crt"), "--tls-auth-clients", "no"),
    )
    process = subprocess.Popen([find_redis_server(), *options, *identity], stdout=subprocess.DEVNULL)
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={directory}/ca.crt"
    end = time.monotonic() + 10
    try:
        with redis.Redis.from_url(url) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.RedisError:
                    if process.poll() is not None:
                        pytest.skip("NOT TESTED: this redis-server has no TLS")
                    assert time.monotonic() < end
                    time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def manager(directory: Path, redis_url: str) -> Iterator[str]:
    ports = free_ports(2)
    settings = {
        "redis_url": redis_url,
        "authentication": "on",
        "service_token": SERVICE_TOKEN,
        "admin_token": ADMIN_TOKEN,
        "tls_certificate": str(directory / "server.crt"),
        "tls_key": str(directory / "server.key"),
        "tls_ca": str(directory / "ca.crt"),
        "controller_url": f"https://127.0.0.1:{ports[0]}",
        "monitor_url": "https://127.0.0.1:1",
        "kubeconfig": str(directory / "none"),
    }
    services = [
        SecureService(name, port, directory, **settings)
        for name, port in zip(("controller", "manager"), ports, strict=True)
    ]
    try:
        for service in services:
            service.start()
        yield services[1].url
    finally:
        for service in services:
            service.stop()


def test_services_speak_tls_to_each_other_and_to_redis(manager: str, directory: Path) -> None:
    document = {"run": "true", "workload": ["a"], "deadline": "1m", "control": {"law": "nonesuch"}}
    answer = requests.post(
        f"{manager}/submissions",
        json=document,
        headers=bearer(ADMIN_TOKEN),
        timeout=20,
        verify=str(directory / "ca.crt"),
    )
    assert answer.status_code == 400 and "nonesuch" in answer.text, "the controller was asked, and answered"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_the_command_line_trusts_who_it_is_told_to(manager: str, directory: Path) -> None:
    def asked(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", "whoami", "--manager", manager],
            env={**os.environ, "ASPERATHOS_TOKEN": ADMIN_TOKEN, **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert asked(ASPERATHOS_CA=str(directory / "ca.crt")).stdout == "operator (admin)\n"
    assert "SSLError" in asked().stderr


def test_the_images_health_check_asks_with_tls(manager: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("probe", Path(__file__).parents[2] / "images" / "probe.py")
    assert spec is not None and spec.loader is not None
    probe = module_from_spec(spec)
    spec.loader.exec_module(probe)
    monkeypatch.setattr(probe, "PORTS", {"manager": int(manager.rpartition(":")[2])})
    monkeypatch.setenv("ASPERATHOS_TLS_CERTIFICATE", str(directory / "server.crt"))
    probe.probe("manager")
    monkeypatch.delenv("ASPERATHOS_TLS_CERTIFICATE")
    with pytest.raises(OSError):
        probe.probe("manager")


def test_who_does_not_know_the_authority_says_nothing(manager: str, directory: Path) -> None:
    with pytest.raises(Unavailable, match="SSLError"):
        ServiceClient(manager, SERVICE_TOKEN, retries=0).get_json("/submissions")
    assert ServiceClient(manager, SERVICE_TOKEN, ca=str(directory / "ca.crt")).get_json("/submissions") == {}


def test_nothing_older_and_nothing_plain(manager: str) -> None:
    host, _, port = manager.removeprefix("https://").partition(":")
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{host}:{port}/healthz", timeout=5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)), socket.create_connection((host, int(port)), 5) as plain:
        context.wrap_socket(plain)
