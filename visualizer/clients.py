"""The other services over REST: implements service.Sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from common.domain.errors import NotFound, Unavailable
from common.http.client import ServiceClient
from common.http.contracts import MonitoringView, ScalingView, SharesView

M = TypeVar("M", bound=BaseModel)
_DECISIONS = 300


@dataclass(frozen=True)
class RestSources:
    """One client per service asked."""

    manager: ServiceClient
    controller: ServiceClient
    monitor: ServiceClient
    reader: ServiceClient
    """The manager again, for what takes longer than a look: logs, nodes."""

    def submissions(self) -> Mapping[str, Any]:
        return _an_object(self.manager.get_json("/submissions"))

    def submission(self, id: str) -> Mapping[str, Any]:
        return _an_object(self.manager.get_json(f"/submissions/{id}"))

    def events(self, id: str) -> Any:
        return self.manager.get_json(f"/submissions/{id}/events")

    def errors(self, id: str) -> Any:
        return self.manager.get_json(f"/submissions/{id}/errors")

    def spec(self, id: str) -> Any:
        return _an_object(self.manager.get_json(f"/submissions/{id}?spec=true")).get("spec")

    def log(self, id: str, pod: str, tail: int) -> Any:
        named = f"&pod={quote(pod, safe='')}" if pod else ""
        return self.reader.get_json(f"/submissions/{id}/log?tail={tail}{named}")

    def clusters(self) -> Any:
        return self.manager.get_json("/submissions/cluster")

    def nodes(self, cluster: str) -> Any:
        return self.reader.get_json(f"/nodes?cluster={quote(cluster, safe='')}")

    def shares(self, cluster: str) -> SharesView:
        return self.controller.get(f"/shares?cluster={quote(cluster, safe='')}", SharesView)

    def scaling(self, id: str) -> ScalingView | None:
        return _or_none(self.controller, f"/scaling/{id}?count={_DECISIONS}", ScalingView)

    def monitoring(self, id: str) -> MonitoringView | None:
        return _or_none(self.monitor, f"/monitoring/{id}", MonitoringView)


def _an_object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise Unavailable("the manager answered in an unknown form")
    return answer


def _or_none(client: ServiceClient, path: str, model: type[M]) -> M | None:
    try:
        return client.get(path, model)
    except NotFound:
        return None
