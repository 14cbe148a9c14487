"""A door with its users, tokens, sessions and audit log in memory."""

from __future__ import annotations

from collections.abc import Sequence

from common.domain.accounts import Ownership, Role, Token, User
from common.domain.audit import AUDIT, DONE, REFUSED, AuditEntry
from common.http.authentication import Accounts, Authenticator, FixedTokens
from common.http.gate import Gate, GateSettings
from common.http.throttle import Throttle
from common.ports import Clock, Records
from manager.users import NewToken, NewUser, UserBook
from tests.fakes.attempts import MemoryAttempts
from tests.fakes.claims import MemoryClaims
from tests.fakes.records import MemoryJournal, MemoryRecords

SERVICE_TOKEN = "the token of the services"
ADMIN_TOKEN = "the token of the operator"
METRICS_TOKEN = "the token of Prometheus"


class Guard:
    """``owners`` are the submissions that are there, by id; ``records`` takes their place."""

    def __init__(
        self,
        clock: Clock,
        service: str,
        required: bool = False,
        service_token: str = "",
        hosts: frozenset[str] | None = None,
        origins: Sequence[str] = (),
        records: Records[Ownership] | None = None,
    ) -> None:
        self.users: MemoryRecords[User] = MemoryRecords(clock=clock)
        self.tokens: MemoryRecords[Token] = MemoryRecords(clock=clock)
        self.sessions = MemoryClaims(clock)
        self.attempts = MemoryAttempts(clock)
        self.owners: MemoryRecords[Ownership] = MemoryRecords(clock=clock)
        self.audit = MemoryJournal(clock=clock)
        self.book = UserBook(self.users, self.tokens, clock)
        self.authenticator = Authenticator(
            Accounts(self.users, self.tokens, self.sessions),
            FixedTokens(service_token, ADMIN_TOKEN, METRICS_TOKEN),
            Throttle(self.attempts),
            clock,
        )
        self.gate = Gate(
            GateSettings(service, required, service_token, hosts, origins, sessions=service == "visualizer"),
            self.authenticator,
            records if records is not None else self.owners,
            self.audit,
            clock,
        )

    def user(self, name: str, role: Role = Role.SUBMITTER, password: str = "", **quota: int) -> dict[str, str]:
        """A new user; the header that shows a token of theirs."""
        self.book.add(NewUser.model_validate({"name": name, "role": role, "password": password, "quota": quota}))
        return bearer(self.book.issue(name, NewToken()).text)

    def noted(self, refused: bool = False) -> list[AuditEntry]:
        """The audit log."""
        return self.audit.read(AUDIT, REFUSED if refused else DONE, AuditEntry)


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}
