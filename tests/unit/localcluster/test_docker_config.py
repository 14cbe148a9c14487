from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.errors import ConfigError
from localcluster.runtime.docker_config import (
    ContainerState,
    Frames,
    ImageFacts,
    container_body,
    container_name,
    credentials_for,
    end_of,
    filled_volumes,
    objection,
    registry_of,
    volume_archive,
    volume_requests,
)
from localcluster.runtime.docker_network import NetworkFacts, pod_networks
from localcluster.runtime.port import (
    ContainerStart,
    Credentials,
    EmptyDir,
    Files,
    HostPath,
    Mount,
    PodSetup,
    Resources,
    Security,
)

IMAGE = ImageFacts("sha256:1")
NEW, OLD = (1, 45), (1, 41)
POD = PodSetup("u-1", "ns", "p", "p-0", "10.0.9.7", ("p-0",))
START = ContainerStart(
    id="u-1/main/2",
    pod=POD,
    name="main",
    image="tool:1",
    pull_policy="IfNotPresent",
    command=(),
    args=(),
    env={"A": "1", "B": "x y"},
    working_dir="",
    mounts=(),
    resources=Resources(),
    security=Security(),
    log_path=Path("/l"),
    log_limit=10,
)


def body(request: ContainerStart = START, image: ImageFacts = IMAGE, network: str = "jobs", **changes: Any) -> Any:
    return container_body(replace(request, **changes), image, network, {"l": "1"})


def test_the_images_own_command_runs_unless_another_is_given() -> None:
    assert (body()["Entrypoint"], body()["Cmd"]) == (None, None)
    assert (body(command=("a",))["Entrypoint"], body(command=("a",))["Cmd"]) == (["a"], None)
    assert (body(args=("b",))["Entrypoint"], body(args=("b",))["Cmd"]) == (None, ["b"])
    assert body()["Env"] == ["A=1", "B=x y"]


def test_a_pod_has_its_address_and_names_on_the_network() -> None:
    made = body()
    assert made["HostConfig"]["NetworkMode"] == "jobs"
    place = made["NetworkingConfig"]["EndpointsConfig"]["jobs"]
    assert place == {"IPAMConfig": {"IPv4Address": "10.0.9.7"}, "Aliases": ["p-0"]}
    for made in (body(network="host"), body(pod=replace(POD, host_network=True))):
        assert made["HostConfig"]["NetworkMode"] == "host" and "NetworkingConfig" not in made


def test_who_shares_processes_is_not_the_first_of_them() -> None:
    """The kernel drops a SIGTERM for the first process of a namespace as long as that does not listen for it."""
    assert body()["HostConfig"]["Init"] is False
    assert body(pod=replace(POD, shares_processes=True))["HostConfig"]["Init"] is True


def test_limits_are_the_kubelets() -> None:
    resources = Resources(Fraction(1, 4), Fraction(64), 2**26, 2)
    host = body(resources=resources)["HostConfig"]
    assert (host["CpuShares"], host["CpuQuota"] / host["CpuPeriod"]) == (256, 64.0)
    assert (host["Memory"], host["MemorySwap"]) == (2**26, 2**26)
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "Count": 2, "Capabilities": [["gpu"]]}]
    free = body()["HostConfig"]
    assert free["CpuShares"] == 2
    assert not {"CpuQuota", "Memory", "DeviceRequests"} & set(free)
    assert body(resources=Resources(cpu_limit=Fraction(1, 1000)))["HostConfig"]["CpuQuota"] == 1000


@pytest.mark.parametrize(
    ("security", "image_user", "user"),
    [
        (Security(), "app", ""),
        (Security(user=7), "app", "7"),
        (Security(user=7, group=8), "", "7:8"),
        (Security(group=8), "app:staff", "app:8"),
        (Security(group=8), "", "0:8"),
    ],
)
def test_who_a_container_runs_as(security: Security, image_user: str, user: str) -> None:
    assert body(image=ImageFacts("i", image_user), security=security)["User"] == user


def test_privileges() -> None:
    security = Security(
        groups=(9,), may_gain_privileges=False, add=("NET_RAW",), drop=("ALL",), read_only_root=True, unconfined=True
    )
    host = body(security=security)["HostConfig"]
    assert (host["CapAdd"], host["CapDrop"], host["GroupAdd"]) == (["NET_RAW"], ["ALL"], ["9"])
    assert host["ReadonlyRootfs"] and not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges:true", "seccomp=unconfined"]
    assert body()["HostConfig"]["SecurityOpt"] == []


def test_volumes_are_mounted_and_what_the_api_owns_is_read_only() -> None:
    volumes = {"s": EmptyDir(), "c": Files({"x": b"1"}), "h": HostPath("/srv/"), "m": EmptyDir(True, 4096)}
    mounts = (Mount("s", "/s"), Mount("c", "/c"), Mount("h", "/h", "in", True), Mount("m", "/m", "part"))
    pod = replace(POD, volumes=volumes, fs_group=7)
    scratch, config, host, memory = body(pod=pod, mounts=mounts)["HostConfig"]["Mounts"]
    assert (scratch["Source"], scratch["Target"], scratch["ReadOnly"]) == ("k8s_u-1_s", "/s", False)
    assert config["ReadOnly"] and config["VolumeOptions"] == {"NoCopy": True}
    assert host == {"Type": "bind", "Source": "/srv/in", "Target": "/h", "ReadOnly": True}
    assert memory["VolumeOptions"]["Subpath"] == "part"
    requests = {request.name: request.options for request in volume_requests(pod)}
    assert set(requests) == {"k8s_u-1_s", "k8s_u-1_c", "k8s_u-1_m"}
    assert requests["k8s_u-1_m"] == {"type": "tmpfs", "device": "tmpfs", "o": "mode=2777,size=4096,gid=7"}
    assert set(filled_volumes(pod)) == {"k8s_u-1_s", "k8s_u-1_c"}


def test_the_archive_has_owners_modes_and_directories() -> None:
    volumes = {"s": EmptyDir(), "c": Files({"a/b": b"data", "t": b""}, {"a/b": 0o400})}
    pod = replace(POD, volumes=volumes, fs_group=7, sub_paths=(("s", "x/y"), ("c", "a/b")))
    with tarfile.open(fileobj=io.BytesIO(volume_archive(pod))) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
        assert archive.extractfile("asperathos-volumes/1/a/b").read() == b"data"  # type: ignore[union-attr]
    root = "asperathos-volumes"
    assert {name.removeprefix(f"{root}/") for name in entries} == {"0", "0/x", "0/x/y", "1", "1/a", "1/a/b", "1/t"}
    assert {entry.gid for entry in entries.values()} == {7}
    assert entries[f"{root}/0"].mode == 0o2777 and entries[f"{root}/1"].mode == 0o2775
    assert entries[f"{root}/1/a/b"].mode == 0o440


@pytest.mark.parametrize(
    ("changes", "image", "reason", "text"),
    [
        ({"security": Security(must_not_be_root=True)}, IMAGE, "CreateContainerConfigError", "will run as root"),
        (
            {"security": Security(must_not_be_root=True)},
            ImageFacts("i", "app"),
            "CreateContainerConfigError",
            "non-numeric user",
        ),
        (
            {"security": Security(user=0, must_not_be_root=True)},
            ImageFacts("i", "7"),
            "CreateContainerConfigError",
            "root",
        ),
        ({"pod": replace(POD, containers=2)}, IMAGE, "CreateContainerError", "--docker-network host"),
        (
            {"pod": replace(POD, volumes={"v": EmptyDir()}), "mounts": (Mount("v", "/v", "x"),)},
            IMAGE,
            "CreateContainerError",
            "version 26",
        ),
    ],
)
def test_what_is_refused_says_why(changes: Any, image: ImageFacts, reason: str, text: str) -> None:
    refused = objection(replace(START, **changes), image, "jobs", OLD)
    assert refused is not None
    assert (refused.id, refused.reason) == (START.id, reason)
    assert text in refused.message


def test_what_is_not_refused() -> None:
    some = replace(POD, volumes={"v": EmptyDir(), "h": HostPath("/x")}, containers=2)
    mounts = (Mount("v", "/v", "x"), Mount("h", "/h", "x"))
    assert objection(replace(START, pod=some, mounts=mounts), IMAGE, "host", NEW) is None
    assert objection(replace(START, pod=some, mounts=mounts[1:]), IMAGE, "host", OLD) is None
    numbered = replace(START, security=Security(must_not_be_root=True))
    assert objection(numbered, ImageFacts("i", "7:7"), "jobs", OLD) is None


def test_ends() -> None:
    assert end_of(ContainerState(False, 137, True)) == (137, "OOMKilled")
    assert end_of(ContainerState(False, 137)) == (137, "")
    # A child was killed for lack of memory, and the first process coped.
    assert end_of(ContainerState(False, 0, True)) == (0, "")


def test_names_are_unique_for_each_restart() -> None:
    assert container_name(START) == "k8s_main_p_ns_u-1_2"


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "index.docker.io"),
        ("team/tool:1", "index.docker.io"),
        ("localhost/tool", "localhost"),
        ("registry:5000/tool@sha256:1", "registry:5000"),
        ("ghcr.io/team/tool", "ghcr.io"),
    ],
)
def test_registries(image: str, registry: str) -> None:
    assert registry_of(image) == registry
    known = {registry.replace("index.", ""): Credentials("a", "b"), "other.example.org": Credentials("c", "d")}
    assert credentials_for(image, known) == Credentials("a", "b")
    assert credentials_for(image, {}) is None


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_frames_give_back_what_was_framed_however_it_arrives(pieces: list[bytes], size: int) -> None:
    wire = b"".join(b"\x01\0\0\0" + len(piece).to_bytes(4, "big") + piece for piece in pieces)
    frames = Frames()
    got = b"".join(frames.feed(wire[at : at + size]) for at in range(0, len(wire), size))
    assert got == b"".join(pieces)


def test_pods_get_what_the_engine_does_not_hand_out() -> None:
    facts = NetworkFacts("jobs", "10.0.8.0/22", "10.0.8.0/24", "10.0.8.1", ("10.0.9.5",))
    networks, reserved = pod_networks(facts)
    assert sum(network.num_addresses for network in networks) == 768
    assert not any(network.overlaps(type(network)("10.0.8.0/24")) for network in networks)
    assert {"10.0.8.1", "10.0.9.5", "10.0.8.0", "10.0.11.255"} == set(reserved)
    everything, _ = pod_networks(NetworkFacts("jobs", "10.0.8.0/24", ""))
    assert [str(network) for network in everything] == ["10.0.8.0/24"]


@pytest.mark.parametrize(
    ("subnet", "range", "text"),
    [("", "", "no subnet"), ("fd00::/64", "", "no IPv4"), ("10.0.0.0/30", "", "no addresses")],
)
def test_networks_that_do_not_serve(subnet: str, range: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        pod_networks(NetworkFacts("jobs", subnet, range))
