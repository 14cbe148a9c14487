"""Requests of any kind to the four running services: no answer is a crash, and none is other than documented.

The short form is part of ``make test``; ``make test-fuzz`` has ten thousand cases a service, and tells what it saw.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from schemathesis.checks import not_a_server_error

from tests.support.fuzz_world import SERVICE_TOKEN, SERVICES, FuzzWorld, fuzz_world
from tests.support.fuzzing import CHECKS, fuzz, is_endless, read_document

CASES = int(os.environ.get("ASPERATHOS_FUZZ_CASES", "100"))
"""Of each service where users log in; in the long form, a fifth of that where nobody has to, too."""
LONG = 1000
START = int(os.environ.get("ASPERATHOS_FUZZ_START", "0"))
"""Where the random numbers begin."""


@pytest.fixture(scope="module", params=["on"] if CASES < LONG else ["on", "off"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzWorld]:
    with fuzz_world(tmp_path_factory.mktemp("fuzz") / "world", authentication=request.param == "on") as world:
        yield world


@pytest.mark.parametrize("service", SERVICES)
# What schemathesis warns of is its own affair.
@pytest.mark.filterwarnings("default")
def test_every_answer_is_as_documented(world: FuzzWorld, service: str) -> None:
    most = CASES if world.has_users else CASES // 5
    findings = fuzz(world, service, most, START)
    print(findings)
    assert not findings.problems, str(findings)
    assert "request_crashed" not in world.log(service)
    assert findings.total >= most
    described = {
        f"{method.upper()} {path}"
        for path, methods in read_document(world, service)["paths"].items()
        for method in methods
        if not is_endless(path)
    }
    assert set(findings.answers) == described
    if CASES >= LONG:
        never = {operation for operation, codes in findings.answers.items() if not any(code < 400 for code in codes)}
        assert not never, f"nothing but refusals: {never}"


@pytest.mark.skipif(CASES < LONG, reason="in make test-fuzz only")
@pytest.mark.parametrize("service", SERVICES)
def test_schemathesis_own_coverage_of_the_schemas(world: FuzzWorld, service: str, tmp_path: Path) -> None:
    """Every boundary and every violation of each schema once, by its command line.

    It takes ids of submissions that are still being prepared, too, whose items are not to be had yet: 503, which is
    documented. A crash is documented nowhere.
    """
    world.populate()
    role = "services" if service in ("controller", "monitor") else "operator"
    shown = world.shown.get(role, {"Authorization": f"Bearer {SERVICE_TOKEN}"})
    assert '"500"' not in json.dumps(read_document(world, service)["paths"])
    checks = [check.__name__ for check in CHECKS if check is not not_a_server_error]
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{world.urls[service]}/openapi.json"),
            *("--phases", "coverage", "--checks", ",".join(checks)),
            *("--header", f"Authorization: {shown['Authorization']}", "--exclude-path-regex", "/api/stream/|/logout"),
            *("--no-color", "--request-timeout", "30"),
        ],
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=tmp_path,
    )
    print(service, *re.findall(r"\d+ generated.*", done.stdout))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


@pytest.mark.parametrize("path", ["/api/stream/submissions", "/api/stream/clusters", "/api/stream/submissions/{id}"])
def test_streams_begin_as_documented(world: FuzzWorld, path: str) -> None:
    world.populate()
    documented = read_document(world, "visualizer")["paths"][path]["get"]["responses"]
    url = world.urls["visualizer"] + path.format(id=world.known["id"][0])
    for headers in world.shown.values():
        with requests.get(url, headers=headers, stream=True, timeout=10) as answer:
            assert str(answer.status_code) in documented
            if answer.status_code == 200:
                assert answer.headers["Content-Type"].startswith("text/event-stream")
                assert next(answer.iter_lines())
            else:
                assert answer.json()["error_code"] == answer.status_code
