from __future__ import annotations

import os
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from localcluster.addresses import AddressPool, NoAddress
from localcluster.errors import ConfigError
from localcluster.settings import parse_settings, pod_environment
from localcluster.tables import human_duration


def test_flags_win_over_the_environment_over_defaults(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "ASPERATHOS_LOCALCLUSTER_NODES": "3", "ASPERATHOS_LOCALCLUSTER_BACKOFF_BASE": "0.5"}
    settings = parse_settings(["--nodes", "2", "--node-resources", "nvidia.com/gpu=2"], env)
    assert (settings.nodes, settings.backoff_base, settings.port) == (2, 0.5, 0)
    assert settings.state_dir == tmp_path / ".local/state/asperathos/localcluster"
    assert settings.kubeconfig == settings.state_dir / "kubeconfig"
    assert settings.node_resources == (("nvidia.com/gpu", "2"),)


@pytest.mark.parametrize(
    "argv",
    [
        ["--bind", "0.0.0.0"],
        ["--bind", "example.org"],
        ["--port", "70000"],
        ["--nodes", "none"],
        ["--node-cpu", "many"],
        ["--node-memory", "0"],
        ["--node-resources", "gpu"],
        ["--log-level", "loud"],
        ["--runtime", "containerd"],
        ["--docker-host", "/var/run/docker.sock"],
    ],
)
def test_bad_settings_are_refused(argv: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_settings(argv, {})


def test_the_engine_is_named_by_flag_or_by_dockers_own_variable() -> None:
    settings = parse_settings(["--runtime", "docker"], {"DOCKER_HOST": "tcp://127.0.0.1:2375"})
    assert (settings.runtime, settings.docker_host) == ("docker", "tcp://127.0.0.1:2375")
    assert settings.docker_network == "host"
    ours = {"DOCKER_HOST": "unix:///a", "ASPERATHOS_LOCALCLUSTER_DOCKER_HOST": "unix:///b"}
    assert parse_settings([], ours).docker_host == "unix:///b"
    assert parse_settings([], {}).docker_host == "unix:///var/run/docker.sock"


def test_other_addresses_only_when_told() -> None:
    assert parse_settings(["--bind", "0.0.0.0", "--allow-remote"], {}).bind == "0.0.0.0"
    assert parse_settings([], {"ASPERATHOS_LOCALCLUSTER_ALLOW_REMOTE": "true"}).allow_remote


def test_containers_inherit_no_secrets() -> None:
    env = pod_environment({"PATH": "/usr/bin", "LANG": "C.UTF-8", "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/root"})
    assert env == {"PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin", "LANG": "C.UTF-8"}


def test_addresses_are_loopback_unique_and_stable() -> None:
    pool = AddressPool(2**22 - 4)
    taken = [pool.take(f"pod{number}") for number in range(10)]
    assert len(set(taken)) == 10
    assert all(64 <= int(address.split(".")[1]) < 128 and address.startswith("127.") for address in taken)
    assert pool.take("pod3") == taken[3]
    pool.give_back("pod3")
    assert pool.take("pod11") not in set(taken) - {taken[3]}


def test_addresses_of_a_network_leave_out_what_is_reserved_and_run_out() -> None:
    pool = AddressPool(5, (IPv4Network("10.0.0.0/29"), IPv4Network("10.0.1.0/30")), {"10.0.0.1", "10.0.1.2"})
    taken = {pool.take(f"pod{number}") for number in range(6)}
    assert taken == {"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.1.1"}
    with pytest.raises(NoAddress):
        pool.take("one too many")
    pool.give_back("pod2")
    assert pool.take("another") in taken


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (10800, "3h"), (90000, "25h"), (700000, "8d")],
)
def test_durations_read_as_in_kubectl(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
