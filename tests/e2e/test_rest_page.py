"""docs/rest.md names every route of the four services, no other, and runs from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from shutil import which

import pytest

from common.bootstrap import Roles
from tests.integration.test_cluster_check import free_ports
from tests.support.local_cluster import LocalClusterProcess
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

pytestmark = pytest.mark.e2e
PAGE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
SCRIPT = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SERVICES = ("controller", "monitor", "visualizer", "manager")
TOKEN = "what-the-services-share"
UNTOLD = {"GET /favicon.ico", "GET /static/:"}
"""What the pages load by themselves."""


def shown() -> dict[str, set[str]]:
    """The calls on the page by service, with ``:`` for whatever names something."""
    found: dict[str, set[str]] = {name: set() for name in SERVICES}
    for line in re.sub(r"\\\n", " ", SCRIPT).splitlines():
        for match in re.finditer(r'\$([A-Z_]+|service)(/[^\s"|?;)]*)', line.partition("#")[0]):
            host, path = match.groups()
            method = next(iter(re.findall(r"-X ([A-Z]+)", line)), "POST" if "tell" in line else "GET")
            if host == "ASPERATHOS_ITEMS_URL":
                host, path, method = "MANAGER", f"/submissions/$id/items{path}", "POST"
            path = re.sub(r"\$\w+", ":", path)
            path = re.sub(r"/(mine|east|default|alice|ca\.crt)(?=/|$)", "/:", path)
            names = SERVICES if host == "service" else (host.lower(),)
            for name in names:
                found[name].add(f"{method} {path}")
    return found


def registered(service: str) -> set[str]:
    settings = import_module(f"{service}.settings").Settings()
    app = import_module(f"{service}.bootstrap").build(settings, Roles(api=True, loop=False)).app
    return {
        f"{method} {re.sub(r'<[^>]+>', ':', str(rule))}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not str(rule).startswith(("/scailing", "/scalinig"))
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_has_every_route_and_no_other(service: str) -> None:
    assert shown()[service] == registered(service) - UNTOLD


@pytest.fixture
def addresses(own_redis: RedisProcess, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The four services on a local cluster, with a token."""
    ports = free_ports(len(SERVICES))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=True)}
    with ExitStack() as stack:
        cluster = LocalClusterProcess(tmp_path / "cluster")
        cluster.start()
        stack.callback(cluster.stop)
        for name, port in zip(SERVICES, ports, strict=True):
            service = ServiceProcess(
                name,
                port,
                tmp_path / f"{name}.log",
                redis_url=own_redis.url,
                kubeconfig=str(cluster.kubeconfig),
                service_token=TOKEN,
                **{f"{other}_url": url for other, url in urls.items()},
            )
            service.start()
            stack.callback(service.stop)
        yield urls


@pytest.mark.skipif(which("curl") is None, reason="NOT TESTED: no curl on PATH")
def test_the_page_runs_as_printed(addresses: dict[str, str], tmp_path: Path) -> None:
    first, _, rest = SCRIPT.partition("\n")
    assert first.startswith("MANAGER=")
    own = " ".join(f"{name.upper()}={url}" for name, url in addresses.items())
    script = f"set -eu\n{own}\n{rest.replace('TOKEN= ', f'TOKEN={TOKEN} ', 1)}"
    done = subprocess.run(
        ["sh", "-x"],
        input=script,
        capture_output=True,
        text=True,
        timeout=150,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "lost cause" in done.stdout
    assert '"ok":true' in done.stdout
