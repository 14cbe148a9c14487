"""How people log in to the pages: a form, a cookie that scripts cannot read, and a way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, redirect, request

from common.domain.errors import AsperathosError, NotFound, TooManyRequests, Unauthorized
from common.http.app import answer_to
from common.http.authentication import Authenticator, Shown
from common.http.gate import SESSION_COOKIE

_MOST_FIELD = 512
Page = Callable[..., Response]
"""Renders a template: its name, the status, its values."""


@dataclass(frozen=True)
class Login:
    """``keep``: seconds that a login lasts. Not ``required``: nobody has to log in, so there is no form."""

    authenticator: Authenticator
    required: bool
    keep: float


def register_login(app: Flask, login: Login, page: Page) -> None:
    """Add the form, and lead people to it who would see a page before they have logged in."""

    @app.get("/login")
    def login_form() -> Response:
        if not login.required:
            return _see_other("/")
        return page("login.html", 200, where=_local(request.args.get("next")), problem="", name="")

    @app.post("/login")
    def log_in() -> Response:
        if not login.required:
            return _see_other("/")
        name, password = (request.form.get(field, "")[:_MOST_FIELD] for field in ("name", "password"))
        where = _local(request.form.get("next"))
        try:
            principal = login.authenticator.by_password(name.strip(), password, request.remote_addr or "")
            session = login.authenticator.begin_session(principal)
        except (Unauthorized, TooManyRequests) as error:
            return page("login.html", error.status, where=where, problem=_sentence(error), name=name)
        _end_session()
        response = _see_other(where)
        _set_cookie(response, session, int(login.keep))
        return response

    @app.post("/logout")
    def log_out() -> Response:
        _end_session()
        response = _see_other("/login")
        _set_cookie(response, "", 0)
        return response

    def _end_session() -> None:
        session = request.cookies.get(SESSION_COOKIE, "")
        if session:
            login.authenticator.end_session(session)

    @app.errorhandler(Unauthorized)
    def unknown(error: Unauthorized) -> Response:
        if login.required and request.method == "GET" and wants_page():
            return redirect_to_login()
        return answer_to(error)

    @app.errorhandler(NotFound)
    def hidden(error: NotFound) -> Response:
        if request.method == "GET" and wants_page():
            return page("missing.html", 404, what=f"T{error.message[1:]}.")
        return answer_to(error)


def redirect_to_login() -> Response:
    """To the form, and from there back to where one was going."""
    return _see_other(f"/login?next={request.path}" if request.path != "/" else "/login")


def shown_session() -> Shown:
    """What shows the manager who a page acts for: the session of the cookie, unless the request says itself."""
    authorization = request.headers.get("Authorization", "")
    session = request.cookies.get(SESSION_COOKIE, "")
    return Shown(request.remote_addr or "", authorization or (f"Session {session}" if session else ""))


def wants_page() -> bool:
    """Whether a person asks, rather than a program. What browsers say they take begins with other kinds at times."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _see_other(where: str) -> Response:
    response = redirect(where, 303)
    response.headers["Cache-Control"] = "no-store"
    return response  # type: ignore[return-value]


def _local(where: str | None) -> str:
    """A path of ours, so that the form leads nobody to another site."""
    is_ours = where is not None and where.startswith("/") and not where.startswith(("//", "/\\", "/login", "/logout"))
    return where if is_ours and where is not None and where.isprintable() and "\\" not in where else "/"


def _sentence(error: AsperathosError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}."


def _set_cookie(response: Response, value: str, keep: int) -> None:
    response.set_cookie(
        SESSION_COOKIE, value, max_age=keep, path="/", secure=request.is_secure, httponly=True, samesite="Strict"
    )
