"""Finding out who a request comes from: tokens, passwords, sessions of browsers."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from common.domain import credentials
from common.domain.accounts import OPERATING, OPERATOR, SCRAPER, SERVICES, USER_NAME, Principal, Token, User
from common.domain.errors import TooManyRequests, Unauthorized
from common.http.throttle import Throttle
from common.ports import Claims, Clock, Records

_REMEMBERED = 256
"""Passwords known to be right, so that each request with one need not take a tenth of a second."""
_AT_ONCE = 2
"""Passwords looked at at once: each takes 32 MiB."""
_PATIENCE = 5.0
_SESSION_BYTES = 32
_HOW = "show a token (Authorization: Bearer ...) or a user's name and password (Basic)"


@dataclass(frozen=True)
class FixedTokens:
    """The tokens of the settings; empty ones are nobody's."""

    service: str = ""
    admin: str = ""
    metrics: str = ""


@dataclass(frozen=True)
class Shown:
    """What a request has to say who it comes from. ``session`` is a browser's cookie (the pages show the manager the
    session itself: ``Authorization: Session``), ``login`` the name and password in a body of the original's."""

    address: str
    authorization: str = ""
    session: str = ""
    login: tuple[str, str] | None = None


@dataclass(frozen=True)
class Accounts:
    """Where users, tokens and sessions are kept."""

    users: Records[User]
    tokens: Records[Token]
    sessions: Claims


class Authenticator:
    """Says who a request comes from. Threads may share this. ``keep``: seconds that a browser's session lasts."""

    def __init__(
        self, accounts: Accounts, fixed: FixedTokens, throttle: Throttle, clock: Clock, keep: float = 43200.0
    ) -> None:
        self._accounts = accounts
        self._fixed = fixed
        self._throttle = throttle
        self._clock = clock
        self._keep = keep
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def principal(self, shown: Shown) -> Principal:
        """Who it is. Raises Unauthorized, TooManyRequests, and Unavailable."""
        scheme, _, value = shown.authorization.partition(" ")
        value = value.strip()
        if scheme.lower() == "bearer" and value:
            return self.by_token(value)
        if scheme.lower() == "basic" and value:
            return self.by_password(*_basic(value), shown.address)
        if scheme.lower() == "session" and value:
            return self.by_session(value)
        if scheme:
            raise Unauthorized(f"what stands in Authorization is not understood: {_HOW}")
        if shown.session:
            return replace(self.by_session(shown.session), cookie=True)
        if shown.login is not None:
            return self.by_password(*shown.login, shown.address)
        raise Unauthorized(f"who are you? {_HOW}")

    def is_service(self, authorization: str) -> bool:
        """Whether the header shows the services' token."""
        scheme, _, value = authorization.partition(" ")
        return scheme.lower() == "bearer" and credentials.same(value.strip(), self._fixed.service)

    def by_token(self, token: str) -> Principal:
        """Whose token it is. Raises Unauthorized."""
        for fixed, principal in (
            (self._fixed.service, SERVICES),
            (self._fixed.admin, OPERATING),
            (self._fixed.metrics, SCRAPER),
        ):
            if credentials.same(token, fixed):
                return principal
        kept = self._kept_token(token)
        user = self._user(kept.user) if kept is not None else None
        if kept is None or user is None or user.uid != kept.uid:
            raise Unauthorized("the token is not known: it was revoked, or it is of another installation")
        if kept.expires_at is not None and kept.expires_at <= self._clock.now():
            raise Unauthorized("the token has expired")
        return _principal(user)

    def by_password(self, name: str, password: str, address: str) -> Principal:
        """The user of that name, if it is their password or token. Raises Unauthorized, TooManyRequests."""
        if credentials.token_id(password) or name == OPERATOR:
            principal = self.by_token(password)
            if principal.name == name:
                return principal
            raise Unauthorized("the token is another user's")
        user = self._user(name)
        kept = user.password if user is not None else ""
        seen = hmac.digest(self._key, f"{name}\n{kept}\n{password}".encode(errors="replace"), "sha256")
        if not self._is_remembered(seen):
            self._throttle.begin(name, address)
            with self._place():
                is_right = credentials.is_password(password, kept)
            if not is_right:
                raise Unauthorized("the name or the password is wrong")
            self._throttle.succeeded(name, address)
            self._remember(seen)
        if user is None:
            raise Unauthorized("the name or the password is wrong")
        return _principal(user)

    def begin_session(self, principal: Principal) -> str:
        """A new session's id, for a cookie. Raises Unauthorized for who has none (services)."""
        login = self._login(principal.name)
        if login is None:
            raise Unauthorized("this is no user's token")
        id = secrets.token_urlsafe(_SESSION_BYTES)
        self._accounts.sessions.claim(_session(id), f"{principal.name} {login}", self._keep)
        return id

    def by_session(self, id: str) -> Principal:
        """Whose session it is. Raises Unauthorized when it is over."""
        held = self._accounts.sessions.held(_session(id))
        name, _, login = (held or "").partition(" ")
        if not name or not credentials.same(login, self._login(name) or ""):
            raise Unauthorized("the session is over: log in again")
        if name == OPERATOR:
            return OPERATING
        user = self._user(name)
        if user is None:
            raise Unauthorized("the session is over: log in again")
        return _principal(user)

    def end_session(self, id: str) -> None:
        """Forget it."""
        self._accounts.sessions.drop(_session(id))

    def _login(self, name: str) -> str | None:
        if name == OPERATOR:
            return credentials.digest(self._fixed.admin) if self._fixed.admin else None
        user = self._user(name)
        return user.login if user is not None else None

    def _kept_token(self, token: str) -> Token | None:
        id = credentials.token_id(token)
        found = self._accounts.tokens.get(id) if id else None
        matches = credentials.same(credentials.digest(token), found.value.digest if found is not None else "")
        return found.value if found is not None and matches else None

    def _user(self, name: str) -> User | None:
        found = self._accounts.users.get(name) if USER_NAME.fullmatch(name) else None
        return found.value if found is not None else None

    def _is_remembered(self, seen: bytes) -> bool:
        with self._lock:
            if seen not in self._right:
                return False
            self._right.move_to_end(seen)
            return True

    def _remember(self, seen: bytes) -> None:
        with self._lock:
            self._right[seen] = None
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=_PATIENCE):
            raise TooManyRequests("too many log in at once", _PATIENCE)
        try:
            yield
        finally:
            self._places.release()


def _principal(user: User) -> Principal:
    return Principal(user.name, "user", user.role, user.quota)


def _session(id: str) -> str:
    # What is in Redis is no cookie that could be used.
    return f"session:{credentials.digest(id)}"


def _basic(value: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthorized("what stands in Authorization is not Basic authentication") from error
    if not colon:
        raise Unauthorized("what stands in Authorization is not Basic authentication")
    return name, password
