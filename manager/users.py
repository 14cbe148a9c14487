"""The users: added, changed and removed by administrators, and the tokens and passwords they show."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ConfigDict, Field, field_validator

from common.domain import credentials
from common.domain.accounts import RESERVED_NAMES, USER_NAME, Quota, Role, Token, User
from common.domain.errors import Conflict, Fault, Forbidden, NotFound, Unavailable
from common.http.contracts import Contract
from common.logging import get_logger
from common.ports import Clock, Records

log = get_logger(__name__)
_MOST_USERS = 10_000
_MOST_TOKENS = 50
_MOST_TRIES = 20
_UID_BYTES = 16
_LONGEST = 3650 * 86400.0


def checked_name(name: str) -> str:
    """A user's name. Raises ValueError."""
    if not USER_NAME.fullmatch(name):
        raise ValueError("must be 1 to 40 lower case letters, digits, dots, dashes, underscores")
    if name in RESERVED_NAMES:
        raise ValueError("is reserved")
    return name


def checked_password(password: str) -> str:
    """A new password, '' for none. Raises ValueError."""
    if password and not credentials.LEAST_PASSWORD <= len(password) <= credentials.MOST_PASSWORD:
        raise ValueError(f"must be {credentials.LEAST_PASSWORD} to {credentials.MOST_PASSWORD} characters")
    return password


class _Body(Contract):
    model_config = ConfigDict(extra="forbid")


class NewUser(_Body):
    """POST /users."""

    name: str
    role: Role
    password: str = Field(default="", repr=False)
    quota: Quota = Quota()

    @field_validator("name")
    @classmethod
    def _a_name(cls, value: str) -> str:
        return checked_name(value)

    @field_validator("password")
    @classmethod
    def _a_password(cls, value: str) -> str:
        return checked_password(value)


class UserChange(_Body):
    """PATCH /users/:user; what is not given stays."""

    role: Role | None = None
    quota: Quota | None = None


class NewPassword(_Body):
    """PUT /users/:user/password. ``current`` is asked of the users themselves."""

    password: str = Field(repr=False)
    current: str = Field(default="", repr=False)

    @field_validator("password")
    @classmethod
    def _a_password(cls, value: str) -> str:
        return checked_password(value)


class NewToken(_Body):
    """POST /users/:user/tokens. ``expires_in``: seconds; None: never."""

    label: str = Field(default="", max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")
    expires_in: float | None = Field(default=None, gt=0, le=_LONGEST)


@dataclass(frozen=True)
class Issued:
    """A new token: its record, and the text that is shown this once."""

    record: Token
    text: str


class UserBook:
    """All methods may raise Unavailable."""

    def __init__(self, users: Records[User], tokens: Records[Token], clock: Clock) -> None:
        self._users = users
        self._tokens = tokens
        self._clock = clock

    def add(self, new: NewUser) -> User:
        """Raises Conflict for a name that is taken."""
        if len(self._users.ids()) >= _MOST_USERS:
            raise Conflict(f"there are {_MOST_USERS} users already: remove one first")
        user = User(
            name=new.name,
            role=new.role,
            password=credentials.hash_password(new.password) if new.password else "",
            quota=new.quota,
            created_at=self._clock.now(),
            uid=secrets.token_hex(_UID_BYTES),
            login=secrets.token_hex(_UID_BYTES),
        )
        try:
            self._users.create(new.name, user)
        except Conflict as error:
            raise Conflict(f"there is a user {new.name} already") from error
        log.info("user_added", user=new.name, role=new.role)
        return user

    def listing(self) -> list[User]:
        """All, the oldest first."""
        return list(self._users.all().values())

    def get(self, name: str) -> User:
        """Raises NotFound."""
        found = self._users.get(name) if USER_NAME.fullmatch(name) else None
        if found is None:
            raise NotFound(f"there is no user {name[:40]!r}")
        return found.value

    def change(self, name: str, change: UserChange) -> User:
        """Raises NotFound. What has been accepted of them already keeps the quota it was accepted with."""
        asked = {"role": change.role, "quota": change.quota}
        given = {field: value for field, value in asked.items() if value is not None}
        user = self._changed(name, lambda user: user.model_copy(update=given))
        log.info("user_changed", user=name, role=user.role)
        return user

    def set_password(self, name: str, new: NewPassword, is_own: bool) -> None:
        """A new password, or none any more; sessions begun with the old one are over, tokens stay. Whoever changes
        their own says the present one, if there is one. Raises NotFound and Forbidden."""
        present = self.get(name).password
        if is_own and present and not credentials.is_password(new.current, present):
            raise Forbidden("the current password is another one", [Fault("current", "is not the current password")])
        kept = credentials.hash_password(new.password) if new.password else ""
        login = secrets.token_hex(_UID_BYTES)
        self._changed(name, lambda user: user.model_copy(update={"password": kept, "login": login}))
        log.info("password_changed", user=name)

    def remove(self, name: str) -> None:
        """The user and their tokens; their submissions stay. Raises NotFound."""
        user = self.get(name)
        self._users.delete(name)
        for token in self._tokens_of(user):
            self._tokens.delete(token.id)
        log.info("user_removed", user=name)

    def tokens(self, name: str) -> list[Token]:
        """A user's tokens, the oldest first. Raises NotFound."""
        return self._tokens_of(self.get(name))

    def issue(self, name: str, new: NewToken) -> Issued:
        """A new token. Raises NotFound, and Conflict beyond the most."""
        user = self.get(name)
        if len(self._tokens_of(user)) >= _MOST_TOKENS:
            raise Conflict(f"{name} has {_MOST_TOKENS} tokens already: revoke one first")
        now = self._clock.now()
        id, text = credentials.new_token()
        record = Token(
            id=id,
            digest=credentials.digest(text),
            user=name,
            uid=user.uid,
            label=new.label,
            created_at=now,
            expires_at=None if new.expires_in is None else now + new.expires_in,
        )
        version = self._tokens.create(id, record)
        if new.expires_in is not None:
            self._tokens.update(id, record, version, ttl=new.expires_in)
        log.info("token_issued", user=name, token=id)
        return Issued(record, text)

    def revoke(self, name: str, id: str) -> None:
        """Raises NotFound for what is no token of that user."""
        found = self._tokens.get(id) if id.isascii() and id.isalnum() else None
        if found is None or found.value.user != name:
            raise NotFound(f"{name[:40]} has no token {id[:40]!r}")
        self._tokens.delete(id)
        log.info("token_revoked", user=name, token=id)

    def _tokens_of(self, user: User) -> list[Token]:
        return [token for token in self._tokens.all().values() if (token.user, token.uid) == (user.name, user.uid)]

    def _changed(self, name: str, change: Callable[[User], User]) -> User:
        for _ in range(_MOST_TRIES):
            self.get(name)
            kept = self._users.get(name)
            if kept is None:
                continue
            user = change(kept.value)
            try:
                self._users.update(name, user, kept.version)
            except Conflict:
                continue
            return user
        raise Unavailable(f"user {name} is being changed by others; try again")
