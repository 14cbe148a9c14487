"""Who may do things: users with a role and quotas, their API tokens, and who a request comes from. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

USER_RECORDS = "user"
"""Kind of the records that hold the users, by name: written by the manager, read by all services."""
TOKEN_RECORDS = "token"
"""Kind of the records that hold the API tokens, by their public id: written by the manager, read by all services."""
USER_NAME = re.compile(r"[a-z0-9]([-a-z0-9._]{0,38}[a-z0-9])?")
OPERATOR = "operator"
"""Name of who shows the token of the settings (ASPERATHOS_ADMIN_TOKEN). No user may be called so."""
RESERVED_NAMES = frozenset({OPERATOR, "anonymous", "services", "metrics"})

UserName = Annotated[str, StringConstraints(pattern=rf"^{USER_NAME.pattern}$")]


class Role(StrEnum):
    """What a user may do, from least to most."""

    VIEWER = "viewer"
    """Look at everything, change nothing."""
    SUBMITTER = "submitter"
    """Hand in work, and see and change what is one's own."""
    ADMIN = "admin"
    """Everything: all submissions, clusters, users."""


class Quota(BaseModel):
    """What a user may have at most; 0 is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    submissions: int = Field(default=0, ge=0, le=1_000_000)
    """Submissions that have not ended."""
    items: int = Field(default=0, ge=0, le=2**53)
    """Items of one submission."""


NO_QUOTA = Quota()


class User(BaseModel):
    """The record of one user. ``created_at`` is Unix seconds."""

    model_config = ConfigDict(frozen=True)

    name: UserName
    role: Role
    password: str = Field(default="", repr=False)
    """The hash of the password, '' for a user who only has tokens."""
    quota: Quota = Quota()
    created_at: float
    uid: str
    """Random: tokens of a removed user do not become those of a new one of the same name."""
    login: str
    """Random, and new with each password: sessions begun with an old one are over."""


class Token(BaseModel):
    """The record of one API token: what it is is not in it. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    digest: str = Field(repr=False)
    """SHA-256 of the token. It is 256 random bits, so that nothing slower is needed."""
    user: UserName
    uid: str
    """The user's."""
    label: str = ""
    created_at: float
    expires_at: float | None = None


class Ownership(BaseModel):
    """What access control needs of a submission's record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str = ""
    """The name of the user who handed it in; empty when nobody had to log in."""


@dataclass(frozen=True)
class Principal:
    """Who a request comes from. ``kind`` says how they showed it.

    ``anonymous`` is everybody where no authentication is asked for; ``service`` is another service of the suite;
    ``scraper`` reads metrics and nothing else.
    """

    name: str
    kind: Literal["anonymous", "user", "operator", "service", "scraper"]
    role: Role
    quota: Quota = NO_QUOTA
    cookie: bool = False
    """Whether a cookie showed it, which a browser sends along whoever makes it send something."""

    @property
    def owner(self) -> str:
        """Whose the submissions are that they hand in; '' for nobody's."""
        return self.name if self.kind in ("user", "operator") else ""

    @property
    def sees_all(self) -> bool:
        """Whether all submissions are visible to them, not only their own."""
        return self.kind != "scraper" and self.role is not Role.SUBMITTER

    def sees(self, owner: str | None) -> bool:
        """Whether a submission of that owner is visible; None is one that is not there (any more)."""
        return self.sees_all or (owner is not None and owner == self.name)


ANONYMOUS = Principal("anonymous", "anonymous", Role.ADMIN)
SERVICES = Principal("services", "service", Role.VIEWER)
SCRAPER = Principal("metrics", "scraper", Role.VIEWER)
OPERATING = Principal(OPERATOR, "operator", Role.ADMIN)
