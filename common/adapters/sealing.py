"""Secrets that are kept in Redis, sealed with a key that only the services have.

Fernet (AES-CBC with an HMAC): nobody who merely writes to Redis can make up a sealed text, nor change one.
"""

from __future__ import annotations

import base64
import hashlib

from common.domain.errors import Unavailable

_SEALED, _PLAIN = "fernet:", "plain:"


class Seals:
    """Implements ports.Sealing. Without a ``secret`` texts stay as they are; with one, only sealed ones are read."""

    def __init__(self, secret: str) -> None:
        self._key = base64.urlsafe_b64encode(hashlib.sha256(f"asperathos seals\n{secret}".encode()).digest())
        self.sealing = bool(secret)

    def seal(self, text: str) -> str:
        if not self.sealing:
            return _PLAIN + text
        # Loaded when needed: most installations have one cluster and nothing to seal.
        from cryptography.fernet import Fernet

        return _SEALED + Fernet(self._key).encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        if not self.sealing:
            if not sealed.startswith(_PLAIN):
                raise Unavailable("it was sealed with a key that is not set here (ASPERATHOS_CLUSTER_KEY)")
            return sealed.removeprefix(_PLAIN)
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key).decrypt(sealed.removeprefix(_SEALED).encode()).decode()
        except (InvalidToken, ValueError) as error:
            raise Unavailable("it was sealed with another key (ASPERATHOS_CLUSTER_KEY)") from error
