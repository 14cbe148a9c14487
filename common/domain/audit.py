"""Who changed what, when, and what came of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

AUDIT = "audit"
"""Journal of AuditEntry entries: written by whichever service was asked, read by the manager."""
DONE, REFUSED = "done", "refused"
"""Its two parts. What strangers try is apart, so that they cannot push out what users did."""


class AuditEntry(BaseModel):
    """One request that would change something. ``at`` is Unix seconds, ``code`` the HTTP status of the answer."""

    model_config = ConfigDict(frozen=True)

    at: float
    who: str
    """A user's name; ``anonymous``, ``operator`` or ``services``; '' for somebody who did not prove who they are."""
    role: str = ""
    address: str = ""
    service: str
    method: str
    path: str
    subject: str = ""
    """The submission, user, cluster or history it is about."""
    code: int
    error: str = ""
    """The error's name, '' when it was done."""
    request_id: str = ""
