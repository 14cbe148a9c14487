from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from localcluster.addresses import AddressPool
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
    ],
)
def test_bad_settings_are_refused(argv: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_settings(argv, {})


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (10800, "3h"), (90000, "25h"), (700000, "8d")],
)
def test_durations_read_as_in_kubectl(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
