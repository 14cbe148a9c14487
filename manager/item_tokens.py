"""Who may take a submission's items over HTTP: its own pods, by a token made for that submission.

Tokens are derived from a secret that all managers share, so that any of them checks any token without looking it up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from common.domain.errors import Forbidden, Unauthorized
from common.ports import Claims

_PURPOSE = b"asperathos items of "
_CLAIM = "items-secret"
_KEPT = 50 * 365 * 86400.0
"""Seconds; a secret is for ever, but a claim has an end."""


class ItemTokens:
    """``secret`` gives the managers' secret; it is asked once, at the first use. Threads may share this."""

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret
        self._known: bytes | None = None

    def token(self, submission: str) -> str:
        """The submission's token, as text for a header. Raises Unavailable when the secret cannot be had."""
        if self._known is None:
            self._known = self._secret().encode()
        digest = hmac.new(self._known, _PURPOSE + submission.encode(errors="replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def check(self, submission: str, authorization: str) -> None:
        """Raises Unauthorized when the header shows no token, Forbidden when it is not this submission's."""
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            raise Unauthorized(
                "taking items needs the submission's token: Authorization: Bearer $ASPERATHOS_ITEMS_TOKEN"
            )
        if not hmac.compare_digest(shown.strip().encode(errors="replace"), self.token(submission).encode()):
            raise Forbidden("this is not the token of this submission's pods")


def shared_secret(claims: Claims, given: str = "") -> Callable[[], str]:
    """The operator's secret, else one that the first manager makes and all find in Redis."""
    if given:
        return lambda: given
    return lambda: claims.claim(_CLAIM, secrets.token_hex(32), _KEPT)
