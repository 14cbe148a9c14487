"""The worker's settings, read from the environment once, with every fault named."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Callable, List, Mapping, Optional, Tuple, TypeVar

from .errors import BadEnvironment

T = TypeVar("T")

VARIABLES: Tuple[Tuple[str, str], ...] = (
    ("ASPERATHOS_REDIS_URL", "address of the queue's Redis, e.g. redis://:secret@redis:6379/0 (required)"),
    ("ASPERATHOS_SUBMISSION", "id of the submission whose items are to be worked on (required)"),
    ("JOB_COMPLETION_INDEX", "this worker's index, set by Kubernetes in an Indexed Job (default 0)"),
    ("POD_NAME", "this worker's name (default: HOSTNAME, else host name and process id)"),
    ("ASPERATHOS_RUN", "command template of the runner"),
    ("ASPERATHOS_GRACE_SECONDS", "time from SIGTERM to SIGKILL, seconds (default 30)"),
    ("ASPERATHOS_ITEM_TIMEOUT", "longest time one attempt may take, seconds (default: no limit)"),
    ("ASPERATHOS_RESULT_LIMIT", "largest result, bytes of UTF-8 (default 1048576)"),
    ("ASPERATHOS_QUEUE_PATIENCE", "how long the queue may be away before the worker gives up, seconds (default 600)"),
)


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know. Times in seconds, sizes in bytes."""

    redis_url: str
    submission: str
    worker: str
    index: int = 0
    grace: float = 30.0
    item_timeout: Optional[float] = None
    result_limit: int = 1 << 20
    patience: float = 600.0
    run: Optional[str] = None

    @property
    def margin(self) -> float:
        """The part of the grace period kept for handing items back: a fifth, 1 to 5 s, never more than half of it."""
        return min(5.0, max(1.0, self.grace / 5), self.grace / 2)


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _non_negative_float(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _non_negative_int(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def read_settings(environ: Optional[Mapping[str, str]] = None) -> WorkerSettings:
    """Read the settings from ``environ`` (the process's by default).

    An optional variable that is empty counts as absent. Raises BadEnvironment naming every variable at fault.
    """
    env: Mapping[str, str] = os.environ if environ is None else environ
    faults: List[Tuple[str, str]] = []

    def required(name: str) -> str:
        value = env.get(name, "").strip()
        if not value:
            faults.append((name, "is not set"))
        return value

    def optional(name: str, parse: Callable[[str], T], default: T, wanted: str) -> T:
        text = env.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError:
            faults.append((name, f"must be {wanted}, not {text!r}"))
            return default

    def timeout(text: str) -> Optional[float]:
        return _positive_float(text)

    redis_url = required("ASPERATHOS_REDIS_URL")
    if redis_url and not redis_url.startswith(("redis://", "rediss://", "unix://")):
        # The value itself may hold a password, so it is not repeated.
        faults.append(("ASPERATHOS_REDIS_URL", "must start with redis://, rediss:// or unix://"))
    name = env.get("POD_NAME", "").strip() or env.get("HOSTNAME", "").strip()
    settings = WorkerSettings(
        redis_url=redis_url,
        submission=required("ASPERATHOS_SUBMISSION"),
        worker=name or f"{socket.gethostname()}-{os.getpid()}",
        index=optional("JOB_COMPLETION_INDEX", _non_negative_int, 0, "a whole number from 0 on"),
        grace=optional("ASPERATHOS_GRACE_SECONDS", _non_negative_float, 30.0, "a number of seconds from 0 on"),
        item_timeout=optional("ASPERATHOS_ITEM_TIMEOUT", timeout, None, "a number of seconds above 0"),
        result_limit=optional("ASPERATHOS_RESULT_LIMIT", _positive_int, 1 << 20, "a number of bytes above 0"),
        patience=optional("ASPERATHOS_QUEUE_PATIENCE", _non_negative_float, 600.0, "a number of seconds from 0 on"),
        run=env.get("ASPERATHOS_RUN") or None,
    )
    if faults:
        raise BadEnvironment(faults)
    return settings
