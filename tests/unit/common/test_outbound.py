"""Where addresses of users may lead."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from common.domain.outbound import ELSEWHERE_ONLY, Outbound
from common.settings import CommonSettings

USUAL = Outbound(deny=ELSEWHERE_ONLY)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "::7f00:1", "224.0.0.1", "ff02::1",
    ],
)  # fmt: skip
def test_this_machine_and_what_clouds_tell_machines(address: str) -> None:
    assert USUAL.refuses("any.example", ip_address(address))
    assert not Outbound().refuses("any.example", ip_address(address))


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "64:ff9b::808:808"])
def test_everything_else_is_open_until_it_is_denied(address: str) -> None:
    assert not USUAL.refuses("any.example", ip_address(address))


def test_private_networks_can_be_denied_and_parts_of_them_allowed() -> None:
    rules = Outbound(allow=("10.1.0.0/16", "data.lan", "*.open.lan"), deny=("private", "loopback", "*.evil.example"))
    inside = ip_address("10.2.0.1")
    assert rules.refuses("x.lan", inside)
    assert not rules.refuses("x.lan", ip_address("10.1.2.3"))
    assert not rules.refuses("data.lan", inside) and not rules.refuses("DATA.lan.", inside)
    assert not rules.refuses("a.open.lan", inside)
    assert rules.refuses("open.lan", inside)
    assert rules.refuses("x.evil.example", ip_address("8.8.8.8")) and rules.refuses_name("x.evil.example")


def test_only_what_is_allowed() -> None:
    rules = Outbound(allow=("data.example.com",), deny=("*",))
    assert rules.refuses_name("other.example.com") and not rules.refuses_name("data.example.com")


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_no_way_to_write_an_address_leads_around(address: object) -> None:
    for form in (str(address), f"::ffff:{address}", f"64:ff9b::{address}"):
        assert USUAL.refuses("x", ip_address(form))


def test_the_usual_rules_hold_where_users_log_in() -> None:
    assert CommonSettings().outbound == Outbound()
    known = CommonSettings(authentication="on", service_token=SecretStr("x" * 16))
    assert known.outbound == USUAL
    assert known.model_copy(update={"outbound_deny": ()}).outbound == Outbound(deny=())


@pytest.mark.parametrize("rule", ["", "a b", "10.0.0.0/33", "http://x", "*x", "x.*", "-x"])
def test_a_rule_that_is_none_is_told(rule: str) -> None:
    with pytest.raises(ValidationError, match="must be loopback"):
        CommonSettings(outbound_deny=(rule,))
