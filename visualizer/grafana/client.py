"""Grafana's HTTP API, as far as we use it: folder, data source, dashboards. The only place that speaks to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import requests

from common.domain.errors import AsperathosError, Forbidden, Unauthorized, Unavailable
from visualizer.grafana.dashboards import Json

OLDEST = 9
"""The first major version whose API and dashboards these are."""
_THEIRS = ("id", "version")
"""Fields of a dashboard that Grafana sets."""


@dataclass(frozen=True)
class GrafanaSettings:
    """Where it is and how to get in: a service account's token, or a user and a password. ``timeout`` in seconds,
    ``ca`` a file of certificates to trust (empty: the usual)."""

    url: str
    token: str = ""
    username: str = ""
    password: str = ""
    timeout: float = 5.0
    ca: str = ""


class GrafanaClient:
    """Every method raises Unavailable (away, failing, too old), Unauthorized (wrong credentials) or Forbidden (too few
    rights), each with its remedy."""

    def __init__(self, settings: GrafanaSettings) -> None:
        self._settings = settings
        self._datasource: Json | None = None
        """The one we have set last."""
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = settings.ca or True
        if settings.token:
            self._session.headers["Authorization"] = f"Bearer {settings.token}"
        elif settings.username:
            self._session.auth = (settings.username, settings.password)

    def check(self) -> None:
        """Raises Unavailable when this is no Grafana, or one too old. One that hides its version is taken as it is."""
        told = self._call("GET", "/api/health")
        if not isinstance(told, dict) or "database" not in told:
            raise Unavailable(f"{self._settings.url} is no Grafana: see ASPERATHOS_GRAFANA_URL")
        found = re.match(r"\d+", str(told.get("version", "")))
        if found is not None and int(found[0]) < OLDEST:
            raise Unavailable(f"Grafana {told['version']} is too old: {OLDEST} or newer is needed")

    def have_folder(self, uid: str, title: str) -> None:
        """Make the folder unless it is there."""
        if self._call("GET", f"/api/folders/{uid}") is None:
            self._call("POST", "/api/folders", {"uid": uid, "title": title}, taken=(409, 412))

    def have_datasource(self, datasource: Json) -> None:
        """Make or update it. One that Grafana provisioned itself is left as it is.

        Grafana does not tell its secrets: they are set by each process once.
        """
        present = self._call("GET", f"/api/datasources/uid/{datasource['uid']}")
        if present is None:
            self._call("POST", "/api/datasources", datasource, taken=(409,))
        elif not present.get("readOnly"):
            shown = {name: value for name, value in datasource.items() if name != "secureJsonData"}
            if self._datasource != datasource or any(present.get(name) != value for name, value in shown.items()):
                self._call("PUT", f"/api/datasources/uid/{datasource['uid']}", datasource)
        self._datasource = datasource

    def have_dashboard(self, dashboard: Json, folder: str) -> None:
        """Make it, or update one that differs. One that Grafana provisioned itself is left as it is."""
        present = self._call("GET", f"/api/dashboards/uid/{dashboard['uid']}")
        if present is not None:
            kept = {name: value for name, value in present["dashboard"].items() if name not in _THEIRS}
            if present["meta"].get("provisioned") or kept == dashboard:
                return
        body = {"dashboard": dashboard, "folderUid": folder, "overwrite": True, "message": "by the visualizer"}
        self._call("POST", "/api/dashboards/db", body)

    def _call(self, method: str, path: str, body: Json | None = None, taken: tuple[int, ...] = ()) -> Any:
        """The answer's JSON; None for what is not there, or was made by somebody else meanwhile (``taken``)."""
        try:
            answer = self._session.request(
                method, self._settings.url + path, json=body, timeout=self._settings.timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unavailable(f"Grafana at {self._settings.url} does not answer: {type(error).__name__}") from error
        if (answer.status_code == 404 and method == "GET") or answer.status_code in taken:
            return None
        if answer.status_code >= 300:
            raise _refusal(answer)
        try:
            return answer.json()
        except requests.JSONDecodeError as error:
            raise Unavailable(f"{self._settings.url} is no Grafana: see ASPERATHOS_GRAFANA_URL") from error


def _refusal(answer: requests.Response) -> AsperathosError:
    try:
        told = str(answer.json()["message"])
    except (requests.JSONDecodeError, KeyError, TypeError):
        told = answer.text[:200]
    if answer.status_code == 401:
        return Unauthorized(
            f"Grafana refuses our credentials (see ASPERATHOS_GRAFANA_TOKEN, _USERNAME, _PASSWORD): {told}"
        )
    if answer.status_code == 403:
        return Forbidden(f"Grafana's account needs the right to edit folders, data sources and dashboards: {told}")
    return Unavailable(f"Grafana answers {answer.status_code}: {told}")
