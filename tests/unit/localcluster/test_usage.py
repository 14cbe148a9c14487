from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localcluster.api import Api
from localcluster.clock import ManualClock
from localcluster.defaults import apply_defaults
from localcluster.errors import ApiError
from localcluster.http_types import Request
from localcluster.objects import Obj, uid_of
from localcluster.resources import NAMESPACES, PODS
from localcluster.runtime.port import Used
from localcluster.runtime.process_usage import usage_of
from localcluster.store import Store
from localcluster.usage import Meter, Rate

ID = "uid/main/0"


class Machine:
    def __init__(self) -> None:
        self.used: Mapping[str, Used] = {}
        self.asked = 0

    def read(self) -> Mapping[str, Used]:
        self.asked += 1
        return self.used


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def meter(machine: Machine, clock: ManualClock) -> Meter:
    return Meter(machine.read, clock)


def test_a_new_container_is_measured_since_its_start(meter: Meter, machine: Machine) -> None:
    machine.used = {ID: Used(3.0, 4096, 6.0)}
    assert meter.rates() == {ID: Rate(0.5, 4096, 6.0)}


def test_then_over_the_time_since_the_last_measurement(meter: Meter, machine: Machine, clock: ManualClock) -> None:
    machine.used = {ID: Used(3.0, 4096, 6.0)}
    meter.rates()
    clock.advance(2.0)
    machine.used = {ID: Used(9.0, 0, 8.0)}
    assert meter.rates() == {ID: Rate(0.5, 4096, 6.0)}
    assert machine.asked == 1
    clock.advance(8.0)
    machine.used = {ID: Used(4.0, 8192, 16.0), "other/main/0": Used(1.0, 1, 2.0)}
    assert meter.rates() == {ID: Rate(0.1, 8192, 10.0), "other/main/0": Rate(0.5, 1, 2.0)}


def test_a_measurement_of_long_ago_is_no_base(meter: Meter, machine: Machine, clock: ManualClock) -> None:
    machine.used = {ID: Used(3.0, 4096, 6.0)}
    meter.rates()
    clock.advance(600.0)
    machine.used = {ID: Used(303.0, 4096, 606.0)}
    assert meter.rates()[ID] == Rate(0.5, 4096, 606.0)


def test_time_that_goes_backwards_is_no_use(meter: Meter, machine: Machine, clock: ManualClock) -> None:
    machine.used = {ID: Used(3.0, 1, 60.0)}
    meter.rates()
    clock.advance(10.0)
    machine.used = {ID: Used(2.0, 1, 70.0)}
    assert meter.rates()[ID].cores == 0.0


# The API.


class Served:
    def __init__(self, directory: Path, meter: Meter | None) -> None:
        self.store = Store(directory / "state.db", ManualClock(), lambda _: None)
        self.store.create(NAMESPACES, apply_defaults(NAMESPACES, {"metadata": {"name": "work"}}))
        self.api = Api(self.store, ManualClock(), directory, list, None, meter)

    def pod(self, name: str, **labels: str) -> Obj:
        manifest = {
            "metadata": {"name": name, "namespace": "work", "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "x"}]},
        }
        return self.store.create(PODS, apply_defaults(PODS, manifest))

    def get(self, target: str, method: str = "GET") -> tuple[int, Obj]:
        try:
            answer = self.api.handle(Request.parse(method, target, {}, b""))
        except ApiError as error:
            return error.code, error.status()
        return answer.status, json.loads(answer.body)


@pytest.fixture
def served(tmp_path: Path, meter: Meter) -> Iterator[Served]:
    made = Served(tmp_path, meter)
    yield made
    made.store.close()


PATH = "/apis/metrics.k8s.io/v1beta1"


def test_running_pods_are_told_with_their_labels(served: Served, machine: Machine) -> None:
    pod, other = served.pod("a", kind="x"), served.pod("b", kind="y")
    served.pod("not-running", kind="x")
    machine.used = {
        f"{uid_of(pod)}/main/3": Used(2.5, 3 << 20, 10.0),
        f"{uid_of(other)}/main/0": Used(1.0, 1 << 20, 10.0),
        "unknown/main/0": Used(1.0, 1, 1.0),
    }
    status, listed = served.get(f"{PATH}/namespaces/work/pods?labelSelector=kind%3Dx")
    assert (status, listed["kind"], listed["apiVersion"]) == (200, "PodMetricsList", "metrics.k8s.io/v1beta1")
    (told,) = listed["items"]
    assert told["metadata"]["name"] == "a" and told["metadata"]["labels"] == {"kind": "x"}
    assert told["containers"] == [{"name": "main", "usage": {"cpu": "250000000n", "memory": "3072Ki"}}]
    assert told["window"] == "10.000s"
    assert {one["metadata"]["name"] for one in served.get(f"{PATH}/pods")[1]["items"]} == {"a", "b"}
    assert served.get(f"{PATH}/namespaces/work/pods/b")[1]["kind"] == "PodMetrics"
    for name in ("not-running", "none"):
        assert served.get(f"{PATH}/namespaces/work/pods/{name}")[0] == 404
    assert served.get(f"{PATH}/namespaces/work/pods", "POST")[0] == 405


def test_discovery_tells_it(served: Served) -> None:
    assert "metrics.k8s.io" in [group["name"] for group in served.get("/apis")[1]["groups"]]
    assert [kind["name"] for kind in served.get(PATH)[1]["resources"]] == ["pods"]


def test_where_nothing_is_measured_it_is_not_served(tmp_path: Path) -> None:
    unmeasured = Served(tmp_path, None)
    assert "metrics.k8s.io" not in [group["name"] for group in unmeasured.get("/apis")[1]["groups"]]
    for path in ("/apis/metrics.k8s.io", PATH, f"{PATH}/namespaces/work/pods"):
        assert unmeasured.get(path)[0] == 404
    unmeasured.store.close()


# Real processes.


def test_what_a_session_uses_is_that_of_its_processes() -> None:
    script = """
import os, sys
while os.times().user < 0.3:
    pass
sys.stdout.write("x")
sys.stdout.flush()
sys.stdin.read()
"""
    with subprocess.Popen(
        ["sh", "-c", f'{sys.executable} -S -c "$0"', script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.read(1)
        found = usage_of({ID: process.pid, "gone/main/0": 2**22 - 1})
        process.stdin.close()
    assert found.keys() == {ID}
    assert 0.25 <= found[ID].cpu_seconds < 5.0
    assert found[ID].memory > os.sysconf("SC_PAGE_SIZE") and 0.0 < found[ID].age < 120.0
