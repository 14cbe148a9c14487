"""Handles one item of the stream: a slow, salted digest of it (PBKDF2, about 100 ms of work)."""

from __future__ import annotations

import hashlib
import sys

print(hashlib.pbkdf2_hmac("sha256", sys.argv[1].encode(), b"asperathos", 150_000).hex())
