"""Gives the workers of each submission a user of the shared Redis, for as long as there may be workers.

A dedicated queue's Redis has its users from its start (``manifests.queue_secret``): it only gets its password here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from common.domain.errors import Forbidden
from common.domain.submission import Submission
from common.logging import get_logger
from common.ports import QueueAccess

log = get_logger(__name__)
_RANDOM_BYTES = 24


class Keyring:
    """``access`` None: workers get the suite's own address of the shared Redis."""

    def __init__(self, access: QueueAccess | None) -> None:
        self._access = access

    def password(self, submission: Submission) -> str:
        """What the record is to hold before anything is granted: as it is, or a new one where one is needed."""
        is_needed = self._access is not None or submission.spec.queue == "dedicated"
        if submission.queue_password or not is_needed:
            return submission.queue_password
        return secrets.token_urlsafe(_RANDOM_BYTES)

    def grant(self, submission: Submission) -> None:
        """Have the user. Raises Unavailable, and Forbidden when we may not manage users."""
        if self._access is not None and self._has_user(submission):
            self._access.grant(submission.id, submission.queue_password)

    def assert_granted(self, submission: Submission) -> str:
        """Have the user again, should Redis have been restarted without it; returns why that cannot be, or ''."""
        try:
            self.grant(submission)
        except Forbidden as error:
            return error.message
        return ""

    def withdraw(self, submission: Submission) -> None:
        """Remove the user. Raises Unavailable."""
        if self._access is None or not self._has_user(submission):
            return
        try:
            self._access.revoke(submission.id)
        except Forbidden as error:
            log.warning("queue_user_left", id=submission.id, error=error.message)

    def strangers(self, is_known: Callable[[str], bool]) -> list[str]:
        """Submissions that have a user but are not known. Raises Unavailable."""
        if self._access is None:
            return []
        try:
            return [id for id in self._access.granted() if not is_known(id)]
        except Forbidden as error:
            log.debug("queue_users_not_listed", error=error.message)
            return []

    def expel(self, id: str) -> None:
        """Remove the user of a submission that is not known. Raises Unavailable."""
        if self._access is not None:
            self._access.revoke(id)

    @staticmethod
    def _has_user(submission: Submission) -> bool:
        return submission.spec.queue == "shared" and bool(submission.queue_password)
