"""Requests and responses between the HTTP server and the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit


class Stream(Protocol):
    """The open end of a streamed answer."""

    def send(self, data: bytes) -> None:
        """Write now; raises OSError when the client is gone."""
        ...

    def wait(self, fileno: int | None, seconds: float) -> bool:
        """Sleep until the descriptor is readable or the time is over; True when client or server end the stream."""
        ...


@dataclass(frozen=True)
class Request:
    """One request; ``query`` keeps the last value of each parameter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @staticmethod
    def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """From the request line's target; header names come in lower case."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(method, unquote(parts.path), query, headers, body)


@dataclass(frozen=True)
class Response:
    """One answer: a body, or a function that streams."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Callable[[Stream], None] | None = None


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(status, encode_json(value), headers=headers or {})


def encode_json(value: Any) -> bytes:
    """Compact JSON with a final newline."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
