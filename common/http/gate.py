"""The door of every service: who comes, may they, and what is noted of it. Every request passes here, once."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, g, request

from common.domain.accounts import ANONYMOUS, SERVICES, Ownership, Principal
from common.domain.audit import AUDIT, DONE, REFUSED, AuditEntry
from common.domain.errors import Forbidden, NotFound, Unauthorized, Unavailable
from common.domain.policy import Need, Subject, Verdict, judge, need_of, visible
from common.http.authentication import Authenticator, Shown
from common.logging import get_logger
from common.ports import Clock, Journal, Records

log = get_logger(__name__)
SESSION_COOKIE = "asperathos_session"
MARK, MARK_VALUE = "X-Requested-With", "asperathos-pages"
"""What our pages send with whatever changes something: no other site's page can, without being asked first."""
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = frozenset({Need.PUBLIC, Need.POD})
_FOREIGN = frozenset({"cross-site", "same-site"})
"""same-site is any port of this machine, too."""
_MOST_CREDENTIALS = 1 << 20
"""Bytes of a body that is looked into for the original's credentials before anybody is known."""
_MOST_PATH = 200
_KEPT_OUT = frozenset({401, 403, 429})


@dataclass(frozen=True)
class GateSettings:
    """``required``: whether everybody has to say who they are. ``service_token`` is what the services show each other,
    '' for none. ``hosts`` are the names we are called by; None: any. ``origins`` are other sites whose pages may change
    things ('*': any). ``sessions``: whether browsers may show a cookie."""

    service: str
    required: bool = False
    service_token: str = ""
    hosts: frozenset[str] | None = None
    origins: Sequence[str] = ()
    sessions: bool = False


@dataclass(frozen=True)
class Gate:
    """What the door needs to know of the world. ``owners`` are the submissions' records."""

    settings: GateSettings
    authenticator: Authenticator
    owners: Records[Ownership]
    audit: Journal
    clock: Clock
    rules: Callable[[str, str, str], Need] = field(default=need_of)

    def install(self, app: Flask) -> None:
        """Have every request of the app pass here."""
        app.extensions[__name__] = self
        app.before_request(self._admit)
        app.after_request(self._note)

    def visible(self, ids: Iterable[str]) -> set[str]:
        """Those of the submissions that who asks may see."""
        wanted, principal = list(ids), current()
        if principal.sees_all:
            return set(wanted)
        owners = {id: found.owner for id, found in self.owners.all(wanted).items()}
        return visible(principal, owners, wanted)

    def _admit(self) -> None:
        if request.url_rule is None or request.method == "OPTIONS":
            return
        need = self.rules(self.settings.service, request.method, request.url_rule.rule)
        if need is not Need.POD:
            _check_host(request, self.settings.hosts)
        if request.method not in _READING:
            _check_origin(request, self.settings.origins)
        if not self.settings.required:
            g.principal = self._unasked(need)
            return
        if need in _OPEN:
            return
        principal = self._identified(request)
        g.principal = principal
        if principal.cookie and request.method not in _READING and request.headers.get(MARK) != MARK_VALUE:
            raise Forbidden(f"a page that changes something sends {MARK}: {MARK_VALUE}")
        self._check(need, principal, request.view_args or {})

    def _unasked(self, need: Need) -> Principal:
        """Who it is where nobody has to say so, but only services may tell services what to do."""
        token = self.settings.service_token
        is_service = bool(token) and self.authenticator.is_service(request.headers.get("Authorization", ""))
        if need is Need.SERVICE and token and not is_service:
            raise Unauthorized("changing this takes the services' token: Authorization: Bearer <token>")
        return SERVICES if need is Need.SERVICE and is_service else ANONYMOUS

    def _identified(self, request: Request) -> Principal:
        authorization = request.headers.get("Authorization", "")
        session = request.cookies.get(SESSION_COOKIE, "") if self.settings.sessions else ""
        login = None if authorization or session else _login_in(request)
        return self.authenticator.principal(Shown(request.remote_addr or "", authorization, session, login))

    def _check(self, need: Need, principal: Principal, values: Mapping[str, Any]) -> None:
        id = values.get("id")
        owner = None
        if id is not None and not principal.sees_all:
            found = self.owners.get(str(id))
            owner = found.value.owner if found is not None else None
        verdict = judge(need, principal, Subject(owner, str(values.get("user", ""))))
        if verdict is Verdict.HIDDEN:
            raise NotFound(f"there is no submission {str(id)[:40]!r}")
        if verdict is Verdict.FORBIDDEN:
            raise Forbidden(f"{principal.name} ({principal.role}) may not do this: {_WHO[need]}")

    def _note(self, response: Response) -> Response:
        """Keep who changed what. That it could not be kept must not undo what is done."""
        if request.method in _READING or request.url_rule is None:
            return response
        need = self.rules(self.settings.service, request.method, request.url_rule.rule)
        principal: Principal | None = g.get("principal")
        if self._is_noted_elsewhere(need, principal, response):
            return response
        entry = AuditEntry(
            at=self.clock.now(),
            who=principal.name if principal else "",
            role=principal.role.value if principal and principal.kind != "anonymous" else "",
            address=request.remote_addr or "",
            service=self.settings.service,
            method=request.method,
            path=request.path[:_MOST_PATH],
            subject=_subject(request, response),
            code=response.status_code,
            error=_error_name(response),
            request_id=g.get("request_id", ""),
        )
        try:
            self.audit.append(AUDIT, DONE if principal else REFUSED, entry)
        except Unavailable as error:
            log.warning("audit_lost", error=error.message, **entry.model_dump(exclude={"at", "error"}))
        return response

    def _is_noted_elsewhere(self, need: Need, principal: Principal | None, response: Response) -> bool:
        """What pods do is told by their items' attempts, what services tell each other by what users did before, and
        what pages pass on by the manager, unless it did not get that far."""
        is_passed_on = self.settings.sessions and need is not Need.PUBLIC and response.status_code not in _KEPT_OUT
        is_from_service = need is Need.SERVICE and principal is not None and principal.kind == "service"
        return need is Need.POD or is_passed_on or is_from_service


_WHO: Mapping[Need, str] = {
    Need.OVERVIEW: "it is for those who see all submissions",
    Need.METRICS: "it is for those who see all submissions",
    Need.SUBMIT: "it takes the role submitter",
    Need.CHANGE: "it takes the role submitter",
    Need.SELF: "it is another user's",
    Need.ADMIN: "it takes the role admin",
    Need.SERVICE: "it is for the services of the suite",
    Need.READ: "it is for users",
    Need.LIST: "it is for users",
    Need.SEE: "it is for users",
}


def current() -> Principal:
    """Who the present request comes from; everybody, where no gate is."""
    found: Principal = g.get("principal", ANONYMOUS)
    return found


def seen(app: Flask, ids: Iterable[str]) -> set[str]:
    """Those of the submissions that who asks may see; all, where no gate is."""
    gate: Gate | None = app.extensions.get(__name__)
    return set(ids) if gate is None else gate.visible(ids)


def _check_host(request: Request, hosts: frozenset[str] | None) -> None:
    """Another site's name that was made to lead here shows in the Host header: its pages may do nothing."""
    if hosts is None:
        return
    name = _host_name(request.host)
    if name in hosts or name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return
    raise Forbidden(
        f"we are not called {name[:80]!r} (ASPERATHOS_ALLOWED_HOSTS names more, or have users log in: "
        "ASPERATHOS_AUTHENTICATION=on)"
    )


def _check_origin(request: Request, origins: Sequence[str]) -> None:
    """Whether another site's page sends this, with a visitor's cookie or from a visitor's network."""
    origin = request.headers.get("Origin")
    if origin is None:
        is_foreign = request.headers.get("Sec-Fetch-Site", "none") in _FOREIGN
    else:
        is_foreign = urlsplit(origin).netloc.lower() != request.host.lower()
        is_foreign = is_foreign and "*" not in origins and origin.lower() not in origins
    if is_foreign:
        raise Forbidden("the page of another site may not change anything here")


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _login_in(request: Request) -> tuple[str, str] | None:
    """The name and password of a body of the original's: ``enable_auth`` true, ``username``, ``password``."""
    if request.mimetype != "application/json" or not 0 < (request.content_length or 0) <= _MOST_CREDENTIALS:
        return None
    try:
        document = json.loads(request.get_data())
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("enable_auth") is not True:
        return None
    name, password = document.get("username"), document.get("password")
    return (name, password) if isinstance(name, str) and isinstance(password, str) else None


def _subject(request: Request, response: Response) -> str:
    values = request.view_args or {}
    told = next((str(values[name]) for name in ("id", "user", "name", "key") if name in values), "")
    return (told or response.headers.get("Location", "").rpartition("/")[2])[:_MOST_PATH]


def _error_name(response: Response) -> str:
    if response.status_code < 400 or not response.is_json:
        return ""
    document = response.get_json(silent=True)
    return str(document.get("error_name", "")) if isinstance(document, dict) else ""
