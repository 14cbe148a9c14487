"""The manager's REST interface as the command line uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import HTTPBasicAuth

_LONGEST_SILENCE = 86400.0
"""Seconds a followed log may be silent: work may be, and the manager ends the stream in time."""

_LONGEST_REPORT = 120.0
"""Seconds until a report goes on: days of measurements take some."""
_PIECE = 1 << 16

_LONGEST_PROBE = 660.0
"""Seconds; the manager bounds it more tightly."""


class Rejected(Exception):
    """The manager refused: ``status``, its message, and the faults it listed as (field, problem)."""

    def __init__(self, status: int, message: str, details: list[tuple[str, str]]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details


class Unreachable(Exception):
    """The manager does not answer at ``url``."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"the manager at {url} does not answer ({cause})")
        self.url = url
        self.cause = cause


class ManagerClient:
    """Calls the manager at ``url``; every call is bounded by ``timeout`` seconds."""

    def __init__(self, url: str, timeout: float = 30.0, token: str = "", ca: str = "") -> None:
        """``token`` is shown with every call, '' for none; ``ca`` is a file of certificates to trust, '' the usual."""
        self.url = url.rstrip("/")
        self.token = token
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca or True
        if token:
            self.use_token(token)

    def use_token(self, token: str) -> None:
        """Show this token from now on."""
        self.token = token
        self._session.auth = None
        self._session.headers["Authorization"] = f"Bearer {token}"

    def use_password(self, user: str, password: str) -> None:
        """Show name and password from now on."""
        self._session.headers.pop("Authorization", None)
        self._session.auth = HTTPBasicAuth(user.encode(), password.encode())

    def submit(self, document: bytes, media_type: str) -> dict[str, Any]:
        """POST a submission; the answer with job_id and warnings."""
        answer: dict[str, Any] = self._json("POST", "/submissions", data=document, headers={"Content-Type": media_type})
        return answer

    def plan(self, document: bytes, media_type: str) -> dict[str, Any]:
        """What would become of a submission: nothing is created."""
        parameters = {"dry_run": "true"}
        headers = {"Content-Type": media_type}
        answer: dict[str, Any] = self._json("POST", "/submissions", params=parameters, data=document, headers=headers)
        return answer

    def change(self, id: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change a running submission; what differs now."""
        answer: dict[str, Any] = self._json("PATCH", f"/submissions/{id}", json=patch)
        return answer

    def histories(self) -> dict[str, dict[str, Any]]:
        """What submissions of each name and image taught."""
        answer: dict[str, dict[str, Any]] = self._json("GET", "/history")
        return answer

    def forget_history(self, key: str | None = None) -> None:
        """Forget one, or all."""
        self._call("DELETE", f"/history/{quote(key, safe='')}" if key is not None else "/history")

    def submissions(self, state: str | None = None, forecast: bool = False) -> dict[str, dict[str, Any]]:
        """Status objects by id; ``forecast``: with the forecast of each. ``state`` may be several, with commas."""
        params = {**({"state": state} if state else {}), **({"forecast": "true"} if forecast else {})}
        answer: dict[str, dict[str, Any]] = self._json("GET", "/submissions", params=params)
        return answer

    def status(self, id: str) -> dict[str, Any]:
        """One status object."""
        answer: dict[str, Any] = self._json("GET", f"/submissions/{id}")
        return answer

    def get(self, id: str, part: str, **params: str) -> Any:
        """A part of a submission: log, report, errors, events, ..."""
        return self._json("GET", f"/submissions/{id}/{part}", params=params)

    def report(self, id: str, **params: str) -> Iterator[bytes]:
        """A report in the form that ``format`` names, piece by piece. Nothing is sent before the first is asked for."""
        response = self._call("GET", f"/submissions/{id}/report", params=params, stream=True, timeout=_LONGEST_REPORT)
        with response:
            try:
                yield from response.iter_content(_PIECE)
            except requests.RequestException as error:
                raise Unreachable(self.url, f"the report broke off: {type(error).__name__}") from error

    def follow_log(self, id: str, **params: str) -> Iterator[str]:
        """The log's lines as they are written, until the submission ends or the manager ends the stream."""
        response = self._call(
            "GET",
            f"/submissions/{id}/log",
            params={**params, "follow": "true"},
            stream=True,
            timeout=(self._timeout, _LONGEST_SILENCE),
        )
        response.encoding = "utf-8"
        with response:
            try:
                yield from response.iter_lines(chunk_size=None, decode_unicode=True, delimiter="\n")
            except requests.RequestException as error:
                raise Unreachable(self.url, type(error).__name__) from error

    def results(self, id: str, page: int = 1000) -> Iterator[dict[str, Any]]:
        """All accepted results, page by page, in order of completion."""
        cursor, more = 0, True
        while more:
            answer = self.get(id, "results", cursor=str(cursor), count=str(page))
            yield from answer["results"]
            cursor, more = int(answer["cursor"]), bool(answer["more"])

    def end(self, id: str, how: str) -> None:
        """``how`` is stop or terminate."""
        self._call("PUT", f"/submissions/{id}/{how}")

    def delete(self, id: str) -> None:
        """Forget an ended submission."""
        self._call("DELETE", f"/submissions/{id}")

    def nodes(self, cluster: str | None = None) -> Any:
        """A cluster's nodes; of the active one when none is named."""
        return self._json("GET", "/nodes", params={"cluster": cluster} if cluster else {})

    def clusters(self) -> dict[str, dict[str, Any]]:
        """What may be told of each cluster, by name."""
        answer: dict[str, dict[str, Any]] = self._json("GET", "/submissions/cluster")
        return answer

    def add_cluster(self, name: str, kubeconfig: str) -> dict[str, Any]:
        """Add a cluster: whether it answers, and warnings."""
        document = {"cluster_name": name, "cluster_config": kubeconfig}
        answer: dict[str, Any] = self._json("POST", "/submissions/cluster", json=document)
        return answer

    def add_certificate(self, cluster: str, name: str, content: str) -> dict[str, Any]:
        """Upload a file that a cluster's kubeconfig refers to."""
        document = {"certificate_name": name, "certificate_content": content}
        path = f"/submissions/cluster/{quote(cluster, safe='')}/certificate"
        answer: dict[str, Any] = self._json("POST", path, json=document)
        return answer

    def activate_cluster(self, name: str) -> dict[str, Any]:
        """Have submissions that name no cluster run there."""
        answer: dict[str, Any] = self._json("PUT", f"/submissions/cluster/{quote(name, safe='')}/activate")
        return answer

    def remove_cluster(self, name: str) -> None:
        """Forget a cluster."""
        self._call("DELETE", f"/submissions/cluster/{quote(name, safe='')}")

    def cluster_check(self, probe: bool) -> dict[str, Any]:
        """What the cluster has and lacks: ok, and findings with service, name, ok, message; ``probe``: also from a
        pod's place, which takes as long as a pod takes to start."""
        method, timeout = ("POST", _LONGEST_PROBE) if probe else ("GET", self._timeout)
        answer: dict[str, Any] = self._json(method, "/cluster/check", timeout=timeout)
        return answer

    def whoami(self) -> dict[str, Any]:
        """Who we are to the manager: name, kind, role, quota."""
        answer: dict[str, Any] = self._json("GET", "/whoami")
        return answer

    def users(self) -> dict[str, dict[str, Any]]:
        """The users by name."""
        answer: dict[str, dict[str, Any]] = self._json("GET", "/users")
        return answer

    def user(self, name: str) -> dict[str, Any]:
        """One user."""
        answer: dict[str, Any] = self._json("GET", _user_path(name))
        return answer

    def add_user(self, document: dict[str, Any]) -> dict[str, Any]:
        """A new user: name, role, and perhaps password and quota."""
        answer: dict[str, Any] = self._json("POST", "/users", json=document)
        return answer

    def change_user(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """A user's role or quota."""
        answer: dict[str, Any] = self._json("PATCH", _user_path(name), json=document)
        return answer

    def remove_user(self, name: str) -> None:
        """A user and their tokens."""
        self._call("DELETE", _user_path(name))

    def set_password(self, name: str, password: str, current: str = "") -> None:
        """A user's password, '' for none; ``current`` is asked of the users themselves."""
        self._call("PUT", f"{_user_path(name)}/password", json={"password": password, "current": current})

    def tokens(self, user: str) -> list[dict[str, Any]]:
        """What may be told of a user's tokens."""
        answer: list[dict[str, Any]] = self._json("GET", f"{_user_path(user)}/tokens")["tokens"]
        return answer

    def new_token(self, user: str, label: str, expires_in: float | None) -> dict[str, Any]:
        """A new token, in ``token``."""
        document = {"label": label, "expires_in": expires_in}
        answer: dict[str, Any] = self._json("POST", f"{_user_path(user)}/tokens", json=document)
        return answer

    def revoke_token(self, user: str, id: str) -> None:
        """Make a token worth nothing."""
        self._call("DELETE", f"{_user_path(user)}/tokens/{quote(id, safe='')}")

    def audit(self, count: int, who: str | None, subject: str | None, refused: bool) -> list[dict[str, Any]]:
        """The latest entries of the audit log, the oldest first."""
        wanted = {"count": count, "who": who, "subject": subject, "refused": "true" if refused else None}
        params = {name: value for name, value in wanted.items() if value is not None}
        answer: list[dict[str, Any]] = self._json("GET", "/audit", params=params)["entries"]
        return answer

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._call(method, path, **arguments)
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise Unreachable(self.url, "what answers there is not Asperathos") from error

    def _call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            response = self._session.request(method, self.url + path, **{"timeout": self._timeout, **arguments})
        except requests.RequestException as error:
            raise Unreachable(self.url, type(error).__name__) from error
        if response.status_code >= 400:
            raise _rejection(response)
        return response


def _user_path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def _rejection(response: requests.Response) -> Rejected:
    try:
        body = response.json()
        details = [(fault["field"], fault["problem"]) for fault in body.get("details", [])]
        return Rejected(response.status_code, body["error_message"], details)
    except (requests.JSONDecodeError, KeyError, TypeError):
        return Rejected(response.status_code, f"answered {response.status_code}: {response.text[:200]}", [])
