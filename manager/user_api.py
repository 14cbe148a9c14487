"""The routes about users, their tokens, and what they did."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from common.domain.accounts import Token, User
from common.domain.audit import AUDIT, DONE, REFUSED, AuditEntry
from common.domain.errors import BadRequest, Fault
from common.http.body import read_contract, read_optional_document
from common.http.gate import current
from common.ports import Journal
from manager.users import NewPassword, NewToken, NewUser, UserBook, UserChange

_MOST_ENTRIES = 10_000
_ENTRIES = 100


def register_users(app: Flask, users: UserBook, audit: Journal) -> None:
    """Add the routes to the app. Who may ask for what is in common.domain.policy."""

    @app.get("/whoami")
    def whoami() -> Response:
        who = current()
        return jsonify({"name": who.name, "kind": who.kind, "role": who.role, "quota": who.quota.model_dump()})

    @app.get("/users")
    def all_users() -> Response:
        return jsonify({user.name: _shown(user) for user in users.listing()})

    @app.post("/users")
    def add_user() -> tuple[Response, int]:
        user = users.add(read_contract(request, NewUser))
        response = jsonify(_shown(user))
        response.headers["Location"] = f"/users/{user.name}"
        return response, 201

    @app.get("/users/<user>")
    def one_user(user: str) -> Response:
        return jsonify(_shown(users.get(user)))

    @app.patch("/users/<user>")
    def change_user(user: str) -> Response:
        return jsonify(_shown(users.change(user, read_contract(request, UserChange))))

    @app.delete("/users/<user>")
    def remove_user(user: str) -> tuple[str, int]:
        _ignored_body()
        users.remove(user)
        return "", 204

    @app.put("/users/<user>/password")
    def set_password(user: str) -> tuple[str, int]:
        users.set_password(user, read_contract(request, NewPassword), is_own=current().name == user)
        return "", 204

    @app.get("/users/<user>/tokens")
    def all_tokens(user: str) -> Response:
        return jsonify({"tokens": [_told(token) for token in users.tokens(user)]})

    @app.post("/users/<user>/tokens")
    def issue_token(user: str) -> tuple[Response, int]:
        issued = users.issue(user, read_contract(request, NewToken))
        return jsonify({**_told(issued.record), "token": issued.text}), 201

    @app.delete("/users/<user>/tokens/<token>")
    def revoke_token(user: str, token: str) -> tuple[str, int]:
        _ignored_body()
        users.revoke(user, token)
        return "", 204

    @app.get("/audit")
    def audit_log() -> Response:
        part = REFUSED if request.args.get("refused") in ("true", "1") else DONE
        found = audit.read(AUDIT, part, AuditEntry, count=_count())
        wanted = {name: request.args[name] for name in ("who", "subject") if name in request.args}
        shown = [entry for entry in found if all(getattr(entry, name) == value for name, value in wanted.items())]
        return jsonify({"entries": [entry.model_dump(mode="json") for entry in shown]})


def _shown(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role,
        "has_password": bool(user.password),
        "quota": user.quota.model_dump(),
        "created_at": user.created_at,
    }


def _told(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "user": token.user,
        "label": token.label,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }


def _ignored_body() -> None:
    if not isinstance(read_optional_document(request), dict):
        raise BadRequest("the body must be an object", [Fault("body", "must be an object")])


def _count() -> int:
    given = request.args.get("count", str(_ENTRIES))
    if not given.isascii() or not given.isdigit() or len(given) > 6 or not 1 <= int(given) <= _MOST_ENTRIES:
        problem = f"must be a whole number from 1 to {_MOST_ENTRIES}"
        raise BadRequest(f"count {problem}", [Fault("count", problem)])
    return int(given)
