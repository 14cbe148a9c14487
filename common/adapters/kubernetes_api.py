"""Requests to a Kubernetes API server: authentication by the official client, plain JSON, bounded timeouts and retries.

The client's typed methods and models are not used: they take about 25 MB and a second to load in each service, and
make an object of every field of every pod. Its low-level part does what matters here, all ways to authenticate.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from common.domain.errors import ClusterError, Unavailable
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)
_LEAST_READ = 0.1
_MOST_LINE = 16 << 20
"""Bytes of one watch event: several times what Kubernetes lets an object have."""
_RETRIED = frozenset({429, 500, 502, 503, 504})
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True)
class ApiSettings:
    """``kubeconfig``: a path; empty means in-cluster, then the default file; ``document``: one that is not in a file,
    with everything inline. Durations in seconds: ``connect`` and ``read`` bound one request, ``budget`` all tries of
    one call."""

    kubeconfig: str = ""
    context: str = ""
    connect: float = 2.0
    read: float = 5.0
    attempts: int = 3
    backoff: float = 0.1
    budget: float = 6.0
    document: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """A successful or refused answer."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body. Raises ClusterError when it is no JSON object."""
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise ClusterError("the cluster answered something that is not JSON") from error
        if not isinstance(document, dict):
            raise ClusterError("the cluster answered no object")
        return document


class Watch:
    """An open watch: iterate over its events; ``close`` from any thread ends the iteration."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._closed = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Events as they come, until the server ends the watch. Raises Unavailable when the connection breaks or is
        silent for longer than the server had promised, ClusterError for what is no event."""
        try:
            for line in _lines(self._response.stream(65536)):
                yield _event(line)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if not self._closed:
                raise Unavailable(f"the watch broke: {_silence(error)}") from error
        finally:
            self._response.close()

    def close(self) -> None:
        """End it."""
        self._closed = True
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            # It has ended by itself.
            return


class KubernetesApi:
    """Connects at the first call, so that a service starts without its cluster. Threads may share it."""

    def __init__(self, settings: ApiSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._client: Any = None

    def call(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Make a request. Raises Unavailable when the server does not answer or stays overloaded, ClusterError with
        Kubernetes' reason for every other answer of 400 and above."""
        headers = {"Accept": accept, "User-Agent": "asperathos"}
        if body is not None:
            headers["Content-Type"] = content_type
        end = self._clock.monotonic() + self._settings.budget
        for attempt in range(self._settings.attempts):
            pause = self._settings.backoff * 4.0**attempt
            left = max(_LEAST_READ, end - self._clock.monotonic())
            try:
                response = self._request(method, path, list(query), headers, body, min(self._settings.read, left))
            except urllib3.exceptions.HTTPError as error:
                problem = f"the cluster does not answer: {_silence(error)}"
                cause: Exception = error
            else:
                if response.status < 400:
                    return Answer(response.status, bytes(response.data))
                if response.status not in _RETRIED:
                    raise _refusal(response.status, bytes(response.data))
                said = _refusal(response.status, bytes(response.data)).message
                problem = f"the cluster cannot answer now: HTTP {response.status}: {said}"
                cause = ClusterError(problem)
                pause = max(pause, _retry_after(response))
            is_last = attempt == self._settings.attempts - 1
            if is_last or self._clock.monotonic() + pause > end:
                raise Unavailable(problem) from cause
            self._clock.sleep(pause)
        raise Unavailable("the cluster was not asked")

    def watch(self, path: str, query: Sequence[tuple[str, str]], seconds: float, margin: float = 5.0) -> Watch:
        """Open a watch that the server ends after ``seconds``; one that is silent for ``margin`` longer is broken.

        One try only. Raises as ``call`` does, and Overloaded for a server that names its Retry-After.
        """
        query = [*query, ("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", f"{seconds:.0f}")]
        headers = {"Accept": "application/json", "User-Agent": "asperathos"}
        try:
            response = self._send("GET", path, query, headers, None, self._settings.connect, seconds + margin)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the cluster does not answer: {_silence(error)}") from error
        if response.status < 400:
            return Watch(response.response)
        try:
            body = bytes(response.read() or b"")
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the cluster does not answer: {_silence(error)}") from error
        refusal = _refusal(response.status, body)
        if response.status not in _RETRIED:
            raise refusal
        problem = f"the cluster cannot be watched now: HTTP {response.status}: {refusal.message}"
        raise Overloaded(problem, _retry_after(response)) from refusal

    def close(self) -> None:
        """Let go of idle connections. Further calls connect anew."""
        with self._lock:
            if self._client is not None:
                self._client.rest_client.close()

    def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        read: float,
    ) -> Any:
        response = self._send(method, path, query, headers, body, min(self._settings.connect, read), read)
        response.read()
        return response

    def _send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        connect: float,
        read: float,
    ) -> Any:
        """The response with its body still to be read."""
        api = self._connected()
        _, url, sent_headers, sent_body, _ = api.param_serialize(
            method,
            path,
            query_params=query,
            header_params=headers,
            body=dict(body) if body is not None else None,
            auth_settings=["BearerToken"],
        )
        try:
            return api.call_api(method, url, sent_headers, sent_body, _request_timeout=(connect, read))
        except client.ApiException as error:
            # The client reports broken connections and bad certificates so.
            raise urllib3.exceptions.HTTPError(str(error.reason or error)) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = client.ApiClient(self._configuration())
            return self._client

    def _configuration(self) -> Any:
        settings = self._settings
        if settings.document is not None:
            return self._configuration_of(settings.document)
        configuration = client.Configuration()
        try:
            if not settings.kubeconfig and _SERVICE_ACCOUNT.exists():
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=settings.kubeconfig or None,
                    context=settings.context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (config.ConfigException, OSError, ValueError) as error:
            where = settings.kubeconfig or "the default place"
            raise Unavailable(f"no usable kubeconfig at {where}: {_short(error)}") from error
        # Retries are made here, where they are bounded and told.
        configuration.retries = False
        return configuration

    def _configuration_of(self, document: Mapping[str, Any]) -> Any:
        configuration = client.Configuration()
        directory = tempfile.mkdtemp(prefix="asperathos-tls-")  # private to this user
        remove = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        try:
            config.load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                _with_files(document, Path(directory)), client_configuration=configuration, persist_config=False
            )
        except (config.ConfigException, OSError, ValueError, LookupError, TypeError) as error:
            remove()
            # What the error says may hold what the kubeconfig holds.
            raise Unavailable(f"the kubeconfig cannot be used ({type(error).__name__})") from None
        configuration.retries = False
        return configuration


def _with_files(document: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The kubeconfig with its inline certificates as files of the directory: TLS takes nothing else.

    The client would write them too, but into files that it shares between clusters and keeps until the process ends.
    """
    made = dict(document)
    for kind, entry in (("clusters", "cluster"), ("users", "user")):
        made[kind] = []
        for holder in document.get(kind) or ():
            body = dict(holder[entry])
            for name in ("certificate-authority", "client-certificate", "client-key"):
                data = body.pop(f"{name}-data", None)
                if data is not None:
                    path = directory / f"{kind}-{len(made[kind])}-{name}"
                    path.write_bytes(base64.b64decode(data))
                    body[name] = str(path)
            made[kind].append({**holder, entry: body})
    return made


class Overloaded(Unavailable):
    """The server asks to be left alone for ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MOST_LINE:
            raise ClusterError("the cluster sent an event that is too large")
        yield from (line for line in lines if line.strip())


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise ClusterError("the cluster's watch sent something that is not JSON") from error
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise ClusterError("the cluster's watch sent something that is no event")
    return event


def _refusal(status: int, body: bytes) -> ClusterError:
    """What a Status body says."""
    try:
        said = json.loads(body)
        message, reason = str(said.get("message") or ""), str(said.get("reason") or "")
    except (ValueError, AttributeError):
        message, reason = body[:200].decode("utf-8", "replace"), ""
    return ClusterError(message or f"HTTP {status}", reason or _REASONS.get(status, ""))


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
}


def _retry_after(response: Any) -> float:
    try:
        return max(0.0, float(response.getheader("Retry-After") or 0))
    except (TypeError, ValueError):
        return 0.0


def _silence(error: Exception) -> str:
    """Why there is no answer, in few words."""
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return "timed out"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection can be made"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke"
    return _short(error)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
