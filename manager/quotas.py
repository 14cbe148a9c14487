"""What a user may have at most: submissions that have not ended, and items of each."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from common.domain.accounts import Principal
from common.domain.errors import Fault, InvalidSubmission, TooManyRequests
from common.domain.submission import Submission
from common.ports import Board, Records

HELD = "held"
"""Kind of the boards of users: the submissions each has handed in, until somebody saw that they have ended."""
_COME_AGAIN = 30.0


class Held(BaseModel):
    """A submission of a user; ``at`` is when it was handed in (Unix s)."""

    model_config = ConfigDict(frozen=True)

    at: float


def whose_quota(submission: Submission) -> str:
    """Who sets how many items it may have."""
    return f"the quota of {submission.owner}" if submission.owner else "the limit"


class Quotas:
    """Counts before it lets in, so that users who hand in many at once never have more than they may; of those who are
    at their limit then, perhaps nobody is let in, and told to come again."""

    def __init__(self, board: Board[Held], records: Records[Submission], most_items: int = 0) -> None:
        """``most_items`` holds for everybody, whatever their quota; 0 for no limit."""
        self._board = board
        self._records = records
        self._most_items = most_items

    def items(self, by: Principal) -> int:
        """Most items of a submission of theirs; 0 for no limit."""
        limits = [limit for limit in (by.quota.items, self._most_items) if limit]
        return min(limits, default=0)

    def check_items(self, submission: Submission) -> None:
        """Raises InvalidSubmission for more items than the user may hand in at once."""
        workload = submission.spec.workload
        given = len(workload.items) if workload is not None and workload.items is not None else 0
        if 0 < submission.item_quota < given:
            problem = f"has {given} items, and {whose_quota(submission)} is {submission.item_quota} a submission"
            raise InvalidSubmission([Fault("workload", problem)])

    def take(self, by: Principal, id: str, at: float) -> None:
        """Have room for one more of theirs, which is then to be created. Raises TooManyRequests."""
        most = by.quota.submissions
        if not most:
            return
        entries = self._board.exchange(by.name, id, Held(at=at))
        others = [other for other in entries if other != id]
        alive = self._alive(by.name, others, entries, at)
        if len(alive) >= most:
            self._board.drop(by.name, id)
            raise TooManyRequests(
                f"{by.name} has {len(alive)} submissions that have not ended; the quota is {most}", _COME_AGAIN
            )

    def _alive(self, user: str, ids: list[str], entries: dict[str, Held], now: float) -> list[str]:
        records = self._records.all(ids)
        alive = []
        for id in ids:
            record = records.get(id)
            # One without a record is being created by another request, unless that died meanwhile.
            is_theirs = now - entries[id].at <= _COME_AGAIN if record is None else record.owner == user
            if not is_theirs or (record is not None and record.state.terminal):
                self._board.drop(user, id)
            else:
                alive.append(id)
        return alive
