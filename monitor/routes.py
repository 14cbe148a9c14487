"""The monitor's routes as /openapi.json describes them: what each takes and answers. A test holds the url map against
this table, and every answer against what it says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from common.domain.access import ClusterReport
from common.http.contracts import MonitoringReport, MonitoringRequest, MonitoringView
from common.http.openapi import NOTHING, Answer, Body, Parameter, Route, Table


class Monitored(TypedDict):
    """What is measured from now on."""

    id: str


class StillRunning(TypedDict):
    """The original's answer to who asks for a report too early."""

    message: str


_ID = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_RUNNING = Answer("It is measured still.", StillRunning)

TABLE = Table(
    "monitor",
    "Measures how far submissions are. Every POST is idempotent.",
    (
        Route("GET", "/monitoring", "What is measured", {200: Answer("By submission.", dict[str, MonitoringView])}),
        Route(
            "POST",
            "/monitoring/<id>",
            "Measure from now on",
            {202: Answer("It is measured.", Monitored)},
            Body(MonitoringRequest),
            refusals={409: "It has been stopped, or is being changed by others."},
        ),
        Route("GET", "/monitoring/<id>", "The latest measurement", {200: Answer("As it is.", MonitoringView)}),
        Route(
            "PUT",
            "/monitoring/<id>/stop",
            "One last measurement",
            NOTHING,
            refusals={409: "It is being changed by others."},
        ),
        Route("DELETE", "/monitoring/<id>", "Forget it", NOTHING, refusals={409: "It is being measured."}),
        Route(
            "GET",
            "/monitoring/<id>/report",
            "What the measurements came to",
            {200: Answer("The simple report.", MonitoringReport), 202: _RUNNING},
        ),
        Route(
            "GET",
            "/monitoring/<id>/report/detailed",
            "All measurements",
            {
                200: Answer("By the second since acceptance.", dict[str, dict[str, float | None]]),
                202: _RUNNING,
            },
            parameters=(
                Parameter("partial", bool, "What there is so far."),
                Parameter("rows", Annotated[int, Field(ge=2, le=9_999_999)], "Most rows, evenly spaced."),
            ),
        ),
        Route("GET", "/cluster/check", "What it lacks in its cluster", {200: Answer("All findings.", ClusterReport)}),
    ),
    {"id": Parameter("id", _ID, "The submission's id.")},
)
