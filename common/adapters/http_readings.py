"""Numbers from outside over HTTP: small JSON documents, soon or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from common.domain.errors import Unavailable
from common.domain.outbound import Outbound, without_credentials
from common.outbound import AddressRefused, outbound_session

_MOST_BYTES = 262_144
_CHUNK = 16_384


class HttpReadings:
    """Implements ports.Readings. ``timeout``: seconds that one answer may take; ``rules``: where it may be had."""

    def __init__(self, timeout: float = 2.0, rules: Outbound | None = None) -> None:
        self._timeout = timeout
        self._session = outbound_session(rules or Outbound())

    def read(self, url: str, parameters: Mapping[str, str]) -> Any:
        """The JSON that a GET answers. Redirects are not followed. Raises Unavailable, saying what is wrong."""
        shown = without_credentials(url)
        ends = time.monotonic() + self._timeout
        try:
            with self._session.get(
                url, params=dict(parameters), timeout=self._timeout, allow_redirects=False, stream=True
            ) as answer:
                if answer.status_code != 200:
                    raise Unavailable(f"{shown} answers {answer.status_code}")
                body = bytearray()
                for chunk in answer.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise Unavailable(f"{shown} answers more than {_MOST_BYTES} bytes")
                    if time.monotonic() > ends:
                        raise Unavailable(f"{shown} takes longer than {self._timeout:g} s")
                return json.loads(body)
        except AddressRefused as error:
            raise Unavailable(f"{shown} is not asked: {error}") from error
        except requests.RequestException as error:
            raise Unavailable(f"{shown} does not answer: {type(error).__name__}") from error
        except ValueError as error:
            raise Unavailable(f"{shown} answers no JSON") from error
