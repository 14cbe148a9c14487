"""Making and checking tokens and passwords. Comparisons take the same time whatever is wrong.

Tokens are ``asp_<id>_<secret>``: the id finds the record, the secret is 256 random bits and kept as its SHA-256.
Passwords are kept as scrypt hashes (RFC 7914) with the parameters that OWASP's Password Storage Cheat Sheet names for
it (N=2^15, r=8, p=3): about 32 MiB and a tenth of a second each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

LEAST_PASSWORD, MOST_PASSWORD = 10, 256
"""Characters of a password."""
_TOKEN = re.compile(r"asp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_PREFIX = "asp_"
_N, _R, _P = 2**15, 8, 3
_SALT = 16
_MEMORY = 128 * _N * _R * 2


def new_token() -> tuple[str, str]:
    """The id and the whole text of a fresh token."""
    id = secrets.token_hex(6)
    return id, f"{_PREFIX}{id}_{secrets.token_urlsafe(32)}"


def token_id(text: str) -> str:
    """The id in a token of ours, '' for anything else."""
    found = _TOKEN.fullmatch(text)
    return found[1] if found else ""


def digest(text: str) -> str:
    """SHA-256 in hexadecimal: of texts with enough randomness of their own, never of passwords."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ. '' is equal to nothing."""
    equal = hmac.compare_digest(digest(one), digest(other))
    return equal and bool(one)


def hash_password(password: str) -> str:
    """The text to keep of a password: the scheme's parameters, salt and hash."""
    salt = secrets.token_bytes(_SALT)
    key = _scrypt(password, salt, _N, _R, _P)
    return f"scrypt:{_N}:{_R}:{_P}:{_text(salt)}:{_text(key)}"


def is_password(password: str, kept: str) -> bool:
    """Whether it is the password that this is kept of. For '' as long as for any other, and never."""
    scheme, *parts = (kept or _NOBODYS).split(":")
    if scheme != "scrypt" or len(parts) != 5:
        return False
    n, r, p = map(int, parts[:3])
    salt, key = (base64.b64decode(part) for part in parts[3:])
    equal = hmac.compare_digest(_scrypt(password, salt, n, r, p), key)
    return equal and bool(kept)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODYS = f"scrypt:{_N}:{_R}:{_P}:{_text(bytes(_SALT))}:{_text(bytes(64))}"
"""What is compared with where there is no such user: it takes as long, and never is the password."""
