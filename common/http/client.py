"""The client between services: timeouts on everything, bounded retries with backoff, errors in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from pydantic import BaseModel, ValidationError
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from common.domain.errors import (
    AsperathosError,
    BadRequest,
    Conflict,
    Fault,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
)

M = TypeVar("M", bound=BaseModel)
_CHUNK = 65536
_BY_STATUS: dict[int, type[AsperathosError]] = {
    error.status: error for error in (BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge)
}


@dataclass(frozen=True)
class Relayed:
    """An answer that is passed on; its chunks are read once, as they come."""

    status: int
    content_type: str
    chunks: Iterator[bytes]


class ServiceClient:
    """Talks to one service at ``base`` (``http://host:port``).

    ``ca`` is a file of certificates to trust, empty for the usual. Connection failures and 502/503/504 are retried
    ``retries`` times with exponential backoff; all our bodies are idempotent, so POST is retried too. Raises
    Unavailable when the service does not answer, and BadRequest, Unauthorized, Forbidden, NotFound, Conflict and
    TooLarge as it answers.
    """

    def __init__(self, base: str, token: str = "", timeout: float = 5.0, retries: int = 2, ca: str = "") -> None:
        self._base = base.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca or True
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        policy = Retry(
            total=retries,
            backoff_factor=0.2,
            status_forcelist=(502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            # Whoever waits for the answer has a deadline of its own.
            respect_retry_after_header=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=policy))
        self._session.mount("https://", HTTPAdapter(max_retries=policy))

    def post(self, path: str, body: BaseModel) -> Any:
        """POST a contract; the answer's JSON, None when it has none."""
        return self._call("POST", path, body.model_dump_json())

    def put(self, path: str) -> Any:
        """PUT without a body."""
        return self._call("PUT", path, None)

    def delete(self, path: str) -> Any:
        """DELETE without a body."""
        return self._call("DELETE", path, None)

    def get(self, path: str, model: type[M]) -> M:
        """GET a contract. Raises Unavailable when the answer is not of that form."""
        try:
            return model.model_validate(self._call("GET", path, None))
        except ValidationError as error:
            raise Unavailable(f"{self._base}{path} answered in an unknown form") from error

    def get_json(self, path: str) -> Any:
        """GET plain JSON."""
        return self._call("GET", path, None)

    def relay(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Relayed:
        """Pass a request on as it is and give its answer back as it is, whatever its status. Raises Unavailable when
        there is none. The headers are sent beside our own, and replace those of the same name."""
        try:
            response = self._session.request(
                method, self._base + path, data=body, headers=dict(headers), timeout=self._timeout, stream=True
            )
        except requests.RequestException as error:
            raise Unavailable(f"{self._base} does not answer: {type(error).__name__}") from error
        return Relayed(response.status_code, response.headers.get("Content-Type", ""), _chunks(response))

    def close(self) -> None:
        """Give up the kept connections; a later call makes new ones."""
        self._session.close()

    def _call(self, method: str, path: str, body: str | None) -> Any:
        try:
            response = self._session.request(
                method,
                self._base + path,
                data=body,
                headers={"Content-Type": "application/json"} if body is not None else {},
                timeout=self._timeout,
            )
        except requests.RequestException as error:
            raise Unavailable(f"{self._base} does not answer: {type(error).__name__}") from error
        if response.status_code >= 400:
            raise _BY_STATUS.get(response.status_code, Unavailable)(
                f"{method} {self._base}{path} answered {response.status_code}: {_message(response)}", _faults(response)
            )
        if not response.content:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise Unavailable(f"{self._base}{path} answered something that is not JSON") from error


def _chunks(response: requests.Response) -> Iterator[bytes]:
    with response:
        yield from response.iter_content(_CHUNK)


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["error_message"])
    except (requests.JSONDecodeError, KeyError, TypeError):
        return response.text[:200]


def _faults(response: requests.Response) -> list[Fault]:
    """What the error envelope lists, as far as it is one."""
    try:
        return [Fault(str(detail["field"]), str(detail["problem"])) for detail in response.json()["details"]]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return []
