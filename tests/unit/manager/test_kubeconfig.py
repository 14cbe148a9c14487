"""What is taken from a kubeconfig, what is refused, and that no message quotes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from common.domain.clusters import inlined, missing
from common.domain.errors import BadRequest
from manager.kubeconfig import MAX_KUBECONFIG, certificate_faults, parse_kubeconfig
from tests.support.kubeconfigs import KEY, SECRET, data, kubeconfig, text


def refused(given: str, programs: bool = False) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse_kubeconfig(given, programs)
    assert SECRET not in caught.value.message + str(caught.value.faults)
    return caught.value


def fields(error: BadRequest) -> list[str]:
    return [fault.field for fault in error.faults]


def test_the_current_context_is_kept_and_nothing_else() -> None:
    document = kubeconfig()
    document["contexts"].append({"name": "other", "context": {"cluster": "west", "user": "west"}})
    document["clusters"].append({"name": "west", "cluster": {"server": "https://west.example"}})
    document["users"].append({"name": "west", "user": {"token": "west-token"}})
    for given in (json.dumps(document), yaml.safe_dump(document)):
        found = parse_kubeconfig(given)
        assert (found.server, found.context) == ("https://east.example:6443", "admin@east")
        assert found.authentication == "token"
        assert "west" not in json.dumps(found.document)
        assert SECRET in json.dumps(found.document)
        assert SECRET not in repr(found)


def test_without_a_current_context_the_only_one_is_meant() -> None:
    document = kubeconfig()
    del document["current-context"]
    assert parse_kubeconfig(json.dumps(document)).context == "admin@east"
    document["contexts"] *= 2
    assert fields(refused(json.dumps(document))) == ["cluster_config.current-context"]


@pytest.mark.parametrize(
    ("server"),
    ["", None, 5, "east.example", "ftp://east", "https://", "https://u:p@east", "https://east/?a=b", "https://e:99999",
     "https://e:0", "http://a b", "file:///etc/passwd", "https://[", "https://é"],
)  # fmt: skip
def test_the_server_is_an_address(server: Any) -> None:
    assert fields(refused(text(server=server))) == ["cluster_config.cluster.server"]


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"token": f"{SECRET}\r\nX: y"}, "token"),
        ({"token": [SECRET]}, "token"),
        ({"client-key-data": f"{SECRET}!"}, "client-key-data"),
        ({"client-key": "/etc/.."}, "client-key"),
        ({"tokenFile": "../../"}, "tokenFile"),
        ({"exec": {"command": SECRET}}, "exec"),
        ({"auth-provider": {"name": SECRET}}, "auth-provider"),
    ],
)
def test_what_is_wrong_with_a_login_is_named(user: dict[str, Any], field: str) -> None:
    assert fields(refused(text(user))) == [f"cluster_config.user.{field}"]


def test_every_fault_is_told_at_once() -> None:
    error = refused(text({"token": "a b", "exec": {"command": "x"}}, server="nowhere", **{"proxy-url": "socks5://x"}))
    assert fields(error) == [
        "cluster_config.cluster.server",
        "cluster_config.cluster.proxy-url",
        "cluster_config.user.token",
        "cluster_config.user.exec",
    ]


def test_programs_may_be_allowed() -> None:
    found = parse_kubeconfig(text({"exec": {"command": "aws"}}), programs=True)
    assert found.authentication == "program"
    assert fields(refused(text({"exec": "aws"}), programs=True)) == ["cluster_config.user.exec"]


@pytest.mark.parametrize(
    "given",
    ["", "a: b: c", "[]", "5", "clusters: 5", "{", f"- {SECRET}: [", f"x: &a {SECRET}\ny: *a", f"!!python/x {SECRET}",
     "[" * 5000, "x" * (MAX_KUBECONFIG + 1), "clusters: []", "\0"],
)  # fmt: skip
def test_what_is_no_kubeconfig_is_refused(given: str) -> None:
    assert refused(given).status == 400


def test_files_are_replaced_by_what_was_uploaded() -> None:
    user = {"client-certificate": "C:\\keys\\me.crt", "client-key": "/home/me/me.key"}
    found = parse_kubeconfig(text(user, **{"certificate-authority": "ca.crt"}))
    assert found.missing == ("ca.crt", "me.crt", "me.key")
    partly = inlined(found.document, {"ca.crt": "authority", "other": "unused"})
    assert missing(partly) == ["me.crt", "me.key"]
    whole = inlined(found.document, {"ca.crt": "authority", "me.crt": "certificate", "me.key": KEY})
    assert missing(whole) == []
    assert whole["clusters"][0]["cluster"]["certificate-authority-data"] == data("authority")
    assert whole["users"][0]["user"] == {"client-certificate-data": data("certificate"), "client-key-data": data(KEY)}


def test_a_file_of_a_token_becomes_the_token() -> None:
    found = parse_kubeconfig(text({"tokenFile": "/var/run/token"}))
    assert found.missing == ("token",)
    assert inlined(found.document, {"token": f"{SECRET}\n"})["users"][0]["user"] == {"token": SECRET}


def test_what_is_inline_counts_more_than_a_file() -> None:
    found = parse_kubeconfig(
        text({"token": SECRET, "tokenFile": "/x", "client-key": "k", "client-key-data": data(KEY)})
    )
    assert found.missing == ()


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\\b", ".hidden", "a..b", "a" * 64, "a\n", "%2e"])
def test_a_certificates_name_is_no_path(name: str) -> None:
    assert [fault.field for fault in certificate_faults(name, "x")] == ["certificate_name"]


@pytest.mark.parametrize("content", ["", "  ", "é", "x" * 70_000])
def test_a_certificates_content_is_checked(content: str) -> None:
    assert [fault.field for fault in certificate_faults("ca.crt", content)] == ["certificate_content"]
