"""Which route asks for what, and who may have it: the one table of permissions. Pure.

A route that is not in the table asks for the services' token: nothing is open because somebody forgot it. A test walks
every route of every service through every role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

from common.domain.accounts import Principal, Role


class Need(StrEnum):
    """What a route asks for."""

    PUBLIC = auto()
    """Nothing."""
    READ = auto()
    """To be somebody."""
    LIST = auto()
    """To be somebody; the route tells each what they may see."""
    SEE = auto()
    """That the submission in the path is visible: one's own, unless one sees all."""
    OVERVIEW = auto()
    """To see all submissions."""
    METRICS = auto()
    """To see all submissions, or to show the token for metrics."""
    SUBMIT = auto()
    """To hand in submissions."""
    CHANGE = auto()
    """That the submission in the path is one's own, or to be an administrator."""
    SELF = auto()
    """To be the user in the path, or an administrator."""
    ADMIN = auto()
    """To be an administrator."""
    SERVICE = auto()
    """To be a service of the suite."""
    POD = auto()
    """The token that the submission's own pods have: the route itself checks it."""


class Verdict(StrEnum):
    """What becomes of a request."""

    ALLOWED = auto()
    FORBIDDEN = auto()
    HIDDEN = auto()
    """To be answered as if the thing were not there."""


@dataclass(frozen=True)
class Subject:
    """What a request is about: the owner of the submission in its path (None: there is none), the user in its path."""

    owner: str | None = None
    user: str = ""


Rules = Mapping[tuple[str, str], Need]
"""What is needed by method and route, as the url maps write them."""


def _rules(need: Need, *routes: str) -> dict[tuple[str, str], Need]:
    """``"GET /a"`` or ``"POST PUT /a"``."""
    found = {}
    for route in routes:
        *methods, path = route.split()
        found.update({(method, path): need for method in methods})
    return found


_EVERYWHERE = {
    **_rules(Need.PUBLIC, "GET /healthz", "GET /readyz", "GET /openapi.json"),
    **_rules(Need.METRICS, "GET /metrics"),
}
_SPELLINGS = ("scaling", "scailing", "scalinig")

MANAGER: Rules = {
    **_EVERYWHERE,
    **_rules(Need.LIST, "GET /submissions"),
    **_rules(Need.SUBMIT, "POST /submissions", "DELETE /submissions"),
    **_rules(
        Need.SEE,
        "GET /submissions/<id>",
        "GET /submissions/<id>/decisions",
        "GET /submissions/<id>/errors",
        "GET /submissions/<id>/events",
        "GET /submissions/<id>/forecast",
        "GET /submissions/<id>/items",
        "GET /submissions/<id>/log",
        "GET /submissions/<id>/report",
        "GET /submissions/<id>/results",
        "GET /submissions/<id>/visualizer",
    ),
    **_rules(
        Need.CHANGE,
        "PATCH DELETE /submissions/<id>",
        "PUT /submissions/<id>/stop",
        "PUT /submissions/<id>/terminate",
        "POST /submissions/<id>/retry",
        "POST /submissions/<id>/items",
    ),
    **_rules(
        Need.POD,
        "POST /submissions/<id>/items/claim",
        "POST /submissions/<id>/items/complete",
        "POST /submissions/<id>/items/extend",
        "POST /submissions/<id>/items/fail",
        "POST /submissions/<id>/items/release",
    ),
    **_rules(
        Need.READ,
        "GET /submissions/cluster",
        "GET /submissions/cluster/activate",
        "GET /nodes",
        "GET /plugins",
        "GET /whoami",
    ),
    **_rules(Need.OVERVIEW, "GET /history", "GET /history/<key>", "GET /cluster/check"),
    **_rules(
        Need.ADMIN,
        "POST /submissions/cluster",
        "DELETE /submissions/cluster/<name>",
        "PUT /submissions/cluster/<name>/activate",
        "POST /submissions/cluster/<name>/certificate",
        "DELETE /submissions/cluster/<name>/certificate/<certificate>",
        "POST /cluster/check",
        "DELETE /history",
        "DELETE /history/<key>",
        "GET POST /users",
        "PATCH DELETE /users/<user>",
        "GET /audit",
    ),
    **_rules(
        Need.SELF,
        "GET /users/<user>",
        "PUT /users/<user>/password",
        "GET POST /users/<user>/tokens",
        "DELETE /users/<user>/tokens/<token>",
    ),
}

CONTROLLER: Rules = {
    **_EVERYWHERE,
    **_rules(Need.READ, "GET /laws"),
    **_rules(Need.OVERVIEW, "GET /cluster/check", "GET /shares"),
    **_rules(Need.SERVICE, "POST /setup", "POST /forecast"),
    **_rules(Need.LIST, *(f"GET /{name}" for name in _SPELLINGS)),
    **_rules(Need.SEE, *(f"GET /{name}/<id>" for name in _SPELLINGS)),
    **_rules(
        Need.SERVICE,
        *(f"POST /{name}/validate" for name in _SPELLINGS),
        *(f"POST DELETE /{name}/<id>" for name in _SPELLINGS),
        *(f"PUT /{name}/<id>/stop" for name in _SPELLINGS),
    ),
}

MONITOR: Rules = {
    **_EVERYWHERE,
    **_rules(Need.OVERVIEW, "GET /cluster/check"),
    **_rules(Need.LIST, "GET /monitoring"),
    **_rules(
        Need.SEE,
        "GET /monitoring/<id>",
        "GET /monitoring/<id>/report",
        "GET /monitoring/<id>/report/detailed",
    ),
    **_rules(Need.SERVICE, "POST DELETE /monitoring/<id>", "PUT /monitoring/<id>/stop"),
}

VISUALIZER: Rules = {
    **_EVERYWHERE,
    **_rules(Need.PUBLIC, "GET POST /login", "POST /logout", "GET /static/<name>", "GET /favicon.ico"),
    **_rules(Need.READ, "GET /", "GET /submissions", "GET /clusters", "GET /submit"),
    **_rules(
        Need.LIST,
        "GET /visualizing",
        "GET /api/submissions",
        "GET /api/stream/submissions",
        "GET /api/sparks",
        "GET /api/clusters",
        "GET /api/stream/clusters",
    ),
    **_rules(Need.SUBMIT, "POST /api/submissions"),
    **_rules(
        Need.CHANGE,
        "PATCH DELETE /api/submissions/<id>",
        "PUT /api/submissions/<id>/stop",
        "PUT /api/submissions/<id>/terminate",
        "POST /api/submissions/<id>/retry",
    ),
    **_rules(
        Need.SEE,
        "GET /visualizing/<id>",
        "GET /submissions/<id>",
        "GET /api/submissions/<id>",
        "GET /api/submissions/<id>/series",
        "GET /api/submissions/<id>/log",
        "GET /api/submissions/<id>/spec",
        "GET /submissions/<id>/report",
        "GET /submissions/<id>/results",
        "GET /api/stream/submissions/<id>",
    ),
    **_rules(
        Need.SERVICE,
        "POST /visualizing",
        "POST DELETE /visualizing/<id>",
        "PUT /visualizing/<id>/stop",
    ),
}

RULES: Mapping[str, Rules] = {
    "manager": MANAGER,
    "controller": CONTROLLER,
    "monitor": MONITOR,
    "visualizer": VISUALIZER,
}


_SERVICES = frozenset({Need.READ, Need.LIST, Need.SEE, Need.OVERVIEW, Need.SERVICE})


def need_of(service: str, method: str, route: str) -> Need:
    """What the route asks for."""
    return RULES.get(service, _EVERYWHERE).get(("GET" if method == "HEAD" else method, route), Need.SERVICE)


def judge(need: Need, principal: Principal, subject: Subject) -> Verdict:
    """Whether this principal may have what the route does to that subject."""
    if need in (Need.PUBLIC, Need.POD):
        return Verdict.ALLOWED
    if need is Need.METRICS:
        return _allowed(principal.sees_all or principal.kind == "scraper")
    if principal.kind == "scraper":
        return Verdict.FORBIDDEN
    if need in (Need.SEE, Need.CHANGE) and not principal.sees(subject.owner):
        return Verdict.HIDDEN
    if principal.kind == "service":
        # The services read from each other and tell each other what to do. Whoever has their token is no user, though.
        return _allowed(need in _SERVICES)
    return _allowed(_may(need, principal, subject))


def visible(principal: Principal, owners: Mapping[str, str], ids: Iterable[str]) -> set[str]:
    """Those of the submissions that the principal may see. ``owners`` has the owner of each that is there."""
    return set(ids) if principal.sees_all else {id for id in ids if principal.sees(owners.get(id))}


def _may(need: Need, principal: Principal, subject: Subject) -> bool:
    if need in (Need.READ, Need.LIST, Need.SEE):
        return True
    if need is Need.OVERVIEW:
        return principal.sees_all
    if need is Need.SERVICE:
        return False
    if principal.role is Role.ADMIN:
        return True
    if need is Need.SELF:
        return principal.name == subject.user
    # What is visible to a submitter is their own.
    return principal.role is Role.SUBMITTER and need in (Need.SUBMIT, Need.CHANGE)


def _allowed(is_so: bool) -> Verdict:
    return Verdict.ALLOWED if is_so else Verdict.FORBIDDEN
