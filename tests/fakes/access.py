"""Users of the shared Redis, in memory."""

from __future__ import annotations

from common.domain.errors import Forbidden, Unavailable


class MemoryAccess:
    """Implements ports.QueueAccess. ``down``: Redis does not answer; ``refusal``: it does not let us manage users."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.down = False
        self.refusal = ""

    def grant(self, submission: str, password: str) -> None:
        self._check()
        self.passwords[submission] = password

    def revoke(self, submission: str) -> None:
        self._check()
        self.passwords.pop(submission, None)

    def granted(self) -> list[str]:
        self._check()
        return sorted(self.passwords)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("Redis does not answer: the test says so")
        if self.refusal:
            raise Forbidden(self.refusal)
