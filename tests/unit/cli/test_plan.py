"""What the local stack consists of, and its ports."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from cli.home import Home
from cli.stack.plan import DEFAULT_PORTS, SERVICES, Layout, parts, redis_config
from cli.stack.ports import PortTaken, allot, holder_of

LAYOUT = Layout(Path("/h"), DEFAULT_PORTS, "/py", "/redis", "secret", "token", "key-of-clusters")


def test_redis_and_cluster_start_before_the_services() -> None:
    names = [part.name for part in parts(LAYOUT)]
    assert names[:2] == ["redis", "cluster"]
    assert set(names[2:]) == set(SERVICES)


def test_secrets_are_in_no_command_line() -> None:
    words = [word for part in parts(LAYOUT) for word in part.argv]
    assert not any("secret" in word or "token" in word or "key-of" in word for word in words)
    assert "requirepass secret" in redis_config(LAYOUT)


def test_what_is_sealed_by_one_stack_is_opened_by_the_next_in_its_home(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    for home in homes:
        home.prepare()
    assert homes[0].cluster_key == Home(tmp_path / "one").cluster_key
    assert len(homes[0].cluster_key) > 40
    assert homes[0].cluster_key != homes[1].cluster_key
    assert (tmp_path / "one" / "cluster.key").stat().st_mode & 0o777 == 0o600
    for part in parts(LAYOUT):
        assert (part.environment.get("ASPERATHOS_CLUSTER_KEY") == "key-of-clusters") == (part.name in SERVICES)


def test_a_taken_port_is_an_error_or_replaced() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = int(holder.getsockname()[1])
        with pytest.raises(PortTaken, match=str(port)):
            allot({"manager": port}, any_port=False)
        ports, notes = allot({"manager": port, "redis": 0}, any_port=True)
    assert ports["manager"] != port
    assert len(set(ports.values())) == 2
    assert len(notes) == 1
    assert str(port) in notes[0]


def test_who_listens_on_another_loopback_address_holds_no_port_of_ours() -> None:
    with socket.socket() as ours, socket.socket() as theirs:
        theirs.bind(("127.73.1.2", 0))
        theirs.listen()
        port = int(theirs.getsockname()[1])
        assert holder_of(port).pid == 0
        ours.bind(("127.0.0.1", port))
        ours.listen()
        assert holder_of(port).pid == os.getpid()


def test_a_capacity_reaches_the_services() -> None:
    assert all("ASPERATHOS_CAPACITY" not in part.environment for part in parts(LAYOUT))
    told = {part.name: part.environment.get("ASPERATHOS_CAPACITY") for part in parts(replace(LAYOUT, capacity=7))}
    assert told["controller"] == '{"*": 7}'
    assert told["redis"] is None
