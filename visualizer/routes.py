"""The visualizer's routes as /openapi.json describes them: what each takes and answers. A test holds the url map
against this table, and every answer against what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from common.domain.progress import Decision, Observation
from common.http.contracts import VisualizingRequest, VisualizingView
from common.http.openapi import NOTHING, OPTIONAL_OBJECT, TEXT, Answer, Body, Parameter, Route, Table
from visualizer.api import LATEST, NamedRequest
from visualizer.documents import ClusterDocument, Problem, SeriesDocument, SparksDocument
from visualizer.reading import Happening, Outlook, Row
from visualizer.troubles import Trouble
from visualizer.verdict import Verdict

HTML = "text/html"


class ListedRows(TypedDict):
    """All submissions, as the list shows them."""

    now: float
    known: bool
    problems: list[Problem]
    rows: dict[str, Row]


class ShownDetails(TypedDict):
    """A submission as its page shows it, beside its row."""

    law: str
    cluster: str
    warnings: list[str]
    execution_time: float | None
    scalings: int | None
    peak_replicas: int | None
    replica_seconds: float | None
    observation: Observation | None
    outlook: Outlook


class ShownSubmission(TypedDict):
    """A submission's page."""

    now: float
    known: bool
    problems: list[Problem]
    row: Row
    verdict: Verdict | None
    details: ShownDetails
    decisions: list[Decision]
    events: list[Happening]
    troubles: list[Trouble]
    spec: Annotated[dict[str, Any], Field(description="For people: long texts and lists are cut.")]


class PodLogs(TypedDict):
    """The log of each pod, by name."""

    pods: dict[str, str]


class Credentials(TypedDict):
    """The login form."""

    name: str
    password: str
    next: str


_KINDS: Mapping[str, Parameter] = {
    "id": Parameter("id", str, "The submission's id."),
    "name": Parameter("name", str, "The file's name."),
}
_MARK = Parameter(
    "X-Requested-With", str, "`asperathos-pages`: no other site's page can send it.", "header", required=True
)
_SINCE = Parameter("since", Annotated[float, Field(ge=0, le=LATEST)], "Only what is newer (Unix seconds).")
_UNCHANGED = {304: Answer("It is what If-None-Match names.")}
_PAGE = {200: Answer("A page.", media=(HTML,))}
_TOLD = "The manager's answer, passed on."


def _stream(path: str, summary: str, *parameters: Parameter) -> Route:
    return Route(
        "GET", path, summary, {200: Answer("Server-sent events.", media=("text/event-stream",))}, parameters=parameters
    )


def _wish(method: str, path: str, summary: str, code: int, body: Body | None = OPTIONAL_OBJECT) -> Route:
    """What the pages ask of the manager."""
    answer = Answer(_TOLD) if code == 204 else Answer(_TOLD, dict[str, Any])
    return Route(
        method,
        path,
        summary,
        {code: answer},
        body,
        (_MARK,),
        {409: "The manager's: it contradicts the present state.", 502: "The manager's: its cluster refused."},
        "Passed on to the manager, with the user's own credentials: see its document.",
    )


_BOARDS = (
    Route("GET", "/visualizing", "All boards", {200: Answer("By submission.", dict[str, VisualizingView])}),
    Route(
        "POST",
        "/visualizing",
        "Have a board",
        {202: Answer("It is being made.", VisualizingView)},
        Body(NamedRequest),
        refusals={409: "It is being changed by others."},
    ),
    Route("GET", "/visualizing/<id>", "Where a submission is shown", {200: Answer("The address.", VisualizingView)}),
    Route(
        "POST",
        "/visualizing/<id>",
        "Have a board",
        {202: Answer("It is being made.", VisualizingView)},
        Body(VisualizingRequest),
        refusals={409: "It is being changed by others."},
    ),
    Route(
        "PUT",
        "/visualizing/<id>/stop",
        "Update it no more",
        NOTHING,
        refusals={409: "It is being changed by others."},
    ),
    Route("DELETE", "/visualizing/<id>", "Forget it", NOTHING, refusals={409: "It is being changed by others."}),
)

_PAGES = (
    Route("GET", "/", "The list of submissions", _PAGE),
    Route("GET", "/submissions", "The list of submissions", _PAGE),
    Route(
        "GET",
        "/submissions/<id>",
        "A submission's page",
        {**_PAGE, 404: Answer("There is no such submission, or none that you may see.", dict[str, Any], (HTML,))},
    ),
    Route("GET", "/clusters", "The page of the clusters", _PAGE),
    Route(
        "GET",
        "/submit",
        "The form to submit",
        {**_PAGE, 404: Answer("These pages only show.", media=(HTML,))},
    ),
    Route(
        "GET",
        "/login",
        "The form to log in",
        {**_PAGE, 303: Answer("Nobody has to log in here.", media=(HTML,), headers={"Location": "The list."})},
        parameters=(Parameter("next", str, "The page to go on to."),),
    ),
    Route(
        "POST",
        "/login",
        "Log in",
        {
            303: Answer("Logged in.", media=(HTML,), headers={"Location": "The page to go on to."}),
            401: Answer("The form again: name or password are wrong.", media=(HTML,)),
            429: Answer("The form again: too many failed before.", media=(HTML,)),
        },
        Body(Credentials, required=False, form=True),
        refusals={403: "Another site's page asks."},
    ),
    Route(
        "POST",
        "/logout",
        "Log out",
        {303: Answer("Logged out.", media=(HTML,), headers={"Location": "The form to log in."})},
        refusals={403: "Another site's page asks."},
    ),
    Route("GET", "/favicon.ico", "The icon", {200: Answer("A picture.", media=("image/svg+xml",)), **_UNCHANGED}),
    Route(
        "GET",
        "/static/<name>",
        "What pages are made of",
        {200: Answer("A file.", media=("text/css", "text/javascript", "image/svg+xml")), **_UNCHANGED},
    ),
)

_DATA = (
    Route("GET", "/api/submissions", "What the list shows", {200: Answer("As it is.", ListedRows), **_UNCHANGED}),
    Route(
        "GET",
        "/api/submissions/<id>",
        "What a submission's page shows",
        {200: Answer("As it is.", ShownSubmission), **_UNCHANGED},
    ),
    Route(
        "GET",
        "/api/submissions/<id>/series",
        "What its charts show",
        {200: Answer("Columns of equal length.", SeriesDocument)},
        parameters=(_SINCE,),
    ),
    Route(
        "GET",
        "/api/submissions/<id>/log",
        "Logs of its replicas",
        {200: Answer("By pod.", PodLogs)},
        parameters=(
            Parameter("pod", str, "Only of this pod."),
            Parameter("tail", Annotated[int, Field(ge=0, le=5000)], "Only so many lines of each, the last."),
        ),
    ),
    Route(
        "GET",
        "/api/sparks",
        "Throughput lately",
        {200: Answer("By submission.", SparksDocument)},
        parameters=(Parameter("ids", str, "At most 100 ids, separated by commas."),),
    ),
    Route(
        "GET",
        "/api/clusters",
        "What the page of the clusters shows",
        {200: Answer("As it is.", ClusterDocument), **_UNCHANGED},
    ),
    _stream("/api/stream/clusters", "The page of the clusters, live"),
    _stream("/api/stream/submissions", "The list, live"),
    _stream("/api/stream/submissions/<id>", "A submission's page, live", _SINCE),
    Route(
        "GET",
        "/api/submissions/<id>/spec",
        "Its status with its specification",
        {200: Answer(_TOLD, dict[str, Any])},
    ),
    Route(
        "GET",
        "/submissions/<id>/report",
        "Its report",
        {200: Answer(_TOLD, Any, (HTML, TEXT, "text/csv"))},
        parameters=(Parameter("format", str, "json, html, text or csv; the original's answer when absent."),),
        refusals={409: "With format: it has not ended."},
    ),
    Route(
        "GET",
        "/submissions/<id>/results",
        "All its results, to take away",
        {200: Answer("One a line.", media=("application/jsonl",))},
    ),
)

_WISHES = (
    Route(
        "POST",
        "/api/submissions",
        "Hand in a submission",
        {202: Answer(_TOLD, dict[str, Any]), 200: Answer("The plan (dry_run).", dict[str, Any])},
        Body(dict[str, Any]),
        (_MARK, Parameter("dry_run", bool, "Tell what would become of it; nothing is created.")),
        {409: "The manager's: the key came with another document before.", 502: "The manager's: its cluster refused."},
        "Passed on to the manager, with the user's own credentials: see its document.",
    ),
    _wish("PATCH", "/api/submissions/<id>", "Change it while it runs", 200, Body(dict[str, Any])),
    _wish("PUT", "/api/submissions/<id>/stop", "Stop it gracefully", 204),
    _wish("PUT", "/api/submissions/<id>/terminate", "End it at once", 204),
    _wish("POST", "/api/submissions/<id>/retry", "Try its dead items again", 202),
    _wish("DELETE", "/api/submissions/<id>", "Forget it", 204),
)

TABLE = Table(
    "visualizer",
    "Shows submissions: boards for the other services, pages and their data for people.",
    (*_BOARDS, *_PAGES, *_DATA, *_WISHES),
    _KINDS,
)
