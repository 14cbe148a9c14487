"""The Lua scripts, as source and digest. The key model is written above ``lua/prelude.lua``."""

from __future__ import annotations

import hashlib
import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Script:
    """A script and the digest by which Redis's cache knows it."""

    name: str
    source: str
    sha: str


def _source(name: str) -> str:
    # Through the package's loader: the package may lie in a zip archive.
    source = pkgutil.get_data(__name__.rpartition(".")[0], f"lua/{name}.lua")
    assert source is not None
    return source.decode("utf-8")


def _load(name: str, prelude: bool = True) -> Script:
    source = _source(name)
    if prelude:
        source = _source("prelude") + source
    return Script(name, source, hashlib.sha1(source.encode("utf-8")).hexdigest())


OPEN = _load("open", prelude=False)
SET = _load("set")
PUT = _load("put")
TAKE = _load("take")
FAIL = _load("fail")
RELEASE = _load("release")
EXTEND = _load("extend")
REPORT = _load("report")
SWEEP = _load("sweep")
STATS = _load("stats")
WORKERS = _load("workers")
RESULTS = _load("results")
FAILURES = _load("failures")
DEAD = _load("dead")
ITEMS = _load("items")
LINES = _load("lines")

PARTS = (
    "config",
    "items",
    "ready",
    "delayed",
    "leased",
    "leases",
    "errors",
    "finished",
    "dead",
    "dead_order",
    "failures",
    "names",
    "workers",
    "puts",
    "durations",
    "counters",
    "reported",
)
"""Every key of a queue, without its prefix."""


def prefix_of(submission: str) -> str:
    """What all keys of this submission's queue begin with."""
    return f"asp:{{{submission}}}:q:"
