"""The table of permissions: every route of every service is in it, and what each need means."""

from __future__ import annotations

from importlib import import_module

import pytest

from common.bootstrap import Roles
from common.domain.accounts import ANONYMOUS, OPERATING, SCRAPER, SERVICES, Principal, Role
from common.domain.policy import RULES, Need, Subject, Verdict, judge, need_of

SERVICE_NAMES = ("manager", "controller", "monitor", "visualizer")
ALICE = Principal("alice", "user", Role.SUBMITTER)
VERA = Principal("vera", "user", Role.VIEWER)
ADAM = Principal("adam", "user", Role.ADMIN)
EVERYBODY = (ANONYMOUS, OPERATING, ADAM, ALICE, VERA, SERVICES, SCRAPER)
ALLOWED, FORBIDDEN, HIDDEN = Verdict.ALLOWED, Verdict.FORBIDDEN, Verdict.HIDDEN


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_every_route_has_a_rule_and_every_rule_a_route(service: str) -> None:
    settings = import_module(f"{service}.settings").Settings()
    app = import_module(f"{service}.bootstrap").build(settings, Roles(api=True, loop=False)).app
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(RULES[service])


def test_what_is_not_in_the_table_is_for_the_services_only() -> None:
    assert need_of("manager", "POST", "/submissions/<id>/explode") is Need.SERVICE
    assert need_of("nobody", "GET", "/") is Need.SERVICE
    assert need_of("manager", "HEAD", "/submissions") is Need.LIST


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        # Of everybody above, in that order.
        (Need.PUBLIC, (ALLOWED,) * 7),
        (Need.POD, (ALLOWED,) * 7),
        (Need.READ, (*(ALLOWED,) * 6, FORBIDDEN)),
        (Need.LIST, (*(ALLOWED,) * 6, FORBIDDEN)),
        (Need.SEE, (ALLOWED, ALLOWED, ALLOWED, HIDDEN, ALLOWED, ALLOWED, FORBIDDEN)),
        (Need.CHANGE, (ALLOWED, ALLOWED, ALLOWED, HIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN)),
        (Need.OVERVIEW, (ALLOWED, ALLOWED, ALLOWED, FORBIDDEN, ALLOWED, ALLOWED, FORBIDDEN)),
        (Need.METRICS, (ALLOWED, ALLOWED, ALLOWED, FORBIDDEN, ALLOWED, ALLOWED, ALLOWED)),
        (Need.SUBMIT, (ALLOWED, ALLOWED, ALLOWED, ALLOWED, FORBIDDEN, FORBIDDEN, FORBIDDEN)),
        (Need.SELF, (ALLOWED, ALLOWED, ALLOWED, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN)),
        (Need.ADMIN, (ALLOWED, ALLOWED, ALLOWED, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN)),
        (Need.SERVICE, (FORBIDDEN,) * 5 + (ALLOWED, FORBIDDEN)),
    ],
)
def test_what_may_be_done_to_what_is_anothers(need: Need, expected: tuple[Verdict, ...]) -> None:
    subject = Subject(owner="bob", user="bob")
    assert tuple(judge(need, principal, subject) for principal in EVERYBODY) == expected


def test_what_is_ones_own() -> None:
    own = Subject(owner="alice", user="alice")
    for need in (Need.SEE, Need.CHANGE, Need.SELF):
        assert judge(need, ALICE, own) is ALLOWED
    assert judge(Need.CHANGE, VERA, Subject(owner="vera")) is FORBIDDEN
    for owner in (None, "", "alic"):
        assert judge(Need.SEE, ALICE, Subject(owner=owner)) is HIDDEN
