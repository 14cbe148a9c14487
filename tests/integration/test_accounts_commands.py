"""login, logout, whoami, users, tokens, audit: the command line against a real manager where users log in."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import exit_codes
from cli.__main__ import main
from tests.support.guard import ADMIN_TOKEN, SERVICE_TOKEN
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def manager(redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    directory = tmp_path_factory.mktemp("manager")
    service = ServiceProcess(
        "manager",
        port,
        directory / "manager.log",
        "--api-only",
        redis_url=redis_server.url,
        authentication="on",
        service_token=SERVICE_TOKEN,
        admin_token=ADMIN_TOKEN,
        kubeconfig=str(directory / "none"),
    )
    service.start()
    yield service.url
    service.stop()


class Person:
    """Somebody at a shell of their own."""

    def __init__(self, manager: str, home: Path, token: str = "") -> None:
        self.home = home
        self._environment = {
            "ASPERATHOS_MANAGER_URL": manager,
            "ASPERATHOS_HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "ASPERATHOS_TOKEN": token or None,
            "COLUMNS": "200",
        }

    def run(self, *arguments: str, input: str = "") -> Result:
        return CliRunner().invoke(main, arguments, input=input, env=self._environment)

    def does(self, *arguments: str, input: str = "") -> str:
        result = self.run(*arguments, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout


def test_a_user_comes_works_and_goes(manager: str, tmp_path: Path) -> None:
    admin, alice = Person(manager, tmp_path / "admin", ADMIN_TOKEN), Person(manager, tmp_path / "alice")
    assert admin.does("whoami") == "operator (admin)\n"
    stranger = alice.run("list")
    assert stranger.exit_code == exit_codes.REJECTED and "asperathos login" in stranger.stderr

    added = admin.does("users", "add", "alice", "--password", "--submissions", "3", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert added.splitlines()[-1] == "alice added"
    assert re.search(r"alice +submitter +yes +3 +any", admin.does("users", "list"))
    assert alice.run("login", "--user", "alice", input="wrong one\n").exit_code == exit_codes.REJECTED
    assert "alice (submitter)" in alice.does("login", "--user", "alice", input=f"{PASSWORD}\n")
    kept = alice.home / "config" / "asperathos" / "credentials.json"
    assert kept.stat().st_mode & 0o077 == 0 and list(json.loads(kept.read_text())) == [manager]
    assert alice.does("whoami") == "alice (submitter)\n"
    assert alice.does("list") == ""

    refused = alice.run("users", "list")
    assert refused.exit_code == exit_codes.REJECTED and "it takes the role admin" in refused.stderr
    token = alice.does("tokens", "create", "--label", "nightly", "--days", "1").splitlines()[-1]
    nightly = Person(manager, tmp_path / "nightly", token)
    assert nightly.does("whoami") == "alice (submitter)\n"
    assert re.search(r"nightly +20", alice.does("tokens", "list"))
    alice.does("tokens", "revoke", token.split("_")[1])
    assert nightly.run("whoami").exit_code == exit_codes.REJECTED

    new = "another one, then"
    wrong = alice.run("users", "password", "alice", input=f"not it\n{new}\n{new}\n")
    assert wrong.exit_code == exit_codes.REJECTED
    alice.does("users", "password", "alice", input=f"{PASSWORD}\n{new}\n{new}\n")
    admin.does("users", "change", "alice", "--role", "viewer", "--items", "9")
    shown = json.loads(admin.does("users", "list", "--json"))["alice"]
    assert (shown["role"], shown["quota"]) == ("viewer", {"submissions": 3, "items": 9})
    assert "logged out" in alice.does("logout")
    assert alice.run("whoami").exit_code == exit_codes.REJECTED
    assert "no token was kept" in alice.does("logout")
    assert "alice (viewer)" in alice.does("login", input=admin.does("tokens", "create", "--user", "alice") + "\n")

    told = json.loads(admin.does("audit", "--json", "--count", "1000"))
    deeds = [(entry["who"], entry["method"], entry["path"], entry["code"]) for entry in told]
    assert ("operator", "POST", "/users", 201) in deeds
    assert ("alice", "PUT", "/users/alice/password", 403) in deeds
    assert ("alice", "PUT", "/users/alice/password", 204) in deeds
    only = json.loads(admin.does("audit", "--json", "--who", "alice"))
    assert only and {entry["who"] for entry in only} == {"alice"}
    assert "PATCH /users/alice" in admin.does("audit", "--subject", "alice")

    admin.does("users", "remove", "alice")
    assert alice.run("whoami").exit_code == exit_codes.REJECTED
    assert PASSWORD not in str(told) and token not in str(told)


@pytest.mark.parametrize("name", ["Alice", "a b", "operator", "x" * 41, "-a", "ä"])
def test_names_that_are_none(manager: str, tmp_path: Path, name: str) -> None:
    result = Person(manager, tmp_path, ADMIN_TOKEN).run("users", "add", "--", name)
    assert result.exit_code == exit_codes.REJECTED and "name:" in result.stderr


def test_a_short_password_is_refused(manager: str, tmp_path: Path) -> None:
    result = Person(manager, tmp_path, ADMIN_TOKEN).run("users", "add", "bob", "--password", input="short\nshort\n")
    assert result.exit_code == exit_codes.REJECTED and "10 to 256 characters" in result.stderr


def test_a_kept_token_is_shown_to_its_own_manager_only(manager: str, tmp_path: Path) -> None:
    from cli.credentials import Keeper

    keeper = Keeper(tmp_path / "kept.json")
    keeper.keep("http://one:1500", "t1")
    keeper.keep("http://two:1500/", "t2")
    assert [keeper.token(at) for at in ("http://ONE:1500/", "http://two:1500", "https://one:1500", "http://one")] == [
        "t1", "t2", "", "",
    ]  # fmt: skip
    assert keeper.forget("http://one:1500") == "t1" and keeper.token("http://one:1500") == ""
    (tmp_path / "kept.json").write_text("[")
    assert keeper.token("http://two:1500") == ""
