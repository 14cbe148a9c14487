"""One InfluxDB server of whatever version: its version, its bucket, writing lines, asking in InfluxQL, deleting.

Points are written through influxdb-client (``/api/v2/write``: 1.8, 2.x, 3) or by plain ``/write`` (before 1.8), and
read by ``/query``, which all of them answer. The bucket is made with the first use.
"""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import requests
import urllib3
from influxdb_client import BucketRetentionRules, DBRPCreate, InfluxDBClient, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from influxdb_client.service.dbr_ps_service import DBRPsService

from common.domain.errors import AsperathosError, BadRequest, Unavailable
from common.logging import get_logger

log = get_logger(__name__)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_NEVER_TAKEN = (400, 413, 422)
"""Statuses of a write that fails again however often it is repeated."""
_RETENTION_POLICY = "autogen"
"""What InfluxDB calls the default retention policy of a database, and 2.x that of a bucket's virtual mapping."""


@dataclass(frozen=True)
class InfluxSettings:
    """Where it is and how to get in. ``retention`` (s) of a bucket that we make, 0 for ever; ``timeout`` in seconds."""

    url: str
    bucket: str = "asperathos"
    token: str = ""
    org: str = ""
    username: str = ""
    password: str = ""
    retention: float = 0.0
    write_api: Literal["auto", "v1", "v2"] = "auto"
    timeout: float = 10.0
    ca: str = ""
    """File of certificates to trust; empty for the usual."""


@dataclass(frozen=True)
class Version:
    """What ``/ping`` says."""

    major: int
    minor: int

    @property
    def has_write_v2(self) -> bool:
        """Whether ``/api/v2/write`` is there."""
        return (self.major, self.minor) >= (1, 8)


@dataclass(frozen=True)
class Series:
    """One series of an answer; a row has a value for each column, None where there is none."""

    name: str
    tags: Mapping[str, str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class InfluxServer:
    """Connects on first use; may be shared by threads. Every method may raise Unavailable."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = settings.ca or True
        if settings.token:
            self._session.headers["Authorization"] = f"Token {settings.token}"
        elif settings.username:
            self._session.auth = (settings.username, settings.password)
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._has_v3_database = False
        self._client: InfluxDBClient | None = None

    def version(self) -> Version:
        """The server's version, asked for once."""
        if self._version is None:
            told = parse_version(self._request("GET", "/ping"))
            if told is None and self._settings.write_api == "auto":
                raise Unavailable(
                    f"{self._settings.url} tells no version of InfluxDB: if it speaks its protocol, "
                    "set ASPERATHOS_INFLUX_WRITE_API"
                )
            self._version = told or Version(1, 8)
        return self._version

    def write(self, lines: Sequence[str]) -> None:
        """Store points in line protocol with timestamps in nanoseconds. Raises BadRequest when the server refuses them
        for what they are."""
        body = "\n".join(lines)
        if self.version().major >= 3:
            # It makes a missing database with the first point, and then keeps it for ever.
            self._have_v3_database()
        try:
            self._write(body)
        except _NoBucket:
            self._make_bucket()
            self._write(body)

    def query(self, statement: str) -> list[Series]:
        """The series that one InfluxQL SELECT or SHOW answers; none while there is no such database."""
        try:
            return self._influxql("GET", statement)
        except _NoBucket:
            return []

    def delete(self, submission: str) -> None:
        """Forget all points of a submission. InfluxDB 3 cannot: there the retention period ends them."""
        version = self.version()
        if version.major >= 3:
            return
        if version.major == 2:
            with _translated():
                self._v2().delete_api().delete(
                    "1970-01-01T00:00:00Z",
                    "2261-01-01T00:00:00Z",
                    f'submission="{submission}"',
                    bucket=self._settings.bucket,
                    org=self._org(),
                )
            return
        self._influxql("POST", f'DROP SERIES WHERE "submission" = {literal(submission)}')

    def close(self) -> None:
        """Give up the kept connections."""
        self._session.close()
        if self._client is not None:
            self._client.close()

    def _write(self, body: str) -> None:
        chosen = self._settings.write_api
        if self.version().has_write_v2 if chosen == "auto" else chosen == "v2":
            self._write_v2(body)
        else:
            self._write_v1(body)

    def _write_v1(self, body: str) -> None:
        self._request(
            "POST",
            "/write",
            params={"db": self._settings.bucket, "precision": "ns"},
            data=gzip.compress(body.encode(), 5),
            headers={"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"},
        )

    def _write_v2(self, body: str) -> None:
        with _translated():
            self._v2().write_api(write_options=SYNCHRONOUS).write(
                bucket=self._settings.bucket, org=self._org(), record=body, write_precision=WritePrecision.NS
            )

    def _v2(self) -> InfluxDBClient:
        """The client of the v2 API; 1.8 takes user and password as a token."""
        settings = self._settings
        if self._client is None:
            with self._lock:
                self._client = self._client or InfluxDBClient(
                    settings.url,
                    token=settings.token or (f"{settings.username}:{settings.password}" if settings.username else "-"),
                    org=settings.org,
                    timeout=int(settings.timeout * 1000),
                    ssl_ca_cert=settings.ca or None,
                    enable_gzip=True,
                    # The outbox tries again.
                    retries=False,
                )
        return self._client

    def _org(self) -> str:
        """The organization; 2.x only has any. Raises Unavailable when none is named and the token sees several."""
        if self._settings.org or self.version().major != 2:
            return self._settings.org or "-"
        with _translated():
            found = self._v2().organizations_api().find_organizations()
        if len(found) != 1:
            names = ", ".join(sorted(one.name for one in found)) or "none"
            raise Unavailable(f"InfluxDB 2 wants an organization: set ASPERATHOS_INFLUX_ORG (the token sees {names})")
        return str(found[0].name)

    def _make_bucket(self) -> None:
        """Only when a write has found none: who may write need not be allowed to look for buckets."""
        if self.version().major == 2:
            self._make_v2_bucket()
        else:
            duration = f" WITH DURATION {round(self._settings.retention)}s" if self._settings.retention else ""
            self._influxql("POST", f'CREATE DATABASE "{self._settings.bucket}"{duration}')
        log.info("bucket_made", bucket=self._settings.bucket, retention=self._settings.retention)

    def _make_v2_bucket(self) -> None:
        """The bucket, and a mapping by which InfluxQL finds it unless the server makes a virtual one itself (2.0)."""
        settings, org = self._settings, self._org()
        with _translated():
            client = self._v2()
            rules = BucketRetentionRules(type="expire", every_seconds=round(settings.retention))
            bucket = client.buckets_api().create_bucket(
                bucket_name=settings.bucket, org=org, retention_rules=rules if settings.retention else None
            )
            mappings = DBRPsService(client.api_client)
            found = mappings.get_dbr_ps(org_id=bucket.org_id, db=settings.bucket).content or []
            if not any(one.bucket_id == bucket.id for one in found):
                mappings.post_dbrp(
                    DBRPCreate(
                        org_id=bucket.org_id,
                        bucket_id=bucket.id,
                        database=settings.bucket,
                        retention_policy=_RETENTION_POLICY,
                        default=True,
                    )
                )

    def _have_v3_database(self) -> None:
        if self._has_v3_database:
            return
        body: dict[str, str] = {"db": self._settings.bucket}
        if self._settings.retention:
            body["retention_period"] = f"{round(self._settings.retention)}s"
        answer = self._send("POST", "/api/v3/configure/database", json=body)
        if answer.status_code in (401, 403):
            log.warning("bucket_not_made", bucket=self._settings.bucket, error=_problem(answer))
        elif answer.status_code != 409:
            _check(answer)
        self._has_v3_database = True

    def _influxql(self, method: str, statement: str) -> list[Series]:
        params = {"db": self._settings.bucket, "epoch": "ns"}
        if method == "GET":
            answer = self._request(method, "/query", params={**params, "q": statement})
        else:
            answer = self._request(method, "/query", params=params, data={"q": statement})
        try:
            (result,) = answer.json()["results"]
            problem = str(result.get("error", ""))
            series = [
                Series(one.get("name", ""), one.get("tags", {}), one["columns"], one.get("values", ()))
                for one in result.get("series", ())
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self._settings.url}/query answered in an unknown form") from error
        if problem and not problem.startswith("database not found"):
            raise Unavailable(f"InfluxDB refuses the query: {problem}")
        return series

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._send(method, path, **options)
        _check(answer)
        return answer

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self._settings.url + path, timeout=self._settings.timeout, **options)
        except requests.RequestException as error:
            raise Unavailable(f"InfluxDB at {self._settings.url} does not answer: {type(error).__name__}") from error


class _NoBucket(Unavailable):
    """There is no such bucket (any more)."""


def parse_version(ping: requests.Response) -> Version | None:
    """The version in an answer of ``/ping``: a header, or in the body as InfluxDB 3 does; None of other servers."""
    told = ping.headers.get("X-Influxdb-Version", "")
    if not told and ping.content:
        try:
            told = str(ping.json()["version"])
        except (ValueError, KeyError, TypeError):
            told = ""
    found = _VERSION.match(told)
    return None if found is None else Version(int(found[1]), int(found[2]))


def literal(text: str) -> str:
    """The text as a string of InfluxQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _check(answer: requests.Response) -> None:
    if answer.status_code >= 400:
        raise _refusal(answer.status_code, _problem(answer))


def _problem(answer: requests.Response) -> str:
    try:
        body = answer.json()
        return str(body.get("error") or body.get("message") or body)
    except (ValueError, AttributeError):
        return answer.text[:300]


def _refusal(status: int, problem: str) -> AsperathosError:
    if status in (401, 403):
        return Unavailable(
            f"InfluxDB refuses our credentials ({status}): see ASPERATHOS_INFLUX_TOKEN, _USERNAME, _PASSWORD: {problem}"
        )
    if status == 404:
        return _NoBucket(f"InfluxDB has no such bucket: {problem}")
    if status in _NEVER_TAKEN:
        return BadRequest(f"InfluxDB refuses ({status}): {problem}")
    return Unavailable(f"InfluxDB answers {status}: {problem}")


@contextmanager
def _translated() -> Iterator[None]:
    """Raises our errors for those of influxdb-client."""
    try:
        yield
    except ApiException as error:
        raise _refusal(int(error.status or 500), str(error.message or error.body or error.reason)) from error
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"InfluxDB does not answer: {type(error).__name__}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"InfluxDB answers in an unknown form: {error}") from error
