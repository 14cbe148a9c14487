"""The controller's routes as /openapi.json describes them: what each takes and answers. A test holds the url map
against this table, and every answer against what it says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from common.domain.access import ClusterReport
from common.domain.clusters import CLUSTER_NAME
from common.domain.fields import shown_as
from common.http.contracts import (
    ForecastAnswer,
    ForecastRequest,
    LawRequest,
    ListedScaling,
    ScalingRequest,
    ScalingView,
    SetupRequest,
    SharesView,
)
from common.http.openapi import NOTHING, Answer, Body, Parameter, Route, Table
from controller.api import SPELLINGS


class LawDocument(TypedDict):
    """An installed law: the JSON schema of its settings, where it comes from, and why it cannot be used."""

    summary: str
    settings: dict[str, Any]
    distribution: str
    version: str
    builtin: bool
    problem: str


_ID = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_BUSY = {409: "It is being changed by others."}


def _scaling(spelling: str) -> tuple[Route, ...]:
    told = "" if spelling == SPELLINGS[0] else f"/{SPELLINGS[0]} as the original's documents spell it."
    one = f"/{spelling}/<id>"
    count = Parameter("count", Annotated[int, Field(ge=0, le=5000)], "Most decisions, the latest.")
    return (
        Route(
            "GET",
            f"/{spelling}",
            "What is scaled",
            {200: Answer("By submission, without decisions.", dict[str, ListedScaling])},
            about=told,
        ),
        Route(
            "POST",
            f"/{spelling}/validate",
            "Whether a law and its settings are right",
            {204: Answer("They are.")},
            Body(LawRequest),
            about=told,
        ),
        Route("POST", one, "Scale a Job from now on", NOTHING, Body(ScalingRequest), refusals=_BUSY, about=told),
        Route(
            "GET",
            one,
            "What was decided, and why",
            {200: Answer("As it is.", ScalingView)},
            parameters=(count,),
            about=told,
        ),
        Route("PUT", f"{one}/stop", "Decide no more", NOTHING, refusals=_BUSY, about=told),
        Route("DELETE", one, "Forget it", NOTHING, refusals={409: "It is being scaled."}, about=told),
    )


TABLE = Table(
    "controller",
    "Decides how many replicas each submission gets. Every POST is idempotent.",
    (
        *(route for spelling in SPELLINGS for route in _scaling(spelling)),
        Route("GET", "/laws", "Installed laws", {200: Answer("By name.", dict[str, LawDocument])}),
        Route(
            "GET",
            "/shares",
            "How a cluster is divided",
            {200: Answer("Its submissions, and what there is for all.", SharesView)},
            parameters=(
                Parameter(
                    "cluster",
                    Annotated[str, shown_as(CLUSTER_NAME)],
                    "The cluster; the default one when absent.",
                ),
            ),
            refusals={502: ""},
        ),
        Route("POST", "/setup", "Cap submissions' replicas until their scaling stops", NOTHING, Body(SetupRequest)),
        Route(
            "POST",
            "/forecast",
            "What would become of a submission that were accepted now",
            {200: Answer("What is expected.", ForecastAnswer)},
            Body(ForecastRequest),
            refusals={502: ""},
        ),
        Route("GET", "/cluster/check", "What it lacks in its cluster", {200: Answer("All findings.", ClusterReport)}),
    ),
    {"id": Parameter("id", _ID, "The submission's id.")},
)
