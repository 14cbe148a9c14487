"""Files by which a Grafana provisions itself: the data source, where dashboards lie, and the dashboards. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from visualizer.grafana.dashboards import FOLDER, FOLDER_UID, Json, dashboards
from visualizer.grafana.panels import DATASOURCE_UID

DATASOURCES, PROVIDERS = "datasources.yaml", "dashboards.yaml"
DIRECTORY = "/var/lib/grafana-dashboards"
"""Where the container of Grafana finds the dashboards."""
_HEADER = "# Written by `make dashboards` from visualizer/grafana: change it there.\n"


@dataclass(frozen=True)
class Source:
    """The InfluxDB as Grafana reaches it: by token (2.x, 3) or by user and password (1.x), or neither."""

    url: str
    bucket: str
    token: str = ""
    username: str = ""
    password: str = ""


FROM_ENVIRONMENT = Source("$INFLUX_URL", "$INFLUX_BUCKET", "$INFLUX_TOKEN")
"""Grafana fills in variables of its own environment: no secret is in a file."""


def datasource_of(source: Source) -> Json:
    """The data source as Grafana's API takes it. It speaks InfluxQL, which every InfluxDB answers."""
    options: Json = {"dbName": source.bucket, "httpMode": "POST"}
    secrets: dict[str, str] = {}
    if source.token:
        options["httpHeaderName1"] = "Authorization"
        secrets["httpHeaderValue1"] = f"Token {source.token}"
    elif source.password:
        secrets["password"] = source.password
    return {
        "name": "Asperathos",
        "uid": DATASOURCE_UID,
        "type": "influxdb",
        "access": "proxy",
        "url": source.url,
        # Grafana 9 reads the name here, later ones in jsonData.
        "database": source.bucket,
        "user": "" if source.token else source.username,
        "jsonData": options,
        "secureJsonData": secrets,
    }


def files(pages: str) -> Mapping[str, str]:
    """All files by name. ``pages`` is the address of our own pages, as browsers reach them."""
    datasource = {**datasource_of(FROM_ENVIRONMENT), "isDefault": True, "editable": False}
    provider = {
        "name": "asperathos",
        "folder": FOLDER,
        "folderUid": FOLDER_UID,
        "type": "file",
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": DIRECTORY},
    }
    return {
        DATASOURCES: _yaml({"apiVersion": 1, "datasources": [datasource]}),
        PROVIDERS: _yaml({"apiVersion": 1, "providers": [provider]}),
        **{f"{uid}.json": json.dumps(made, indent=1) + "\n" for uid, made in dashboards(pages).items()},
    }


def _yaml(content: Mapping[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(content, sort_keys=False)
